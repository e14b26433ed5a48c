"""Does a measure predict error? AUROC over completions, Spearman over samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.analysis.bootstrap import Estimate, resampled_weights, with_interval

Floats = NDArray[np.float64]


def auroc_of_error(score: Floats, wrong: Floats, total: Floats, *, seed: int) -> Estimate:
    """Chance that a wrong completion's sample scores higher than a right one's; ties count half.

    The area under the ROC curve, as the Mann-Whitney statistic over completions.

    Args:
        score: (N,), turned so that higher means harder; no NaN.
        wrong, total: (N,), a sample's wrong completions, and all of them.
    Returns:
        0.5 is no better than chance; undefined, with the reason, where all are right or wrong or
        the score is constant.
    """
    if not len(score):
        return Estimate(value=None, reason="no sample has it")
    right = total - wrong
    if not wrong.any() or not right.any():
        return Estimate(value=None, reason=f"all are {'wrong' if wrong.any() else 'right'}")
    if score.min() == score.max():
        return Estimate(value=None, reason="the measure is constant")
    order = np.argsort(score, kind="stable")
    starts = _starts(score[order])
    pos, neg = wrong[order], right[order]
    value = _auroc(pos[None], neg[None], starts)[0]
    draws = [_auroc(w * pos, w * neg, starts) for w in _reordered(len(score), order, seed=seed)]
    return with_interval(value, np.concatenate(draws))


def spearman_with_error(score: Floats, wrong: Floats, total: Floats, *, seed: int) -> Estimate:
    """Rank correlation of a measure with the error rate of each sample, ties at mid-rank.

    Args: as `auroc_of_error`.
    """
    if not len(score):
        return Estimate(value=None, reason="no sample has it")
    rate = wrong / total
    if score.min() == score.max():
        return Estimate(value=None, reason="the measure is constant")
    if rate.min() == rate.max():
        return Estimate(value=None, reason="the error rate is constant")
    x, y = _Ranks(score), _Ranks(rate)
    value = _spearman(x, y, np.ones((1, len(score))))[0]
    draws = [_spearman(x, y, w) for w in resampled_weights(len(score), seed=seed)]
    return with_interval(value, np.concatenate(draws))


def _starts(ordered: Floats) -> NDArray[np.intp]:
    """Where each distinct value begins in a rising array."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _auroc(pos: Floats, neg: Floats, starts: NDArray[np.intp]) -> Floats:
    """Of each row of weights, shape (b, N) in the order of the score."""
    pos = np.add.reduceat(pos, starts, axis=1)  # (b, distinct values)
    neg = np.add.reduceat(neg, starts, axis=1)
    below = np.cumsum(neg, axis=1) - neg
    with np.errstate(invalid="ignore"):  # a resample without a right or a wrong one: NaN
        area: Floats = (pos * (below + neg / 2)).sum(axis=1) / (pos.sum(axis=1) * neg.sum(axis=1))
    return area


def _reordered(n: int, order: NDArray[np.intp], *, seed: int) -> Iterator[Floats]:
    return (weights[:, order] for weights in resampled_weights(n, seed=seed))


class _Ranks:
    """Mid-ranks of one variable under weights."""

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        self.starts = _starts(values[self.order])
        _, self.inverse = np.unique(values, return_inverse=True)

    def under(self, weights: Floats) -> Floats:
        """(b, N) weights to (b, N) mid-ranks, in the samples' own order."""
        tied = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        ranks: Floats = np.cumsum(tied, axis=1) - (tied - 1) / 2
        return ranks[:, self.inverse]


def _spearman(x: _Ranks, y: _Ranks, weights: Floats) -> Floats:
    n = weights.sum(axis=1, keepdims=True)
    centred = []
    for ranks in (x.under(weights), y.under(weights)):
        centred.append(ranks - (weights * ranks).sum(axis=1, keepdims=True) / n)
    a, b = centred
    with np.errstate(invalid="ignore"):  # a resample without spread: NaN
        rho: Floats = (weights * a * b).sum(axis=1) / np.sqrt(
            (weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1)
        )
    return rho
