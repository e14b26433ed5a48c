"""Where to cut a measure into groups, from the errors themselves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipelines.analysis.bootstrap import resampled_weights
from pipelines.groups import reasoning_groups

START = 20  # bins to begin with, where there are samples enough
THIN = 20  # samples that a bin to begin with should have
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Cuts of a measure, and what lies between them."""

    edges: tuple[float, ...]  # rising; a value on a cut belongs above it
    sizes: tuple[int, ...]  # samples between the cuts, from the lowest values up
    start: int  # bins that were begun with
    told_apart: bool  # the error rates of every two neighbours differ


def choose_cuts(
    values: NDArray[np.float64],
    wrong: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    clusters: Sequence[Hashable] | None = None,
    fewest: int = 2,
    most: int | None = None,
    least_samples: int = 1,
    seed: int = 0,
) -> Choice:
    """Cut a measure where its error rate changes.

    The rule:

    1. Begin with 20 quantile bins; with fewer where a bin would have less than 20 samples; with one
       bin a value where there are no more values than that.
    2. Hold the error rates of each two neighbours against each other: their difference over its
       standard deviation when whole clusters are drawn again (bootstrap), as a normal deviate,
       two-sided.
    3. Merge the pair that differs least, and go on at 2, until all neighbours that are left differ
       at 5 %, or `fewest` bins are left. Holm's correction is over all the pairs of step 1: those
       that were merged were tried too. (Over the pairs that are left alone, pure noise of 4,000
       samples ends in three bins or more every second time, since merging picks the widest gaps.)

    Where a bin has fewer than `least_samples`, the smallest is merged first, with the neighbour it
    differs from least; so are bins of less than 20 samples (of rare values), as long as more than
    `fewest` are left. Where `most` bins or fewer are wanted, 3 goes on until they are.

    Cuts are among those of step 1: a step in the error rate is found to within one such bin, and a
    bin that holds the step within it can stay alone, as a bin between.

    Args:
        values: (N,), finite, or NaN where missing; such samples are left out.
        wrong, total: (N,), a sample's wrong completions, and all of them; 0 of 0 where none was
            scored: the sample then counts in sizes alone.
        clusters: (N,), what is drawn again together, like the image of several questions; None:
            each sample by itself.
        fewest, most: bins to end with. Fewer than `fewest` only where the measure has so few
            values, nearly all samples share one, or `least_samples` leaves no other way.
        seed: of the bootstrap.
    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    known = ~np.isnan(values)
    values, wrong, total = values[known], wrong[known], total[known]
    bins = _first_bins(values, fewest)
    number = _numbered(clusters, known)
    errors, completions = _resampled_sums(bins, wrong, total, number, seed=seed)
    sizes = np.bincount(bins)
    lowest = np.array([values[bins == k].min() for k in range(len(sizes))])
    highest = np.array([values[bins == k].max() for k in range(len(sizes))])
    pairs = len(sizes) - 1
    while len(sizes) > 1:
        deviations = _deviations(errors, completions)
        thin = int(sizes.argmin())
        if sizes[thin] < (least_samples if len(sizes) <= fewest else max(least_samples, THIN)):
            beside = [pair for pair in (thin - 1, thin) if 0 <= pair < len(deviations)]
            pair = min(beside, key=lambda pair: deviations[pair])
        elif len(sizes) <= fewest:
            break
        elif (most is None or len(sizes) <= most) and _all_differ(deviations, pairs):
            break
        else:
            pair = int(deviations.argmin())
        kept = [k for k in range(len(sizes)) if k != pair + 1]
        errors = np.add.reduceat(errors, kept, axis=1)
        completions = np.add.reduceat(completions, kept, axis=1)
        sizes = np.add.reduceat(sizes, kept)
        lowest, highest = np.delete(lowest, pair + 1), np.delete(highest, pair)
    return Choice(
        edges=tuple(_between(a, b) for a, b in zip(highest[:-1], lowest[1:], strict=True)),
        sizes=tuple(map(int, sizes)),
        start=pairs + 1,
        told_apart=len(sizes) > 1 and _all_differ(_deviations(errors, completions), pairs),
    )


def _first_bins(values: NDArray[np.float64], fewest: int) -> NDArray[np.int64]:
    """The bin of each value that is begun with, rising from 0."""
    start = max(fewest, min(START, len(values) // THIN))
    distinct, number = np.unique(values, return_inverse=True)
    if len(distinct) <= start:
        return number.astype(np.int64)
    return np.array(reasoning_groups(values, start).labels, np.int64)


def _numbered(clusters: Sequence[Hashable] | None, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The cluster of each known sample, from 0 in order of appearance."""
    if clusters is None:
        return np.arange(known.sum())
    seen: dict[Hashable, int] = {}
    kept = (name for name, keep in zip(clusters, known, strict=True) if keep)
    return np.array([seen.setdefault(name, len(seen)) for name in kept], np.int64)


def _resampled_sums(
    bins: NDArray[np.int64],
    wrong: NDArray[np.float64],
    total: NDArray[np.float64],
    cluster: NDArray[np.int64],
    *,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wrong completions and all of them, by bin: (1 + R, K) each, the data as they are first."""
    n, k = int(cluster.max()) + 1, int(bins.max()) + 1
    both = np.concatenate(
        [
            np.bincount(cluster * k + bins, weights=counts, minlength=n * k).reshape(n, k)
            for counts in (wrong, total)
        ],
        axis=1,
    )  # (n, 2 K)
    drawn = [weights @ both for weights in resampled_weights(n, seed=seed)]
    sums = np.concatenate([both.sum(axis=0, keepdims=True), *drawn])
    return sums[:, :k], sums[:, k:]


def _deviations(
    errors: NDArray[np.float64], completions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far apart each two neighbours are, (K - 1,): |difference| in standard deviations.

    0 where a rate is not known; infinite where nothing varies and the rates differ.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.diff(errors / completions, axis=1)
        value, draws = difference[0], difference[1:]
        usable = ~np.isnan(draws)  # a small bin can be left out of a resample
        count = usable.sum(axis=0)
        mean = np.where(usable, draws, 0.0).sum(axis=0) / count
        squares = np.where(usable, (draws - mean) ** 2, 0.0).sum(axis=0)
        deviations = np.abs(value) / np.sqrt(squares / (count - 1))
    return np.where(np.isnan(deviations), 0.0, deviations)


def _all_differ(deviations: NDArray[np.float64], pairs: int) -> bool:
    """Holm: the k-th smallest of the p-values of `pairs` is held against 5 % / (pairs - k + 1).

    The merged pairs, which are not at hand, count as the largest p-values.
    """
    p = np.sort(2 * norm.sf(deviations))
    return bool(np.all(p <= LEVEL / (pairs - np.arange(len(p)))))


def _between(below: float, above: float) -> float:
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)  # two floats can have none between them
