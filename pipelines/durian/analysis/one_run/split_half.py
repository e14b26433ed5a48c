"""Confidence from one half of the rollouts, error from the other: do both only share their noise?

A measure taken from rollouts and the errors of the same rollouts rise and fall together by chance
alone: a completion that went wrong was also an unlikely one. The error of rollouts that the measure
has not seen is the honest test.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.one_run.rollouts import RolloutArrays
from durian.analysis.statistics.association import ScoreOrder, auroc, why_no_auroc
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.influence import mean_of

SPLITS = 4  # each used both ways round
TAKEN = ("mean_logprob", "sum_logprob")  # confidence measures that can be taken from a half


Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SplitHalves:
    """AUROC of a confidence from half of the rollouts, of either half's errors."""

    same: Estimate  # the half that it was taken from
    other: Estimate
    splits: int  # the mean is over both ways round of each; 0 where there is no number


@dataclass(frozen=True, kw_only=True)
class _Half:
    """One half of each sample's rollouts; (N,) each."""

    score: Floats  # higher is less sure; NaN where a sample has no half
    wrong: tuple[Floats, Floats]  # in the same half, in the other
    total: Floats  # rollouts of a half, made even


def split_halves(
    names: Collection[str], rollouts: RolloutArrays, clusters: Clusters, *, seed: int
) -> dict[str, SplitHalves]:
    """Check those measures that can be taken from half of the rollouts.

    A sample with fewer than two rollouts is left out.

    Args:
        seed: of the splits; the same for all measures.
    """
    return {name: _split_halves(name, rollouts, clusters, seed) for name in TAKEN if name in names}


def _split_halves(name: str, rollouts: RolloutArrays, clusters: Clusters, seed: int) -> SplitHalves:
    rng = np.random.default_rng([seed, 1])
    halves = [half for _ in range(SPLITS) for half in _both_ways(name, rollouts, rng)]
    same, other = (_estimate(halves, k, clusters) for k in range(2))
    defined = same.value is not None or other.value is not None
    return SplitHalves(same=same, other=other, splits=SPLITS if defined else 0)


def _estimate(halves: Sequence[_Half], k: int, clusters: Clusters) -> Estimate:
    """Mean over all splits, both ways round, of the AUROC of one half's errors."""
    if not halves[0].total.any():
        return Estimate(value=None, reason="no sample has two rollouts")
    orders = [ScoreOrder(half.score, half.wrong[k], half.total) for half in halves]
    reasons = [why_no_auroc(order) for order in orders]
    usable = [order for order, reason in zip(orders, reasons, strict=True) if reason is None]
    if not usable:
        return Estimate(value=None, reason=reasons[0])
    return usable[0].shown(mean_of([auroc(order) for order in usable]), clusters, "unit")


def _both_ways(name: str, rollouts: RolloutArrays, rng: np.random.Generator) -> list[_Half]:
    """Split each sample's rollouts at random, and measure either half."""
    confidence = rollouts.confidence(name)
    usable = rollouts.present & ~np.isnan(confidence)
    halves, size = halved(usable, rng)
    wrong = [np.where(half, rollouts.wrong, 0.0).sum(axis=1) for half in halves]
    scores = []
    for half in halves:
        with np.errstate(invalid="ignore"):  # no half: NaN, a sample without the score
            scores.append(-np.where(half, confidence, 0.0).sum(axis=1) / size)
    (first, second), total = wrong, size.astype(np.float64)
    return [
        _Half(score=scores[0], wrong=(first, second), total=total),
        _Half(score=scores[1], wrong=(second, first), total=total),
    ]


def halved(
    usable: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.intp]]:
    """Split each sample's usable rollouts at random into two halves; an odd one is in neither.

    Args:
        usable: (N, G).
    Returns:
        The two halves, (N, G) each, and their size, (N,).
    """
    size = usable.sum(axis=1) // 2
    # The random place of each rollout among its sample's usable ones.
    keys = np.where(usable, rng.random(usable.shape), 2.0)
    # Sorted twice, random keys become a random order of each sample's rollouts; the key 2 puts what
    # cannot be used behind all others.
    place = np.argsort(np.argsort(keys, axis=1), axis=1)
    first = place < size[:, None]
    return (first, (place >= size[:, None]) & (place < 2 * size[:, None])), size
