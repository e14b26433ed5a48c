"""A sample spread evenly over a list, and what it says of the list's total."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.estimate import Estimate

Z = 1.959963984540054  # the normal's 97.5 % point


@dataclass(frozen=True, eq=False)
class Spread:
    """One thing drawn from each of n equal blocks of a list."""

    places: NDArray[np.int64]  # (n,), rising from 0
    blocks: NDArray[np.int64]  # (n,), how many things each stands for


def spread(things: int, size: int, *, seed: int) -> Spread:
    """Cut a list of `things` into `size` equal blocks, give or take one, and draw from each.

    A dataset is often sorted or joined from parts; its first rows, or a sample that clusters by
    chance, would speak for one part alone.

    Args:
        things: 1 or more.
        size: 1 or more; all things are drawn where there are no more than that.
    """
    n = min(size, things)
    edges = np.arange(n + 1, dtype=np.int64) * things // n
    places = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    return Spread(places, np.diff(edges))


def total(values: NDArray[np.float64], blocks: NDArray[np.int64]) -> Estimate:
    """The sum over a whole list, from one value of each block, with a 95 % normal interval.

    sum_i m_i y_i. The variance within a block is taken from the halved squared differences to
    its neighbours' values: sum_i m_i (m_i - 1) s_i^2, which has the finite-population correction
    in it (a block of one thing adds nothing). It is right for a list in random order, and errs to
    the wide side for one with a trend, though less than the variance over the whole list would.

    Args:
        values: (n,), 0 or more each; n >= 1.
        blocks: (n,), how many things each stands for.
    Returns:
        The bounds are never below what was seen; they are missing where one value stands for
        several things.
    Source: Wolter, Introduction to Variance Estimation, 2nd ed., section 8.2 (successive
        differences).
    """
    if values.ndim != 1 or values.shape != blocks.shape or not len(values):
        raise ValueError(f"values {values.shape} and blocks {blocks.shape} must be (n,), n >= 1")
    value = float((values * blocks).sum())
    if (blocks == 1).all():
        return Estimate(value=value, low=value, high=value)
    if len(values) == 1:
        return Estimate(value=value, reason="one value says nothing of how others differ")
    halved = np.diff(values) ** 2 / 2  # (n - 1,)
    # (n,): the mean of both neighbours', at the ends the one there is.
    within = (np.append(halved[0], halved) + np.append(halved, halved[-1])) / 2
    margin = Z * float(np.sqrt((blocks * (blocks - 1) * within).sum()))
    return Estimate(value=value, low=max(value - margin, float(values.sum())), high=value + margin)
