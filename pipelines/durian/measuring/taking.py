"""Measures to values: the one place that calls them, and takes their failures as reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from durian.measures.base import Measure, Values


@dataclass(frozen=True)
class Taken:
    """The measures of one sample: values by column, and the reason where some are missing."""

    values: Values = field(default_factory=dict)
    error: str | None = None


def take(measures: Iterable[tuple[Measure, Callable[[], Values]]]) -> Taken:
    """Call each measure; one that fails is left out, with its reason, and the others stand.

    Raises:
        KeyError: a measure gives a column that it does not declare.
    """
    values: dict[str, float | int | str | None] = {}
    reasons = []
    for measure, function in measures:
        try:
            values |= _checked(measure, function())
        except ValueError as error:
            reasons.append(f"no {measure.words}: {error}")
    return Taken(values, "; ".join(reasons) or None)


def _checked(measure: Measure, values: Values) -> Values:
    if unknown := values.keys() - {column.name for column in measure.columns}:
        raise KeyError(f"the measure {measure.name} declares no column {', '.join(unknown)}")
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    return values
