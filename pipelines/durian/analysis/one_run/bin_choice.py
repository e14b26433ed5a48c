"""Find the cuts of a measure into groups from the errors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from durian.analysis.statistics.clusters import Clusters
from durian.groups import reasoning_groups

START = 20  # bins to begin with, where there are samples enough
THIN = 20  # clusters that a bin needs before its deviation can be believed
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
    clusters: Clusters | None = None,
    fewest: int = 2,
    most: int | None = None,
    least_samples: int = 1,
) -> Choice:
    """Cut a measure where its error rate changes.

    The rule:

    1. Begin with 20 quantile bins; with fewer where there are less than 20 clusters or
       `least_samples` a bin; with one bin a value where there are no more values than that.
    2. Hold the error rates of each two neighbours against each other: their difference over its
       standard deviation between clusters (as `influence` has it), as a normal deviate, two-sided.
    3. Merge the pair that differs least, and go on at 2, until all neighbours that are left differ
       at 5 %, or `fewest` bins are left. Holm's correction is over all the pairs of step 1: those
       that were merged were tried too. (Over the pairs that are left alone, pure noise of 4,000
       samples ends in three bins or more every second time, since merging picks the widest gaps.)

    Where equal values leave a bin with fewer than `least_samples`, the smallest is merged first,
    with the neighbour it differs from least; then bins of less than 20 clusters, as long as more
    than `fewest` are left: few clusters show too little of how they vary. Where `most` bins or
    fewer are wanted, 3 goes on until they are.

    Cuts are among those of step 1: a step in the error rate is found to within one such bin, and a
    bin that holds the step within it can stay alone, as a bin between.

    Args:
        values: (N,), finite, or NaN where missing; such samples are left out.
        wrong, total: (N,), a sample's wrong completions, and all of them; 0 of 0 where none was
            scored: the sample then counts in sizes alone.
        clusters: samples that go together, like the questions about an image; None: each sample
            by itself.
        fewest, most: bins to end with. Fewer than `fewest` only where the measure has so few
            values, nearly all samples share one, or `least_samples` leaves no other way.
    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    order = np.lexsort((total, wrong, values))[: np.count_nonzero(~np.isnan(values))]  # NaN last
    values, wrong, total = values[order], wrong[order], total[order]
    cluster = (
        np.arange(len(order))
        if clusters is None
        else np.unique(clusters.codes[order], return_inverse=True)[1]
    )
    clusters_in_all, samples = int(cluster.max()) + 1, len(values)
    begun = min(START, clusters_in_all // THIN, samples // least_samples)
    bins = _first_bins(values, max(fewest, begun))
    by_cluster = Clusters(cluster)
    errors, completions = (
        by_cluster.table(bins.astype(np.intp), counts, int(bins.max()) + 1)
        for counts in (wrong, total)
    )
    # Bins are only ever merged, so the sums by cluster and first bin are enough for the whole
    # search: a merge adds two columns of them.
    pairs = int(bins.max())
    while True:
        deviations, sizes = _deviations(errors, completions), np.bincount(bins)
        alike = _clusters_in(bins, cluster)
        if len(sizes) > 1 and sizes.min() < least_samples:
            pair = _nearer(int(sizes.argmin()), deviations)
        elif len(sizes) <= fewest:
            break
        elif alike.min() < THIN:
            pair = _nearer(int(alike.argmin()), deviations)
        elif (most is None or len(sizes) <= most) and _all_differ(deviations, pairs):
            break
        else:
            pair = int(deviations.argmin())
        bins = bins - (bins > pair)
        # The columns of a pair become one: `reduceat` adds up from each kept place to the next.
        kept = [k for k in range(len(sizes)) if k != pair + 1]
        errors = np.add.reduceat(errors, kept, axis=1)
        completions = np.add.reduceat(completions, kept, axis=1)
    ends = np.flatnonzero(np.diff(bins))
    return Choice(
        edges=tuple(_between(values[end], values[end + 1]) for end in ends),
        sizes=tuple(map(int, sizes)),
        start=pairs + 1,
        told_apart=len(sizes) > 1 and _all_differ(deviations, pairs),
    )


def _first_bins(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The bin of each of the rising values that is begun with."""
    distinct, number = np.unique(values, return_inverse=True)
    if len(distinct) <= count:
        return number.astype(np.int64)
    return np.array(reasoning_groups(values, count).labels, np.int64)


def _clusters_in(bins: NDArray[np.int64], cluster: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Number of clusters that each bin has samples of. (K,)"""
    count = int(bins.max()) + 1
    return np.bincount(np.unique(cluster * count + bins) % count, minlength=count)


def _nearer(thin: int, deviations: NDArray[np.float64]) -> int:
    """The pair of a bin and the neighbour it differs from least."""
    pairs = [pair for pair in (thin - 1, thin) if 0 <= pair < len(deviations)]
    return min(pairs, key=lambda pair: float(deviations[pair]))


def _deviations(
    errors: NDArray[np.float64], completions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of each two neighbours, (K - 1,): |difference| in standard deviations.

    0 where a rate is not known; infinite where nothing varies and the rates differ.

    Args:
        errors, completions: (m, K), by cluster and bin.
    """
    m, totals = len(errors), completions.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = errors.sum(axis=0) / totals
        moves = np.diff((errors - rates * completions) / totals, axis=1)
        variance = m / (m - 1) * (moves**2).sum(axis=0)
        variance[variance < 1e-24] = 0.0  # round-off
        deviations = np.abs(np.diff(rates)) / np.sqrt(variance)
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
