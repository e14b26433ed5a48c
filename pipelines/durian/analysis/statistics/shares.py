"""Shares of completions with their intervals, where completions of one cluster go together.

The interval is Korn and Graubard's: Clopper and Pearson's at an effective number of trials,

    n_eff = p (1 - p) / v,

v being the variance of p by the jackknife that leaves out one cluster at a time. At most there are
as many trials as completions, and, where fewer than 15 clusters hold the rarer outcome, so that v
itself is hardly known, at most (sum n_i)^2 / sum n_i^2, each cluster of n_i completions one trial.
What v lacks in certainty is made good by (z / t)^2, t being Student's quantile for that many
clusters less one. docs/statistics.md has the coverage that simulation finds.

Sources: E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected
number of positive counts estimated from survey data", Survey Methodology 24, 1998. Differences:
G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures", Statistics in
Medicine 27, 2008 (MOVER).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED, Estimate
from durian.analysis.statistics.influence import TAIL, Number

RARE = 15  # clusters of the rarer outcome below which each cluster is one trial
Z = 1.959963984540054  # the normal distribution's 97.5 % quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shares:
    """K shares of the same m clusters, with their intervals."""

    value: Floats  # (K,), NaN of nothing
    low: Floats
    high: Floats
    clusters: NDArray[np.intp]  # (K,), how many have a part in it
    influence: Floats  # (m, K), by how much each cluster moves it; sums to 0

    def estimate(self, clusters: Clusters, k: int = 0, *, empty: str = "") -> Estimate:
        """Give one of the shares, or why it or its interval is missing."""
        if np.isnan(self.value[k]):
            return Estimate(value=None, reason=empty)
        value = float(self.value[k])
        if few := clusters.few(int(self.clusters[k])):
            return Estimate(value=value, reason=few)
        return Estimate(value=value, low=float(self.low[k]), high=float(self.high[k]))

    def difference(self, clusters: Clusters, first: int = 0, second: int = 1) -> Estimate:
        """Subtract one share from another, their interval made of the two intervals (MOVER)."""
        value = float(self.value[first] - self.value[second])
        for k in (first, second):
            if few := clusters.few(int(self.clusters[k])):
                return Estimate(value=value, reason=few)
        low, high = self.between(first, second)
        return Estimate(value=value, low=float(low), high=float(high))

    def between(
        self, first: int | slice = 0, second: int | slice = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of the interval of a difference.

        d -+ sqrt(a^2 + b^2 - 2 r a b), where a and b are the distances from the two shares to the
        ends of their intervals on that side, and r is the correlation of the shares.
        """
        p, q = self.value[first], self.value[second]
        ours, theirs = self.influence[:, first], self.influence[:, second]
        spread = np.sqrt((ours**2).sum(axis=0) * (theirs**2).sum(axis=0))
        r = np.divide(
            (ours * theirs).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0
        )
        below, above = p - self.low[first], self.high[second] - q
        low = p - q - np.sqrt(np.maximum(below**2 + above**2 - 2 * r * below * above, 0))
        above, below = self.high[first] - p, q - self.low[second]
        high = p - q + np.sqrt(np.maximum(above**2 + below**2 - 2 * r * above * below, 0))
        return low, high


def shares(hits: Floats, total: Floats) -> Shares:
    """Shares of hits among all, from counts by cluster.

    Args:
        hits, total: (m, K), or (m, 1) of a total that all have in common; a cluster of total 0
            has no part in a share.
    """
    total = np.broadcast_to(total, hits.shape)
    n, has = total.sum(axis=0), total > 0
    m = has.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = hits.sum(axis=0) / n
        # The share without each cluster in turn, less the share of all: how they scatter is the
        # jackknife's variance. A cluster that is all there is cannot be left out.
        left = np.where(has & (n > total), (n * p - hits) / (n - total), p) - p
        variance = (m - 1) / m * (left**2).sum(axis=0)
        influence = (hits - p * total) / n
        rare = np.minimum((hits > 0).sum(axis=0), (hits < total).sum(axis=0))
        as_one = n**2 / (total**2).sum(axis=0)  # trials, each cluster one
        trials = np.where(variance > 0, np.minimum(p * (1 - p) / variance, n), n)
        trials = np.where(rare < RARE, np.minimum(trials, as_one), trials)
        t = stdtrit(np.maximum(as_one - 1, 1), 1 - TAIL)
        # Where all clusters are alike no variance was estimated, and none is made good.
        trials = np.where((p > 0) & (p < 1), trials * (Z / t) ** 2, trials)
        x = p * trials
        low = np.where(p > 0, betaincinv(x, trials - x + 1, TAIL), 0.0)
        high = np.where(p < 1, betaincinv(x + 1, trials - x, 1 - TAIL), 1.0)
    return Shares(p, np.minimum(low, p), np.maximum(high, p), m, influence)


def share(hits: Floats, total: Floats, clusters: Clusters, *, empty: str = "") -> Estimate:
    """Share of hits among all completions, with its interval.

    Args:
        hits, total: (N,), of each sample.
        empty: why there is no share of nothing.
    """
    by_cluster = (clusters.sums(each)[:, None] for each in (hits, total))
    return shares(*by_cluster).estimate(clusters, empty=empty)


def paired_difference(first: Floats, second: Floats, clusters: Clusters) -> Estimate:
    """Mean over samples of `first` less that of `second`, its interval as `influence` has it.

    Where fewer than 15 clusters differ, which shows too little of how they vary, it is made of the
    two shares' intervals.

    Args:
        first, second: (N,), pass rates of the same samples, N >= 1.
    """
    if np.ptp(first - second) == 0:
        return Estimate(value=float((first - second).mean()), reason=AGREED)
    hits = np.stack([clusters.sums(first), clusters.sums(second)], axis=1)
    total = clusters.sums(np.ones(len(first)))
    found = shares(hits, total[:, None])
    if np.count_nonzero(hits[:, 0] != hits[:, 1]) < RARE:
        return found.difference(clusters)
    moves = found.influence[:, 0] - found.influence[:, 1]
    value = float(found.value[0] - found.value[1])
    return Number(value, moves, total).estimate(Clusters.apart(len(moves), clusters.of), "plain")
