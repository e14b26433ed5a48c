"""Adaptive rollouts of a chunk: from what is drawn of its samples to whom to draw on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.allocation import Allocation
from durian.config import ProfileConfig
from durian.rewards import Score
from durian.samples import Rollout

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How many rollouts each sample of a chunk gets, round by round.

    A chunk is judged by itself and has the run's budget by its number of samples, so that a
    resumed run draws what an uninterrupted one would have drawn.
    """

    allocation: Allocation
    measure: str  # of the reasoning groups: mean_logprob or sum_logprob
    tokens_a_sample: float | None  # of the run's budget

    def left(self, samples: int, spent: int) -> float | None:
        """Tokens that a chunk of so many samples may still spend; None: there is no budget."""
        return None if self.tokens_a_sample is None else self.tokens_a_sample * samples - spent

    def more(
        self,
        number: int,
        rollouts: Sequence[Sequence[Rollout]],
        scores: Sequence[Sequence[Score]],
        left: float | None,
    ) -> list[int]:
        """How many completions to add to each sample in round `number`, 1 or more.

        Args:
            rollouts, scores: of each sample, so many of the one as of the other.
        """
        tokens = _rectangle([[r.n_tokens for r in of_one] for of_one in rollouts])
        values = _rectangle([[r.sum_logprob for r in of_one] for of_one in rollouts])
        if self.measure == "mean_logprob":
            values = values / np.maximum(tokens, 1)
        right = _rectangle([[s.correct for s in of_one] for of_one in scores])
        more: list[int] = self.allocation.more(number, values, right, tokens, left=left).tolist()
        return more


def rounds_of(config: ProfileConfig, samples: int) -> Rounds | None:
    """The rounds that a profile's settings ask for; None where all samples get the same number.

    Args:
        samples: of the whole run.
    """
    adaptive = config.adaptive
    if adaptive is None:
        return None
    budget = adaptive.token_budget
    return Rounds(
        allocation=Allocation(
            least=adaptive.min_rollouts, most=adaptive.max_rollouts, bins=config.bins
        ),
        measure="sum_logprob" if config.reasoning == "sum_logprob" else "mean_logprob",
        tokens_a_sample=None if budget is None else budget / samples,
    )


def _rectangle(rows: Sequence[Sequence[float]]) -> Floats:
    """(N, G), NaN after the end of a row."""
    filled = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled
