"""What the image adds on one sample: its pass rate less that without the image, and how surely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.small_area import Posterior

Floats = NDArray[np.float64]


def estimated_gain(
    seeing: Posterior, blind: Posterior, missed_seeing: Floats, missed_blind: Floats
) -> tuple[Floats, Floats]:
    """Estimate each sample's gain from the estimates of both of its pass rates.

    g = p - b of the two posterior means. Both rates are drawn apart, but what the predictions miss
    of one they tend to miss of the other: a sample that is easy for its kind is so either way. The
    errors of the two means then have covariance

        c = r s_p^2 s_b^2 / (a_p a_b),

    since a mean of variance s^2 has kept the part s^2 / a^2 of what its prediction missed, whose
    own standard deviation is a. r is the correlation of what was missed: the mean of the product
    of the two misses, unbiased since their noise is independent, over that of a_p a_b. The
    standard deviation is sqrt(s_p^2 + s_b^2 - 2 c).

    Args:
        seeing, blind: of the N samples' shares of right completions.
        missed_seeing, missed_blind: (N,), shares that were seen less those predicted; NaN where
            nothing was seen.
    Returns:
        Gains and their standard deviations, (N,) each, -1 to 1; the latter NaN where either is.
    Source: linear Bayes for two shares that are drawn apart; Rao and Molina (2015), 4.4.1, have
        the multivariate Fay-Herriot model of which this keeps each estimate as it is.
    """
    product, scale = missed_seeing * missed_blind, seeing.around * blind.around
    known = ~np.isnan(product) & ~np.isnan(scale)
    together = 0.0
    if known.any() and (total := float(scale[known].sum())) > 0:
        together = float(np.clip(product[known].sum() / total, -1, 1))
    s_p, s_b = seeing.sd**2, blind.sd**2
    kept_p, kept_b = (
        np.minimum(np.divide(s, one.around**2, out=np.zeros_like(s), where=one.around > 0), 1)
        for s, one in ((s_p, seeing), (s_b, blind))
    )
    variance = s_p + s_b - 2 * together * kept_p * kept_b * scale
    return seeing.mean - blind.mean, np.sqrt(np.maximum(variance, 0))


def plain_gain(
    right: Floats, seen: Floats, blind_right: Floats, blind_seen: Floats
) -> tuple[Floats, Floats]:
    """Take each sample's gain from its completions alone, where nothing is estimated.

    g = x / n - y / m, of variance v_p / n + v_b / m: v is the variance of single completions
    within samples, x (n - x) / (n (n - 1)), as its mean over all samples with two or more. A
    sample's own would be 0 for one that is right in all of its few completions.

    Args:
        right, seen: (N,), right completions among those drawn.
        blind_right, blind_seen: (N,), the same without the image.
    Returns:
        Gains and their standard deviations, (N,) each; NaN where either was not drawn, the latter
        also where no sample has two completions of both.
    """
    gain, variance = np.zeros_like(seen), np.zeros_like(seen)
    for sign, x, n in ((1, right, seen), (-1, blind_right, blind_seen)):
        several = n >= 2
        x2, n2 = x[several], n[several]
        within = float(np.mean(x2 * (n2 - x2) / (n2 * (n2 - 1)))) if several.any() else np.nan
        count = np.where(n > 0, n, np.nan)
        gain += sign * x / count
        variance += within / count
    return gain, np.sqrt(variance)
