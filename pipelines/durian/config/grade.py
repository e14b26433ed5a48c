"""Settings of `durian grade`."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.options import Config, option


@dataclass(frozen=True, kw_only=True)
class GradeConfig(Config):
    """One answer, and what it is compared to."""

    answer: str = option(
        ..., "The answer, as it stands in the box; after -- if it begins with -.", positional=True
    )
    reference: str = option(
        ..., "The reference; a JSON list of texts for several accepted ones.", positional=True
    )
    question: str = option("", "The question: it may tell whether the order of a list counts.")
    options: str = option("", "The contents of the choices, as a JSON list of texts.")
    tolerance: float = option(
        1e-6,
        "Relative error at which numbers are equal; ChartQA's is 0.05.",
        low=0,
        high=1,
    )
