"""Confidence from one half of the rollouts, error from the other: do both only share their noise?

A measure taken from rollouts and the errors of the same rollouts rise and fall together by chance
alone: a completion that went wrong was also an unlikely one. The error of rollouts that the measure
has not seen is the honest test.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from durian.analysis.one_run.rollouts import RolloutArrays
from durian.analysis.statistics.association import AUROC, Aurocs, ScoreOrder, undefined
from durian.analysis.statistics.bootstrap import (
    Floats,
    Resampled,
    Statistic,
    with_interval,
)
from durian.analysis.statistics.estimate import Estimate

SPLITS = 4  # each used both ways round
TAKEN = ("mean_logprob", "sum_logprob")  # confidence measures that can be taken from a half


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


class SplitHalf:
    """The check of one confidence measure."""

    def __init__(self, name: str, rollouts: RolloutArrays, *, seed: int) -> None:
        """Draw the splits; a sample with fewer than two rollouts is left out.

        Args:
            name: of `TAKEN`.
            seed: of the splits; the same for all measures.
        """
        self.name = name
        rng = np.random.default_rng([seed, 1])
        self._halves = [half for _ in range(SPLITS) for half in _both_ways(name, rollouts, rng)]
        self._reasons = [[_undefined(half, wrong) for wrong in half.wrong] for half in self._halves]

    def statistics(self) -> dict[Hashable, Statistic]:
        """Give the statistics that are to be taken on the shared resamples."""
        return {
            (self.name, "half", i): Aurocs(
                ScoreOrder(half.score, half.wrong[0], half.total), half.wrong[1]
            )
            for i, half in enumerate(self._halves)
            if None in self._reasons[i]
        }

    def estimates(self, drawn: Mapping[Hashable, Resampled]) -> SplitHalves:
        """Means over all splits, both ways round."""
        same, other = (self._estimate(k, drawn) for k in range(2))
        defined = same.value is not None or other.value is not None
        return SplitHalves(same=same, other=other, splits=SPLITS if defined else 0)

    def _estimate(self, k: int, drawn: Mapping[Hashable, Resampled]) -> Estimate:
        found = [
            drawn[self.name, "half", i]
            for i, reasons in enumerate(self._reasons)
            if reasons[k] is None
        ]
        if not found:
            return Estimate(value=None, reason=self._reasons[0][k])
        value = float(np.mean([each.value[k] for each in found]))
        return with_interval(value, np.mean([each.draws[:, k] for each in found], axis=0))


def _undefined(half: _Half, wrong: Floats) -> str | None:
    if not half.total.any():
        return "no sample has two rollouts"
    return undefined(ScoreOrder(half.score, wrong, half.total))[AUROC]


def _both_ways(name: str, rollouts: RolloutArrays, rng: np.random.Generator) -> list[_Half]:
    """Split each sample's rollouts at random, and measure either half."""
    confidence = rollouts.confidence(name)
    usable = rollouts.present & ~np.isnan(confidence)
    size = usable.sum(axis=1) // 2  # (N,), an odd rollout is left out
    # The random place of each rollout among its sample's usable ones.
    keys = np.where(usable, rng.random(usable.shape), 2.0)
    # Sorted twice, random keys become a random order of each sample's rollouts; the key 2 puts what
    # cannot be used behind all others.
    place = np.argsort(np.argsort(keys, axis=1), axis=1)
    halves = (
        place < size[:, None],
        (place >= size[:, None]) & (place < 2 * size[:, None]),
    )
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


def split_halves(
    names: Collection[str], rollouts: RolloutArrays, *, seed: int
) -> dict[str, SplitHalf]:
    """The checks of those measures that can be taken from half of the rollouts."""
    return {name: SplitHalf(name, rollouts, seed=seed) for name in TAKEN if name in names}
