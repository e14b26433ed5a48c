"""Rollouts as rectangles, one row a sample: what can be drawn again within each sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.analysis.one_run.columns import numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RolloutArrays:
    """The completions of N samples, G at most; each array (N, G), NaN where there is none."""

    present: NDArray[np.bool_]
    wrong: Floats  # 1 wrong, 0 right
    n_tokens: Floats
    sum_logprob: Floats  # nats

    def confidence(self, name: str) -> Floats:
        """Confidence of each completion, (N, G): `sum_logprob` or `mean_logprob` (eq. 14)."""
        if name == "sum_logprob":
            return self.sum_logprob
        return np.divide(
            self.sum_logprob,
            self.n_tokens,
            out=np.full_like(self.sum_logprob, np.nan),
            where=self.n_tokens >= 1,
        )


def rollout_arrays(rollouts: pl.DataFrame, sample_ids: pl.Series) -> RolloutArrays:
    """Rollouts of the samples named, in their order; those of other samples are left out.

    Args:
        rollouts: `sample_id`, `rollout`, `n_tokens`, `sum_logprob`, `correct`.
    """
    rows = pl.DataFrame({"sample_id": sample_ids}).with_row_index("place")
    # A completion that was never judged cannot be right or wrong.
    joined = (
        rollouts.lazy()
        .filter(pl.col("correct").is_not_null())
        .select("sample_id", "rollout", "n_tokens", "sum_logprob", "correct")
        .join(rows.lazy(), on="sample_id")
        .drop("sample_id")
        .sort("place", "rollout")
        .collect()
    )
    place = joined["place"].to_numpy()
    of_each = np.bincount(place, minlength=len(sample_ids))
    number = np.arange(len(place)) - np.repeat(np.cumsum(of_each) - of_each, of_each)
    shape = len(sample_ids), int(number.max(initial=-1)) + 1
    present = np.zeros(shape, bool)
    present[place, number] = True

    def rectangle(column: pl.Series) -> Floats:
        filled = np.full(shape, np.nan)
        filled[place, number] = numbers(column)
        return filled

    return RolloutArrays(
        present=present,
        wrong=1.0 - rectangle(joined["correct"]),
        n_tokens=rectangle(joined["n_tokens"]),
        sum_logprob=rectangle(joined["sum_logprob"]),
    )
