"""Agreement of two profiles: kappa of their groups, tau-b of a measure, under weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.association import Aurocs, ScoreOrder
from durian.analysis.statistics.concordance import Concordance

TAU_SAMPLES = 5000  # at most: its standard error is then about 0.01

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def by_code(weights: Floats, codes: Codes, size: int) -> Floats:
    """Sum weights over samples of one code: (b, N) to (b, size)."""
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    summed = np.zeros((len(weights), size))
    if len(found):
        summed[:, found] = np.add.reduceat(weights[:, order], starts, axis=1)
    return summed


def kappa(tables: Floats) -> Floats:
    """Cohen's kappa with linear weights: agreement beyond chance, a move by one counting 1.

    kappa = 1 - sum_ij |i - j| n_ij / sum_ij |i - j| n_i. n_.j / n.

    Args:
        tables: (b, K, K), counts by group in A and in B.
    Returns:
        (b,): 1 is the same groups, 0 what chance would give; NaN where all are in one group.
    Source: J. Cohen, "Weighted kappa", 1968.
    """
    size = tables.shape[1]
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    seen = (tables * apart).sum(axis=(1, 2)) * tables.sum(axis=(1, 2))
    chance = np.einsum("bi,ij,bj->b", tables.sum(axis=2), apart, tables.sum(axis=1))
    agreed: Floats = 1 - np.divide(seen, chance, out=np.full_like(seen, np.nan), where=chance > 0)
    return agreed


class Tau:
    """Kendall's tau-b of two values of each sample: (b, N) weights to (b, 1).

    Of 5,000 samples at most, drawn by the seed.
    """

    def __init__(self, first: Floats, second: Floats, *, seed: int) -> None:
        """Rank the samples.

        Args:
            first, second: (N,), NaN where missing; a sample needs both.
        """
        places = np.flatnonzero(~np.isnan(first) & ~np.isnan(second))
        if len(places) > TAU_SAMPLES:
            # The same samples in every resample and for every redraw, by the seed: what is compared
            # must not differ by what was picked.
            places = np.random.default_rng(seed).choice(places, TAU_SAMPLES, replace=False)
        self._places = places[np.argsort(first[places], kind="stable")]
        self._ranks = [
            np.unique(values[self._places], return_inverse=True)[1] for values in (first, second)
        ]
        self._concordance = Concordance(*self._ranks)

    def __call__(self, weights: Floats) -> Floats:
        """NaN where either value is constant in a resample."""
        w = np.take(weights, self._places, axis=1)
        n = w.sum(axis=1)
        # n^2 - sum t^2 is twice the number of pairs that are not tied.
        untied = [
            (n**2 - (by_code(w, ranks, len(w[0])) ** 2).sum(axis=1)) / 2 for ranks in self._ranks
        ]
        scale = np.sqrt(untied[0]) * np.sqrt(untied[1])
        pairs = self._concordance(w)
        tau = np.divide(pairs, scale, out=np.full_like(pairs, np.nan), where=scale > 0)
        return np.asarray(tau[:, None], np.float64)


def auroc_statistic(score: Floats, wrong: Floats, total: Floats) -> Aurocs:
    """AUROC of error by a score that rises with difficulty, of the samples that have all three."""
    known = ~np.isnan(score) & ~np.isnan(wrong)
    return Aurocs(ScoreOrder(np.where(known, score, np.nan), wrong, total))
