"""Count the samples that can teach: pass rates, extreme ones, ones without variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPREAD = 1e-6  # below it rewards have no variance, as in the normalizer


@dataclass(frozen=True, kw_only=True)
class SamplesAtRate:
    """Number of samples that have one pass rate."""

    pass_rate: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class PassRates:
    """Shares of samples by how many of their G completions are right (the paper's table 4)."""

    samples: int
    never_right: float
    always_right: float
    no_variance: float  # rewards that do not spread: plain GRPO learns nothing from these
    by_rewards: bool = False  # else by what is right: an old table, or one completion a sample
    varied: int = 0  # samples whose rewards do; 0 in a summary of an older version
    # 1 or G - 1 of G >= 3 right, whose advantages GRPO blows up (1 of 2 is an even split)
    extreme: float
    extreme_of_varied: float | None  # of the samples with variance; None if there are none
    histogram: list[SamplesAtRate]


def pass_rate_shares(
    wrong: NDArray[np.float64],
    total: NDArray[np.float64],
    reward_std: NDArray[np.float64] | None = None,
) -> PassRates:
    """Count the samples that teach nothing, and those that teach too much.

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them.
        reward_std: (N,), the spread of a sample's rewards, by which it has variance or none; NaN or
            None where it is not known (one completion, an old table): then by what is right.
    """
    n, right = len(wrong), total - wrong
    never, always = right == 0, wrong == 0
    extreme = ((right == 1) | (wrong == 1)) & (total >= 3)
    still = never | always
    known = reward_std is not None and not np.isnan(reward_std).all()
    if known and reward_std is not None:
        still = np.where(np.isnan(reward_std), still, reward_std < SPREAD)
    varied = int((~still).sum())
    rates, counts = np.unique(right / total, return_counts=True)
    return PassRates(
        samples=n,
        never_right=float(never.mean()),
        always_right=float(always.mean()),
        no_variance=float(still.mean()),
        by_rewards=known,
        varied=varied,
        extreme=float(extreme.mean()),
        extreme_of_varied=float((extreme & ~still).sum() / varied) if varied else None,
        histogram=[
            SamplesAtRate(pass_rate=float(rate), samples=int(count))
            for rate, count in zip(rates, counts, strict=True)
        ],
    )
