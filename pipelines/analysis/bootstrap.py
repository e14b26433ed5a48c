"""Cluster bootstrap: whole samples are drawn again, since a sample's rollouts go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES, FEWER_RESAMPLES, MANY = 1000, 200, 50_000
_BLOCK = 4_000_000  # weights held at a time


def resamples_for(n: int) -> int:
    """How often to resample `n` samples: fewer for large tables, whose intervals are narrow."""
    return RESAMPLES if n <= MANY else FEWER_RESAMPLES


def resampled_weights(n: int, *, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` samples is drawn in each resample, in blocks of shape (b, n)."""
    rng, left = np.random.default_rng(seed), resamples_for(n)
    while left:
        b = min(left, max(1, _BLOCK // n))
        drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
        # Counting draws is nine times as fast as a multinomial over n samples.
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)
        left -= b


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % percentile interval, or the reason why either is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values; the reason only where there is one."""
        known = {"value": self.value, "low": self.low, "high": self.high}
        return known if self.reason is None else {**known, "reason": self.reason}


def with_interval(value: float, draws: NDArray[np.float64]) -> Estimate:
    """An estimate with the interval of its resampled values; undefined ones (NaN) are left out.

    Resamples that all agree (one sample, or no error at all) say nothing of the uncertainty: the
    interval is then missing, not of width 0.
    """
    usable = draws[~np.isnan(draws)]
    if len(usable) < len(draws) / 2:
        return Estimate(value=float(value), reason="undefined in most resamples")
    if np.ptp(usable) < 1e-12:
        return Estimate(value=float(value), reason="all resamples agree")
    low, high = np.percentile(usable, [2.5, 97.5])
    return Estimate(value=float(value), low=float(low), high=float(high))
