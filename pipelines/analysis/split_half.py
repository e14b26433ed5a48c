"""Confidence from one half of the rollouts, error from the other: do both only share their noise?

A measure taken from rollouts and the errors of the same rollouts rise and fall together by chance
alone: a completion that went wrong was also an unlikely one. The error of rollouts that the measure
has not seen is the honest test.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.analysis.association import Auroc, ScoreOrder, undefined
from pipelines.analysis.bootstrap import Estimate, Floats, Resampled, Statistic, with_interval
from pipelines.analysis.rollouts import RolloutArrays

SPLITS = 4  # each used both ways round
TAKEN = ("mean_logprob", "sum_logprob")  # confidence measures that can be taken from a half


@dataclass(frozen=True)
class _Halves:
    """AUROC of one half's measure, for errors of the same half and of the other."""

    same: ScoreOrder
    other: ScoreOrder


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
        self._halves = [
            _Halves(*(ScoreOrder(score, *errors) for errors in (own, others)))
            for _ in range(SPLITS)
            for score, own, others in _both_ways(name, rollouts, rng)
        ]

    def statistics(self) -> dict[Any, Statistic]:
        """To be taken on the shared resamples."""
        return {
            (self.name, "half", i, side): Auroc(getattr(halves, side))
            for i, halves in enumerate(self._halves)
            for side in ("same", "other")
            if undefined(getattr(halves, side))[0] is None
        }

    def estimates(self, resampled: dict[Any, Resampled]) -> dict[str, Any]:
        """`same`, `other`: means over all splits, both ways round; `splits`: how many."""
        sides = {side: self._estimate(side, resampled).as_dict() for side in ("same", "other")}
        defined = any(side["value"] is not None for side in sides.values())
        return {**sides, "splits": SPLITS if defined else 0}

    def _estimate(self, side: str, resampled: dict[Any, Resampled]) -> Estimate:
        found = [
            resampled[key]
            for i in range(len(self._halves))
            if (key := (self.name, "half", i, side)) in resampled
        ]
        if not found:
            order = getattr(self._halves[0], side)
            reason = undefined(order)[0] if len(order) else "no sample has two rollouts with it"
            return Estimate(value=None, reason=reason)
        value = float(np.mean([each.value[0] for each in found]))
        return with_interval(value, np.mean([each.draws[:, 0] for each in found], axis=0))


def _both_ways(
    name: str, rollouts: RolloutArrays, rng: np.random.Generator
) -> list[tuple[Floats, tuple[Floats, Floats], tuple[Floats, Floats]]]:
    """Of one random split, for each half: its score, its errors, and the errors of the other."""
    confidence, wrong = rollouts.confidence(name), rollouts.wrong
    usable = rollouts.present & ~np.isnan(confidence)
    half = usable.sum(axis=1) // 2  # (N,), an odd rollout is left out
    # The random place of each rollout among its sample's usable ones.
    keys = np.where(usable, rng.random(usable.shape), 2.0)
    place = np.argsort(np.argsort(keys, axis=1), axis=1)
    first = place < half[:, None]
    second = (place >= half[:, None]) & (place < 2 * half[:, None])
    scores, errors = [], []
    for members in (first, second):
        with np.errstate(invalid="ignore"):  # no half: NaN, a sample without the score
            scores.append(-np.where(members, confidence, 0.0).sum(axis=1) / half)
        errors.append((np.where(members, wrong, 0.0).sum(axis=1), half.astype(np.float64)))
    return [(scores[0], errors[0], errors[1]), (scores[1], errors[1], errors[0])]


def split_halves(
    names: Collection[str], rollouts: RolloutArrays, *, seed: int
) -> dict[str, SplitHalf]:
    """The checks of those measures that can be taken from half of the rollouts."""
    return {name: SplitHalf(name, rollouts, seed=seed) for name in TAKEN if name in names}
