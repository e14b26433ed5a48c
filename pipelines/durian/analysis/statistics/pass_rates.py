"""Count the samples that can teach: pass rates, extreme ones, ones without variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    no_variance: float  # either of them: plain GRPO learns nothing from these
    # 1 or G - 1 of G >= 3 right, whose advantages GRPO blows up (1 of 2 is an even split)
    extreme: float
    extreme_of_varied: float | None  # of the samples with variance; None if there are none
    histogram: list[SamplesAtRate]


def pass_rate_shares(wrong: NDArray[np.float64], total: NDArray[np.float64]) -> PassRates:
    """Count the samples that teach nothing, and those that teach too much.

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them.
    """
    n, right = len(wrong), total - wrong
    never, always = right == 0, wrong == 0
    extreme = ((right == 1) | (wrong == 1)) & (total >= 3)
    varied = int((~never & ~always).sum())
    rates, counts = np.unique(right / total, return_counts=True)
    return PassRates(
        samples=n,
        never_right=float(never.mean()),
        always_right=float(always.mean()),
        no_variance=float((never | always).mean()),
        extreme=float(extreme.mean()),
        extreme_of_varied=float(extreme.sum() / varied) if varied else None,
        histogram=[
            SamplesAtRate(pass_rate=float(rate), samples=int(count))
            for rate, count in zip(rates, counts, strict=True)
        ],
    )
