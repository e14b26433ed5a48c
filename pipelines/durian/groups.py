"""Measures to groups of like difficulty: three perceptual groups, quantile bins of confidence.

Pure numbers (eq. 10, 16). A missing value (NaN) is in no group. Groups do not depend on the order
of the samples, and equal values always share a group.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Harder = Literal["higher", "lower"]  # which end of a measure is the hard one
Label = TypeVar("Label", bound=Hashable)
PERCEPTUAL = ("easy", "medium", "hard")


@dataclass(frozen=True, kw_only=True)
class Grouping(Generic[Label]):
    """One label a sample, and how the cuts came out."""

    labels: list[Label | None]  # (N,); None where the measure is missing
    edges: tuple[float, ...]  # the cut values, rising; fewer than asked where values are equal
    sizes: Mapping[Label, int]  # samples in each group


def perceptual_groups(
    values: NDArray[np.float64],
    percentiles: tuple[float, float] = (25.0, 75.0),
    *,
    harder: Harder = "higher",
) -> Grouping[str]:
    """Easy, medium and hard, cut at two percentiles: easy H <= t_low; hard H >= t_high > t_low.

    Percentiles are linear interpolation, as `numpy.percentile`. Where `harder` is "lower" the
    measure is turned round first, so that "hard" is always the hard end.

    Args:
        values: shape (N,), finite, or NaN where missing.
    Source: eq. 10.
    """
    low, high = percentiles
    sign = 1.0 if harder == "higher" else -1.0
    known = ~np.isnan(values)
    if not known.any():
        return Grouping(labels=[None] * len(values), edges=(), sizes=dict.fromkeys(PERCEPTUAL, 0))
    turned = sign * values[known]
    t_low, t_high = _quantiles(turned, [Fraction(low) / 100, Fraction(high) / 100])
    numbers = np.where(turned <= t_low, 0, np.where(turned >= t_high, 2, 1))
    counts = np.bincount(numbers, minlength=len(PERCEPTUAL)).tolist()
    return Grouping(
        labels=_placed(np.array(PERCEPTUAL, object)[numbers], known),
        edges=tuple(sorted({float(sign * t_low), float(sign * t_high)})),
        sizes=dict(zip(PERCEPTUAL, counts, strict=True)),
    )


def reasoning_groups(
    values: NDArray[np.float64], bins: int = 10, *, harder: Harder = "lower"
) -> Grouping[int]:
    """Quantile bins of a measure, numbered from 0, the hardest (for confidence: the least sure).

    The inner edges are the k/bins quantiles; a value on an edge belongs to the bin above it. Equal
    edges count once and empty bins are left out, so bins can be uneven or fewer than asked.

    Args:
        values: shape (N,), finite, or NaN where missing.
        bins: how many are asked for, 1 or more.
    Source: eq. 16.
    """
    sign = 1.0 if harder == "lower" else -1.0
    known = ~np.isnan(values)
    if not known.any():
        return Grouping(labels=[None] * len(values), edges=(), sizes={})
    turned = sign * values[known]
    cuts = _quantiles(turned, [Fraction(k, bins) for k in range(1, bins)])
    cuts = np.unique(cuts[cuts > turned.min()])  # nothing lies below the smallest value
    numbers = np.searchsorted(cuts, turned, side="right")
    kept, numbers = np.unique(numbers, return_inverse=True)
    edges = tuple(sorted(float(sign * cuts[k - 1]) for k in kept if k > 0))
    sizes = {int(k): int(n) for k, n in enumerate(np.bincount(numbers))}
    return Grouping(labels=_placed(numbers, known), edges=edges, sizes=sizes)


def bins_at(
    values: NDArray[np.float64], edges: Sequence[float], *, harder: Harder = "lower"
) -> Grouping[int]:
    """Bins between given cut values, numbered from 0, the hardest, as `reasoning_groups` does.

    A value on a cut belongs to the bin of larger values, whichever end is the hard one.

    Args:
        values: shape (N,), finite, or NaN where missing.
        edges: rising; K of them make K + 1 bins, of which some may be empty.
    """
    known = ~np.isnan(values)
    numbers = np.searchsorted(np.asarray(edges, np.float64), values[known], side="right")
    numbers = numbers if harder == "lower" else len(edges) - numbers
    counts = np.bincount(numbers, minlength=len(edges) + 1)
    sizes = {k: int(n) for k, n in enumerate(counts)}
    return Grouping(labels=_placed(numbers, known), edges=tuple(map(float, edges)), sizes=sizes)


def _placed(labels: NDArray[Any], known: NDArray[np.bool_]) -> list[Any]:
    """Labels of the known values among None for the others, as Python objects."""
    placed = np.full(len(known), None, object)
    placed[known] = labels
    return placed.tolist()


def _quantiles(values: NDArray[np.float64], shares: list[Fraction]) -> NDArray[np.float64]:
    """Linear interpolation as `numpy.quantile`, at exact places.

    A share times N - 1 in binary can miss a whole number by a hair; the cut then lies beside the
    value it should fall on, and all samples of that value land in the wrong bin.
    """
    ordered, cuts = np.sort(values), []
    for share in shares:
        place = share * (len(ordered) - 1)
        below = int(place)
        part = place - below
        a, b = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
        # From the nearer end: round-off never carries a cut past it.
        nearer_a = part < Fraction(1, 2)
        cuts.append(a + (b - a) * float(part) if nearer_a else b - (b - a) * float(1 - part))
    return np.array(cuts, np.float64)
