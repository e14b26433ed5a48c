"""The parts of a row that a form of rows finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """The columns in which a form has the problem and the answer."""

    form: str  # as its users call it
    problem: str
    answers: tuple[str, ...] = ()  # columns of equal rank; none: the last turn of the assistant
