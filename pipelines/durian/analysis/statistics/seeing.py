"""What images add to a policy's accuracy, and what training moved: seeing, or guessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.estimate import Estimate

if TYPE_CHECKING:
    from durian.analysis.statistics.clusters import Clusters

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Seeing:
    """Accuracy of one policy with and without the image, on samples that it was asked both ways."""

    samples: int
    seeing: Estimate
    blind: Estimate
    gain: Estimate  # MMStar's multi-modal gain: the first less the second


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a training moved, on samples that both policies were asked both ways."""

    samples: int
    seeing: Estimate  # accuracy with the image after it, less that before
    blind: Estimate  # accuracy without the image after it, less that before
    gain: Estimate  # multi-modal gain after it, less that before
    leakage: Estimate  # MMStar's multi-modal leakage, the policy before in the base model's place


def seeing(with_image: Floats, without: Floats, clusters: Clusters) -> Seeing | None:
    """Multi-modal gain S_v - S_wv: accuracy with images less that without them, by clusters.

    Args:
        with_image, without: (N,), pass rates; NaN of samples that were not asked so, which are
            left out of all.
    Returns:
        None where no sample was asked both ways.
    Source: Chen et al. (2024), MMStar, arXiv 2403.20330, eq. 1.
    """
    # Here: the terminal names these records, and `--help` must not load polars.
    from durian.analysis.statistics.shares import paired_difference, share

    both = ~np.isnan(with_image) & ~np.isnan(without)
    if not both.any():
        return None
    one, other, drawn = with_image[both], without[both], clusters.among(both)
    every = np.ones(len(one))
    return Seeing(
        samples=len(one),
        seeing=share(one, every, drawn),
        blind=share(other, every, drawn),
        gain=paired_difference(one, other, drawn),
    )


def learned(
    before: tuple[Floats, Floats], after: tuple[Floats, Floats], clusters: Clusters
) -> Learned | None:
    """Tell what a training taught: the change with the image, without it, and of the gain.

    Multi-modal leakage is max(0, S_wv - S_t): how much more a policy is right without images than
    the language model that it was made from. That model is seldom at hand, so the policy before
    the training, asked without images too, stands in for it: the leakage is that of this training
    alone. Cut at 0 it has no negative values, and its interval is that of the difference, cut so.

    Args:
        before, after: pass rates with the image and without, (N,) each; NaN as in `seeing`.
    Returns:
        None where no sample was asked both ways by both.
    Source: Chen et al. (2024), MMStar, eq. 2.
    """
    from durian.analysis.statistics.shares import paired_difference  # as above

    known = np.isfinite(before[0] + before[1] + after[0] + after[1])
    if not known.any():
        return None
    (s_0, b_0), (s_1, b_1) = (tuple(each[known] for each in pair) for pair in (before, after))
    drawn = clusters.among(known)
    blind = paired_difference(b_1, b_0, drawn)
    # The difference of two differences, as one of two means that are shares.
    half = paired_difference((s_1 + b_0) / 2, (s_0 + b_1) / 2, drawn)
    return Learned(
        samples=int(known.sum()),
        seeing=paired_difference(s_1, s_0, drawn),
        blind=blind,
        gain=_changed(half, lambda value: 2 * value),
        leakage=_changed(blind, lambda value: max(0.0, value)),
    )


def _changed(found: Estimate, change: Callable[[float], float]) -> Estimate:
    value, low, high = (
        None if each is None else change(each) for each in (found.value, found.low, found.high)
    )
    return replace(found, value=value, low=low, high=high)
