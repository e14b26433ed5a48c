"""Small-area estimates: a sample's few completions, joined to what similar samples tell of it.

Each sample has a true mean that its completions scatter around, and a prediction of that mean from
what is known of it without any completion. The estimate weighs the two by their errors, as the
small-area model of Fay and Herriot (1979) does; shares use its beta-binomial form, in which a
share's variance depends on the share itself. How far truths lie from predictions is itself known
only roughly, so each estimate is a mean over what that may be: else the intervals are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, norm, truncnorm

Floats = NDArray[np.float64]

_NODES = (np.arange(16) + 0.5) / 16  # of the distribution of what is known only roughly
_LEAST_RHO, _MOST_RHO = 1e-4, 0.98
_EDGE = 0.005  # a predicted share keeps so far from 0 and 1: no prediction is certain
_LEAST_SIZE = 0.01  # of the mean size
_BIN_SAMPLES, _MOST_BINS = 150, 10


@dataclass(frozen=True)
class Posterior:
    """What is known of each sample's true mean, and how well."""

    mean: Floats  # (N,)
    sd: Floats  # (N,), standard deviation; NaN where the completions cannot tell
    own_weight: float  # of a sample's own completions in its mean, 0 to 1; NaN likewise
    around: Floats  # (N,), standard deviation of true means around their predictions; NaN likewise
    noise: Floats  # (N,), variance of what was seen around the true mean; NaN likewise


def share_posterior(counted: Floats, seen: Floats, predicted: Floats) -> Posterior:
    """Estimate each sample's true share from its counts and a prediction.

    Prior Beta(k f, k (1 - f)) around the prediction f, so the posterior is
    Beta(k f + c, k (1 - f) + n - c) of c counted among n. The worth k of a prediction, in
    completions, comes from rho = 1 / (k + 1), the part of f (1 - f) by which true shares scatter
    around f: the mean over pairs of a sample's completions of (y - f)(y' - f) is unbiased for that,
    since a pair's own noise is independent. The posterior is averaged over rho, normal around its
    estimate by its standard error and cut to 0 to 1.

    Args:
        counted: (N,), completions that count, as the wrong ones.
        seen: (N,), completions drawn; 0 where the sample is only predicted.
        predicted: (N,), shares in 0 to 1 that know nothing of these completions.
    Returns:
        The posterior. Where no sample has two completions, half of the scatter is taken to be the
        truth's, and no sd is given: one draw each does not tell noise from difference.
    Source: linear Bayes for the beta-binomial; Fay and Herriot (1979); Rao and Molina (2015), 9.5.
    """
    f = np.clip(predicted, _EDGE, 1 - _EDGE)
    several = seen >= 2
    if several.any():
        c, n, p = counted[several], seen[several], f[several]
        # Sum over ordered pairs of (y - p)(y' - p): the square of the sum less the sum of squares.
        pairs = ((c - n * p) ** 2 - c * (1 - p) ** 2 - (n - c) * p**2) / (n * (n - 1))
        scatter = p * (1 - p)
        rho = float(pairs.sum() / scatter.sum())
        error = float(np.sqrt(np.sum((pairs - rho * scatter) ** 2)) / scatter.sum())
        rhos = _nodes(rho, error, _MOST_RHO)
    else:
        rhos = np.array([0.5])
    first, second, own = np.zeros_like(f), np.zeros_like(f), 0.0
    for rho in np.clip(rhos, _LEAST_RHO, _MOST_RHO):
        k = 1 / rho - 1
        total = k + seen
        mean = (k * f + counted) / total
        first += mean / len(rhos)
        second += (mean * (1 - mean) / (total + 1) + mean**2) / len(rhos)
        own += float(np.mean((seen / total)[seen > 0])) / len(rhos)
    unknown = np.full_like(f, np.nan)
    if not several.any():
        return Posterior(first, unknown, float("nan"), unknown, unknown)
    scattered = f * (1 - f)
    rhos = np.clip(rhos, _LEAST_RHO, _MOST_RHO)
    part, around = float(rhos.mean()), np.sqrt(_around(rhos) * scattered)
    # A share's own noise is p (1 - p) / n, and the mean of p (1 - p) is (1 - rho) f (1 - f).
    noise = np.divide((1 - part) * scattered, seen, out=unknown, where=seen > 0)
    sd = np.where(seen > 0, np.sqrt(np.maximum(second - first**2, 0)), around)
    return Posterior(first, sd, own, around, noise)


