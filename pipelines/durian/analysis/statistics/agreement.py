"""Agreement of two profiles of the same samples: kappa of groups, tau-b of a measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.association import ScoreOrder, tau_b
from durian.analysis.statistics.influence import Number

TAU_SAMPLES = 5000  # at most: its standard error is then about 0.01

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def kappa(first: Codes, second: Codes) -> Number | None:
    """Cohen's kappa with linear weights: agreement beyond chance, a move by one counting 1.

    kappa = 1 - sum_ij |i - j| n_ij / sum_ij |i - j| n_i. n_.j / n.

    Args:
        first, second: (N,), the group of each sample in A and in B, from 0; -1: in none of either.
    Returns:
        1 is the same groups, 0 what chance would give; None where all are in one group.
    Source: J. Cohen, "Weighted kappa", 1968.
    """
    both = (first >= 0) & (second >= 0)
    i, j = first[both], second[both]
    size, n = int(max(i.max(initial=0), j.max(initial=0))) + 1, len(i)
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    rows, columns = np.bincount(i, minlength=size), np.bincount(j, minlength=size)
    seen, chance = int(np.abs(i - j).sum()), int(rows @ apart @ columns)
    if not chance:
        return None
    of_chance = (apart @ columns)[i] + (apart @ rows)[j]
    moves, part = np.zeros(len(first)), both.astype(np.float64)
    moves[both] = seen * n * of_chance / chance**2 - (np.abs(i - j) * n + seen) / chance
    return Number(1 - seen * n / chance, moves, part)


def tau(first: Floats, second: Floats, *, seed: int) -> Number | None:
    """Kendall's tau-b of two values of each sample; None where either is constant.

    Of 5,000 samples at most, drawn by the seed.

    Args:
        first, second: (N,), NaN where missing; a sample needs both.
    """
    places = np.flatnonzero(~np.isnan(first) & ~np.isnan(second))
    if len(places) > TAU_SAMPLES:
        places = np.random.default_rng(seed).choice(places, TAU_SAMPLES, replace=False)
    places = places[np.argsort(first[places], kind="stable")]
    ranks = [np.unique(values[places], return_inverse=True)[1] for values in (first, second)]
    if min(int(codes.max(initial=0)) for codes in ranks) == 0:
        return None
    value, influence = tau_b(*ranks)
    moves, part = np.zeros(len(first)), np.zeros(len(first))
    moves[places], part[places] = influence, 1.0
    return Number(value, moves, part)


def score_order(score: Floats, wrong: Floats, total: Floats) -> ScoreOrder:
    """Order the samples that have score and errors by a score that rises with difficulty."""
    known = ~np.isnan(score) & ~np.isnan(wrong)
    return ScoreOrder(np.where(known, score, np.nan), wrong, total)
