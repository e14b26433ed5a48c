"""A kind of reference: how it is recognized, and the rule that compares an answer to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from durian.rewards.formula import TOLERANCE

_SPACE = re.compile(r"\s+")
_SUBSCRIPT = re.compile(r"_\s?\{\s?([^{}]{1,20}?)\s?\}|_|\^\s?\{?\s?(\d?[+-])\s?\}?")
_LOOSE_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")


def _no(answer: str, reference: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The context of a comparison besides the two texts."""

    tolerance: float = TOLERANCE  # relative error at which numbers are equal
    question: str = ""
    options: tuple[str, ...] = ()  # of a choice, in the order of their letters
    # Compares the elements of a list, the content of a choice: by the element's own kind.
    element: Callable[[str, str], bool] = field(default=_no, compare=False)
    # Asks the computer algebra system about two LaTeX texts; may take long.
    mathematics: Callable[[str, str], bool] = field(default=_no, compare=False)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of reference. Both functions are given tidied texts (`tidy`)."""

    name: str
    rule: str  # how an answer is compared to it, one sentence for the user
    recognizes: Callable[[str], bool]
    same: Callable[[str, str, Setting], bool]


def one_sign(relation: str) -> str:
    """The sign of a relation that may be written as two: "<=" is ≤."""
    return {"<=": "≤", "=<": "≤", ">=": "≥", "=>": "≥"}.get(relation, relation)


def written_out(text: str) -> str:
    """A text with its subscripts and charges on the line: "H_2O" is H2O."""
    return _SUBSCRIPT.sub(lambda m: m[1] or m[2] or "", text)


def squashed(text: str) -> str:
    """A text without letter case and white space, for equality to the letter.

    White space between two digits stays: "1 2" is not 12.
    """
    return _LOOSE_SPACE.sub("", _SPACE.sub(" ", text.casefold()))
