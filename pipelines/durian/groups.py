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

from durian.records import left_out

Harder = Literal["higher", "lower"]  # which end of a measure is the hard one
Kind = Literal["perceptual", "reasoning"]
KINDS: tuple[Kind, ...] = ("perceptual", "reasoning")
Label = TypeVar("Label", bound=Hashable)
PERCEPTUAL = ("easy", "medium", "hard")
AUTO: Literal["auto"] = "auto"  # percentiles or bins that were chosen from the errors


@dataclass(frozen=True, kw_only=True)
class ChosenCuts:
    """The choices by which "auto" came to its cuts."""

    start: int  # bins that were begun with
    told_apart: bool  # the error rates of every two neighbours differ
    min_per_batch: int | None = left_out()  # prompts that each group was to have in a batch
    rollout_batch: int | None = left_out()  # prompts


@dataclass(frozen=True, kw_only=True)
class PerceptualCuts:
    """The cuts of the perceptual groups, and the sizes that came of them."""

    measure: str  # a column
    harder: Harder | None = left_out()  # the end that was asked for; None: the column's own
    percentiles: tuple[float, float] | Literal["auto"]
    edges: tuple[float, ...]  # rising
    sizes: dict[str, int]  # samples by group
    chosen: ChosenCuts | None = left_out()

    def __post_init__(self) -> None:
        _check_sizes(self.sizes)


@dataclass(frozen=True, kw_only=True)
class ReasoningCuts:
    """The cuts of the reasoning groups, and the sizes that came of them."""

    measure: str  # a column
    harder: Harder | None = left_out()  # the end that was asked for; None: the column's own
    bins: int | Literal["auto"]  # how many were asked for
    edges: tuple[float, ...]  # rising
    sizes: dict[str, int]  # samples by group
    chosen: ChosenCuts | None = left_out()

    def __post_init__(self) -> None:
        _check_sizes(self.sizes)


@dataclass(frozen=True, kw_only=True)
class GroupCuts:
    """The cuts of both groupings of a table, and the thresholds of its causes."""

    version: int | None = left_out()  # of the table's grouping, from 1; the first Durian wrote none
    perceptual: PerceptualCuts
    reasoning: ReasoningCuts
    why: dict[str, float] | None = left_out()  # thresholds of the causes; None: none were told

    def by(self, kind: Kind) -> PerceptualCuts | ReasoningCuts:
        """The cuts of one of the two groupings."""
        return self.perceptual if kind == "perceptual" else self.reasoning


def _check_sizes(sizes: Mapping[str, int]) -> None:
    if fault := next((group for group, size in sizes.items() if size < 0), None):
        raise ValueError(f"sizes of group {fault!r} is below 0")


@dataclass(frozen=True, kw_only=True)
class Grouping(Generic[Label]):
    """The label of each sample, with the cuts and the sizes of the groups."""

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
    # The measure is turned rather than the labels: eq. 10 gives a value on the low cut to easy and
    # one on the high cut to hard, and that must hold at the hard end whichever way the measure
    # grows.
    turned = sign * values[known]
    t_low, t_high = _quantiles(turned, [Fraction(low) / 100, Fraction(high) / 100])
    edges = tuple(sorted({float(sign * t_low), float(sign * t_high)}))
    numbers = _easy_medium_hard(turned, float(t_low), float(t_high))
    return _perceptual(numbers, known, edges)


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
    # Two cuts that fall between the same two values leave a bin without a sample. The others are
    # numbered anew without a gap, because a bin's number is also its rank: 0 is the hardest.
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


def perceptual_at(
    values: NDArray[np.float64], edges: Sequence[float], *, harder: Harder = "higher"
) -> Grouping[str]:
    """Perceptual groups between two given cuts, or at one, which leaves no sample medium.

    Args: as `bins_at`, whose rule for a value on a cut holds.
    """
    known = ~np.isnan(values)
    easiest_first = np.array([0, 1, 2] if len(edges) == 2 else [0, 2])
    numbers = np.searchsorted(np.asarray(edges, np.float64), values[known], side="right")
    numbers = numbers if harder == "higher" else len(edges) - numbers
    return _perceptual(easiest_first[numbers], known, tuple(map(float, edges)))


def cut_like(
    cuts: PerceptualCuts | ReasoningCuts,
    values: NDArray[np.float64],
    *,
    harder: Harder,
    at_edges: bool = False,
) -> Grouping[str] | Grouping[int]:
    """Cut other values of a measure the way a table's were.

    Args:
        at_edges: at the table's own cut values, rather than at the quantiles that it asked for;
            where it asked for "auto" there is no other way.
    """
    if isinstance(cuts, PerceptualCuts):
        if cuts.percentiles == AUTO:
            return perceptual_at(values, cuts.edges, harder=harder)
        if not at_edges or not cuts.edges:
            return perceptual_groups(values, cuts.percentiles, harder=harder)
        sign, known = (1.0 if harder == "higher" else -1.0), ~np.isnan(values)
        # One edge means that both percentiles fell on the same value: it is then both cuts.
        low, *_, high = sorted(sign * edge for edge in (*cuts.edges, cuts.edges[-1]))
        return _perceptual(_easy_medium_hard(sign * values[known], low, high), known, cuts.edges)
    if at_edges or cuts.bins == AUTO:
        return bins_at(values, cuts.edges, harder=harder)
    return reasoning_groups(values, cuts.bins, harder=harder)


def codes_in_shares(
    values: NDArray[np.float64], sizes: Sequence[int], kind: Kind
) -> NDArray[np.intp]:
    """Groups of given shares, as codes 0, 1, ... from the easiest; ties go where a table's go.

    Args:
        values: (N,), finite, turned so that higher means harder.
        sizes: of the groups, the easiest first; three of them for perceptual ones. They need not
            add up to N: only their shares count.
    """
    shares = [Fraction(sum(sizes[:k]), sum(sizes)) for k in range(1, len(sizes))]
    cuts = _quantiles(values, shares)
    if kind == "reasoning":  # a value on a cut belongs to the surer bin, as in eq. 16
        return np.searchsorted(cuts, values, side="left")
    # The quantile of share 0 or 1 is itself a value, which an empty group must not take.
    low = float(cuts[0]) if sizes[0] else -np.inf
    high = float(cuts[1]) if sizes[2] else np.inf
    return _easy_medium_hard(values, low, high)


def _easy_medium_hard(turned: NDArray[np.float64], low: float, high: float) -> NDArray[np.intp]:
    """0, 1 or 2 of each value that rises with difficulty (eq. 10)."""
    return np.where(turned <= low, 0, np.where(turned >= high, 2, 1))


def _perceptual(
    numbers: NDArray[np.intp], known: NDArray[np.bool_], edges: tuple[float, ...]
) -> Grouping[str]:
    counts = np.bincount(numbers, minlength=len(PERCEPTUAL)).tolist()
    return Grouping(
        labels=_placed(np.array(PERCEPTUAL, object)[numbers], known),
        edges=edges,
        sizes=dict(zip(PERCEPTUAL, counts, strict=True)),
    )


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