def mean_posterior(mean: Floats, within: Floats, seen: Floats, predicted: Floats) -> Posterior:
    """Estimate each sample's true mean of a number from a few draws and a prediction.

    Posterior mean (y / w + f / s) / (1 / w + 1 / s), and variance 1 / (1 / w + 1 / s): w is the
    variance of y around the truth, s that of the truth around the prediction f. Neither is a
    sample's own, of which few draws tell next to nothing: both are pooled over samples with near
    predictions, w from the variance within samples, s from (y - f)^2 less w, which is unbiased for
    it. The posterior is averaged over s, normal around its estimate by its standard error and cut
    at 0.

    Args:
        mean: (N,), over a sample's draws; NaN where there are none.
        within: (N,), variance of a sample's draws with n - 1; NaN where there are not two.
        seen: (N,), draws.
        predicted: (N,), in the units of `mean`, that know nothing of these draws.
    Returns:
        As `share_posterior`.
    Source: Fay and Herriot (1979), with smoothed variances (Rao and Molina 2015, 6.1 and 6.4).
    """
    drawn, several = seen >= 1, seen >= 2
    n = np.where(drawn, seen, 1.0)
    y = np.where(drawn, mean, predicted)
    if not several.any():
        unknown = np.full_like(y, np.nan)
        half = np.where(drawn, (y + predicted) / 2, predicted)
        return Posterior(half, unknown, float("nan"), unknown, unknown)
    w = np.maximum(_smoothed(predicted, within, several).mean(0) / n, 1e-12)
    first, second, own = np.zeros_like(y), np.zeros_like(y), 0.0
    scatter = _smoothed(predicted, (y - predicted) ** 2 - w, several)
    for s in scatter:
        weight = np.where(drawn, s / (s + w), 0.0)
        estimate = weight * y + (1 - weight) * predicted
        first += estimate / len(_NODES)
        second += (np.where(drawn, weight * w, s) + estimate**2) / len(_NODES)
        own += float(weight[drawn].mean()) / len(_NODES)
    around = np.sqrt(_around(scatter))
    sd = np.where(drawn, np.sqrt(np.maximum(second - first**2, 0)), around)
    return Posterior(first, sd, own, around, np.where(drawn, w, np.nan))


def share_coverage(
    counted: Floats, seen: Floats, predicted: Floats, around: Floats, level: float
) -> float:
    """Part of the samples whose count stands in the middle interval of that level of its forecast.

    A forecast is a beta-binomial of mean f and the given scatter of true shares around f, made
    without the sample. A count of few is coarse: of one that stands at an end of the interval the
    part counts that lies within, as of a count that is spread evenly over its step.

    Args:
        around: (N,), standard deviation of true shares around `predicted`.
        level: 0.95 for the interval from 2.5 to 97.5 %.
    Source: Czado, Gneiting and Held (2009), the nonrandomized transform of counts.
    """
    f = np.clip(predicted, _EDGE, 1 - _EDGE)
    k = np.maximum(f * (1 - f) / np.maximum(around, 1e-6) ** 2 - 1, 1e-3)
    forecast = betabinom(seen.astype(np.int64), k * f, k * (1 - f))
    low, high = forecast.cdf(counted - 1), forecast.cdf(counted)
    first, last = (1 - level) / 2, (1 + level) / 2
    inside = np.clip(np.minimum(high, last) - np.maximum(low, first), 0, None)
    return float(np.mean(inside / np.maximum(high - low, 1e-12)))


def mean_coverage(
    mean: Floats, noise: Floats, predicted: Floats, around: Floats, level: float
) -> float:
    """As `share_coverage`, of means of draws: normal, of variance `around` squared plus `noise`."""
    reach = norm.ppf((1 + level) / 2) * np.sqrt(around**2 + noise)
    return float(np.mean(np.abs(mean - predicted) <= reach))


def squared_errors(estimated: Floats, counted: Floats, drawn: Floats) -> Floats:
    """Squared errors of estimated shares, unbiased each, by counts that they know nothing of. (N,)

    (e - c / m)^2 - c (m - c) / (m^2 (m - 1)): the second term is unbiased for the variance of
    c / m around the true share.

    Args:
        counted, drawn: (N,), c of m other completions of each sample, m >= 2.
    """
    return (estimated - counted / drawn) ** 2 - own_variances(counted, drawn)


