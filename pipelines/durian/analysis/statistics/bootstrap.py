"""Cluster bootstrap: whole clusters are drawn again, since what is alike in them goes together.

A sample's rollouts share its image and question; several samples may share one image. A cluster is
a sample, or all samples of an image where images repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.estimate import Estimate

RESAMPLES, FEWER_RESAMPLES, MANY = 1000, 200, 50_000
_BLOCK = 100_000  # weights held at a time: with what is made of them they stay in the cache

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
# From weights of shape (b, n), how often each sample counts, to numbers of shape (b, k).
Statistic = Callable[[Floats], Floats]
Key = TypeVar("Key", bound=Hashable)


def resamples_for(n: int) -> int:
    """Number of resamples of `n` samples: fewer for large tables, whose intervals are narrow."""
    return RESAMPLES if n <= MANY else FEWER_RESAMPLES


def resampled_weights(
    n: int, *, seed: int, clusters: NDArray[np.integer[Any]] | None = None
) -> Iterator[Floats]:
    """Draw how often each of `n` samples counts in each resample, in blocks of shape (b, n).

    Args:
        clusters: (n,), the cluster of each sample, numbered from 0 without gaps; samples of one
            cluster are drawn together. None: each sample is its own.
    """
    rng, left = np.random.default_rng(seed), resamples_for(n)
    drawable = n if clusters is None else int(clusters.max()) + 1
    while left:
        b = min(left, max(1, _BLOCK // n))
        drawn = rng.integers(drawable, size=(b, drawable)) + drawable * np.arange(b)[:, None]
        # Counting draws is nine times as fast as a multinomial over n samples.
        counts = np.bincount(drawn.ravel(), minlength=b * drawable).reshape(b, drawable)
        weights = counts.astype(np.float64)
        yield weights if clusters is None else weights[:, clusters]
        left -= b


@dataclass(frozen=True)
class Resampled:
    """k numbers of the samples as they are, and of each of B resamples of them."""

    value: Floats  # (k,)
    draws: Floats  # (B, k)


def resample(
    statistics: Mapping[Key, Statistic],
    n: int,
    *,
    seed: int,
    clusters: NDArray[np.integer[Any]] | None = None,
) -> dict[Key, Resampled]:
    """Take all statistics on the same resamples, so that what comes out can be subtracted.

    Args: as `resampled_weights`; n >= 1.
    """
    as_they_are = np.ones((1, n))
    draws: dict[Key, list[Floats]] = {key: [] for key in statistics}
    for weights in resampled_weights(n, seed=seed, clusters=clusters):
        for key, statistic in statistics.items():
            draws[key].append(statistic(weights))
    return {
        key: Resampled(statistic(as_they_are)[0], np.concatenate(draws[key]))
        for key, statistic in statistics.items()
    }


def with_interval(value: float, draws: Floats) -> Estimate:
    """An estimate with the percentiles of its resampled values; undefined ones (NaN) are left out.

    Resamples that all agree (one sample, or no error at all) say nothing of the uncertainty: the
    interval is then missing, not of width 0.
    """
    # A resample can lack what a number needs, such as any wrong completion. A few of these are
    # passed over; where they are most, the rest would be an interval of the lucky draws alone.
    usable = draws[~np.isnan(draws)]
    if len(usable) < len(draws) / 2:
        return Estimate(value=float(value), reason="undefined in most resamples")
    if np.ptp(usable) < 1e-12:
        return Estimate(value=float(value), reason="all resamples agree")
    low, high = np.percentile(usable, [2.5, 97.5])
    return Estimate(value=float(value), low=float(low), high=float(high))
