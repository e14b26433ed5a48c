"""Give a number its interval from how much each sample moves it, cluster by cluster.

Let T be a number of N samples, and u_i its derivative by the weight of sample i (the empirical
influence). With U_c the sum over the samples of cluster c of m, the infinitesimal jackknife has

    variance = m / (m - 1) sum_c U_c^2,

and the interval is T -+ t standard errors, t being Student's quantile for the effective number of
clusters, (sum n_c)^2 / sum n_c^2 of n_c completions each, less one. Numbers with an end to their
range are first taken to a scale without one. No resample is drawn: the same table always gives the
same interval, in the time of a sort. docs/statistics.md has the coverage that simulation finds.

Sources: B. Efron, "The jackknife, the bootstrap and other resampling plans", 1982, chapter 6;
N. A. Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED, Estimate

Floats = NDArray[np.float64]
# Of a share or an area from 0 to 1; a correlation; what is never below 0; a difference.
Scale = Literal["unit", "correlation", "positive", "plain"]
TAIL = 0.025  # on either side of an interval
_STILL = 1e-12  # a standard error that is round-off


@dataclass(frozen=True, eq=False)
class Number:
    """A number of N samples, and by how much each moves it."""

    value: float
    influence: Floats  # (N,), the derivative by the sample's weight
    part: Floats  # (N,), completions that carry the number; 0 of a sample left out

    def less(self, other: Number) -> Number:
        """This number less another of the same samples."""
        return Number(self.value - other.value, self.influence - other.influence, self.part)

    def estimate(self, clusters: Clusters, scale: Scale) -> Estimate:
        """Give the number with its interval over clusters, or why there is none."""
        sizes = clusters.sums(self.part)
        m, moves = int((sizes > 0).sum()), clusters.sums(self.influence)
        if few := clusters.few(m):
            return Estimate(value=self.value, reason=few)
        error = float(np.sqrt(m / (m - 1) * (moves**2).sum()))
        if error < _STILL:
            return Estimate(value=self.value, reason=AGREED)
        t = float(stdtrit(max(sizes.sum() ** 2 / (sizes**2).sum() - 1, 1), 1 - TAIL))
        low, high = ends(self.value, t * error, scale)
        return Estimate(value=self.value, low=low, high=high)


def ends(value: float, margin: float, scale: Scale) -> tuple[float, float]:
    """Both ends of an interval whose margin was taken on the number's own scale."""
    # An interval of a number with ends to its range is made on a scale without ends, where it is
    # even, and taken back: so it never leaves the range, and is longer on the side that has room.
    # The margin becomes one of that scale by the scale's slope at the number (delta method).
    both = np.array([-1.0, 1.0])
    if scale == "unit" and 0 < value < 1:
        low, high = expit(logit(value) + both * margin / (value * (1 - value)))
    elif scale == "correlation" and abs(value) < 1:
        low, high = np.tanh(np.arctanh(value) + both * margin / (1 - value**2))
    elif scale == "positive" and value > 0:
        low, high = value * np.exp(both * margin / value)
    else:
        low, high = value + both * margin
    return float(low), float(high)


def mean_of(numbers: Sequence[Number]) -> Number:
    """The mean of several numbers of the same samples."""
    return Number(
        float(np.mean([each.value for each in numbers])),
        np.mean([each.influence for each in numbers], axis=0),
        numbers[0].part,
    )