def own_variances(counted: Floats, drawn: Floats) -> Floats:
    """Variances of plain shares c / m around the true ones, unbiased each; m >= 2. (N,)"""
    found: Floats = counted * (drawn - counted) / (drawn**2 * (drawn - 1))
    return found


def calibrated(predicted: Floats, seen: Floats) -> Floats:
    """Pull predictions toward the mean as far as what was seen does not follow them.

    The slope of what was seen over what was predicted, between 0 and 1: predictions that know
    nothing become the mean, so that they cost nothing.

    Args:
        predicted: (N,), of models that never saw the sample.
        seen: (N,), NaN where nothing was.
    Source: calibration slope of Cox (1958).
    """
    known = ~np.isnan(seen)
    f, y = predicted[known], seen[known]
    spread = float(np.mean((f - f.mean()) ** 2))
    slope = float(np.mean((f - f.mean()) * (y - y.mean()))) / spread if spread > 0 else 0.0
    centred: Floats = y.mean() + float(np.clip(slope, 0, 1)) * (predicted - f.mean())
    return centred


def log_sizes(mean: Floats) -> Floats:
    """Logarithms of the sizes of mean log-probabilities, on which predictions of them are fitted.

    Both the noise of such a mean and its differences grow with its size: unlogged, the least
    confident samples alone would decide what a least-squares model learns. A size below a
    hundredth of the mean size counts as that: a sure completion has none at all.

    Args:
        mean: (N,), 0 or less; NaN where nothing was seen.
    """
    sizes = np.maximum(-mean, 0)
    known = sizes[~np.isnan(sizes)]
    logged: Floats = np.log(np.maximum(sizes, max(_LEAST_SIZE * float(known.mean()), 1e-12)))
    return logged


def from_log_sizes(predicted: Floats, mean: Floats) -> Floats:
    """Turn predicted log sizes into predicted means, whose own mean is that of what was seen.

    The mean of a logarithm is below the logarithm of the mean, so exponentials are scaled up.
    Source: Duan (1983), with a ratio of sums as the factor.
    """
    known = ~np.isnan(mean)
    sizes = np.exp(predicted)
    scaled: Floats = sizes * (mean[known].sum() / sizes[known].sum())
    return scaled


def _around(scatter: Floats) -> Floats:
    """Variance of truths around predictions, for the samples that have nothing else. (N,)

    What it may be has a mean m and a variance v. A forecast of that mean alone has intervals that
    are too narrow, as a normal's are where Student's are due; with m + v / (2 m) those of 95 % are
    as wide as the whole mixture's. Two draws each of 60, 240 and 1,000 simulated samples, of which
    the scatter is 0.1 to 0.4 of what it could be: they hold 92.8 to 98 % of the truths that were
    not drawn (with m, 90.6 to 96 %); where there is less scatter than can be told, more.

    Args:
        scatter: (16, N) or (16,), what the variance may be.
    """
    mean = np.maximum(scatter.mean(0), 1e-12)
    found: Floats = mean + scatter.var(0) / (2 * mean)
    return found


def _nodes(estimate: float, error: float, most: float) -> Floats:
    """Quantiles of a normal distribution that is cut to 0 to `most`."""
    error = max(error, 1e-12)
    cut = truncnorm((0 - estimate) / error, (most - estimate) / error, estimate, error)
    nodes: Floats = cut.ppf(_NODES)
    return nodes


def _smoothed(along: Floats, values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Means of positive values over samples with near `along`, (16, N): what they may be.

    In up to ten bins, and linear between them.
    """
    order = np.argsort(along[known], kind="stable")
    x, v = along[known][order], values[known][order]
    bins = np.array_split(np.arange(len(x)), max(1, min(_MOST_BINS, len(x) // _BIN_SAMPLES)))
    at = [x[b].mean() for b in bins]
    may_be = [_nodes(v[b].mean(), v[b].std() / np.sqrt(len(b)), np.inf) for b in bins]
    return np.array([np.interp(along, at, nodes) for nodes in np.transpose(may_be)])
