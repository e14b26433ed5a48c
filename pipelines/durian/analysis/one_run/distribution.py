"""How a measure is spread over the samples, in all and by the dataset's columns.

What a report says where no completion was scored: there are no errors to hold the measure against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BARS = 24

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How many samples have a measure from `least` to `most`, the last bar's `most` included."""

    least: float
    most: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class SpreadOfValue:
    """The quartiles of a measure among the samples that have one value of a column."""

    value: str
    samples: int  # that have the measure
    quartile_1: float
    median: float
    quartile_3: float


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How one measure is spread: over all samples, and by each text column of the dataset."""

    histogram: list[Bar]
    slices: dict[str, list[SpreadOfValue]]  # by column; the highest median first


def distribution(
    values: Floats, columns: Mapping[str, Sequence[str | None]]
) -> Distribution | None:
    """Count a measure's values in bars of equal width, and take its quartiles by column.

    Args:
        values: (N,), NaN where missing.
        columns: (N,) each, None where missing.
    Returns:
        None where no sample has the measure.
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    low, high = float(values[known].min()), float(values[known].max())
    # Floats lie far apart where they are large: between two that are neighbours, or equal, there is
    # no room for bars of their own, and NumPy refuses.
    apart = float(np.spacing(max(abs(low), abs(high))))
    if high - low > BARS * apart:
        counts, edges = np.histogram(values[known], BARS)
    else:
        room = max(0.5, 2 * apart)
        counts, edges = np.histogram(values[known], 1, (low - room, high + room))
    bars = [
        Bar(least=float(low), most=float(high), samples=int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    slices = {name: _by_value(values, known, texts) for name, texts in columns.items()}
    return Distribution(
        histogram=bars, slices={name: rows for name, rows in slices.items() if rows}
    )


def _by_value(
    values: Floats, known: NDArray[np.bool_], texts: Sequence[str | None]
) -> list[SpreadOfValue]:
    labels = np.array(texts, object)
    rows = []
    for value in sorted({text for text in texts if text is not None}):
        of_it = values[known & (labels == value)]
        if len(of_it):
            low, middle, high = np.percentile(of_it, [25, 50, 75])
            rows.append(
                SpreadOfValue(
                    value=value, samples=len(of_it), quartile_1=float(low), median=float(middle),
                    quartile_3=float(high),
                )
            )  # fmt: skip
    return sorted(rows, key=lambda row: -row.median)
