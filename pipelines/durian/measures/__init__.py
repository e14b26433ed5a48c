"""One file per measure of difficulty, and a line in MEASURES: arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from durian.measures.answer_entropy import ANSWER_ENTROPY
from durian.measures.base import (
    BlindMeasure,
    Column,
    Completions,
    ImageMeasure,
    Measure,
    PatchMeasure,
    RolloutMeasure,
    SignatureMeasure,
)
from durian.measures.blind import BLIND
from durian.measures.confidence import CONFIDENCE
from durian.measures.consensus import CONSENSUS
from durian.measures.duplicates import DUPLICATES
from durian.measures.outcome import OUTCOME
from durian.measures.pixel_entropy import PIXEL
from durian.measures.spectral_entropy import SPECTRAL

__all__ = [
    "MEASURES",
    "BlindMeasure",
    "Column",
    "Completions",
    "ImageMeasure",
    "Measure",
    "PatchMeasure",
    "RolloutMeasure",
    "SignatureMeasure",
    "held_against_error",
    "measure_names",
    "measured",
    "measures_help",
    "taken",
]

# By name, in the order of the table's columns.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        PIXEL,
        SPECTRAL,
        CONFIDENCE,
        ANSWER_ENTROPY,
        OUTCOME,
        BLIND,
        CONSENSUS,
        DUPLICATES,
    )  # fmt: skip
}

Kind = TypeVar("Kind", bound=Measure)


def measure_names() -> tuple[str, ...]:
    """The measures that can be asked for by name."""
    return tuple(name for name, measure in MEASURES.items() if measure.help is not None)


def measures_help() -> str:
    """The measures that can be asked for, each with a few words: for the help of `--measures`."""
    return "; ".join(f"{name}, {MEASURES[name].help}" for name in measure_names())


def taken(kind: type[Kind], asked: Collection[str]) -> list[Kind]:
    """The measures of one kind that are asked for, and those that come for free."""
    return [
        measure
        for name, measure in MEASURES.items()
        if isinstance(measure, kind) and (name in asked or measure.help is None)
    ]


def held_against_error(kind: type[Measure] = Measure) -> dict[str, Column]:
    """The columns of all measures, or those of one kind, that the report holds against error."""
    return {
        column.name: column
        for measure in MEASURES.values()
        if isinstance(measure, kind)
        for column in measure.columns
        if column.words is not None
    }


def measured(held: Mapping[str, Column], filled: Collection[str] = ()) -> dict[str, Column]:
    """The columns that every table has had, and of the later ones those that are filled.

    A measure of before stands in a report with its gap; of one that a run's Durian did not know,
    or that nobody asked for, nothing is said.
    """
    return {name: c for name, c in held.items() if c.since == 1 or name in filled}
