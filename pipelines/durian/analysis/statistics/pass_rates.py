"""How many samples can teach: pass rates, extreme samples, samples without variance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pass_rate_shares(wrong: NDArray[np.float64], total: NDArray[np.float64]) -> dict[str, Any]:
    """Shares of samples by how many of their G completions are right (the paper's table 4).

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them.
    Returns:
        `no_variance`: 0 or G right (`never_right`, `always_right`: either of them); plain GRPO
        learns nothing from these. `extreme`: 1 or G - 1 of G >= 3 right, whose advantages it blows
        up (1 of 2 is an even split), as a share of all samples and `extreme_of_varied` of those
        with variance (null if there are none). `histogram`: samples by pass rate.
    """
    n, right = len(wrong), total - wrong
    never, always = right == 0, wrong == 0
    extreme = ((right == 1) | (wrong == 1)) & (total >= 3)
    varied = int((~never & ~always).sum())
    rates, counts = np.unique(right / total, return_counts=True)
    return {
        "samples": n,
        "never_right": float(never.mean()),
        "always_right": float(always.mean()),
        "no_variance": float((never | always).mean()),
        "extreme": float(extreme.mean()),
        "extreme_of_varied": float(extreme.sum() / varied) if varied else None,
        "histogram": [
            {"pass_rate": float(rate), "samples": int(count)}
            for rate, count in zip(rates, counts, strict=True)
        ],
    }
