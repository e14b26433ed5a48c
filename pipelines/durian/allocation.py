"""Adaptive rollouts: which samples another round of completions is worth most for.

A sample is drawn on where that is likely to change what is said of it: where its mean
log-probability is near the edge of a bin, or its pass rate near one between thirds, for what is
known of either. The rule is the knowledge gradient: a round's worth is by how much it is expected
to raise the chance that the sample is in the group it seems to be in,

    worth = E[max_g P(g | what is drawn, and the round)] - max_g P(g | what is drawn),

the mean of that over the two groupings; it is never negative. A sample's round doubles its
completions: a single one can seldom turn a pass rate, and would seem worth nothing (Chen and
others, 2015). The budget is shared out over the rounds evenly, as in sequential halving (Karnin and
others, 2013), but a sample that was passed over can come back. Edges are quantiles of the very
samples at hand, estimated anew at each round.

Of the mean log-probability one variance is taken for all samples. A sample's own, of two
completions, would leave those alone that agree by luck, and did worse than no rule at all.

Bias: whether a sample is drawn on depends on its completions. One that luck has taken away from an
edge stays there, one near an edge is drawn on and goes back to its truth, so a sample's final mean
is not unbiased, as it is for a fixed number. Its first completions alone (`min-rollouts` of them)
are. `make bench` (adaptive) tells how far the means of all samples are off.

Sources: P. I. Frazier, W. B. Powell, S. Dayanik, "A knowledge-gradient policy for sequential
information collection", 2008; J. Xie, P. I. Frazier, "Sequential Bayes-optimal policies for
multiple comparisons with a known standard", 2013; X. Chen, Q. Lin, D. Zhou, "Statistical decision
making for optimal budget allocation in crowd labeling", 2015; Z. Karnin, T. Koren, O. Somekh,
"Almost optimal exploration in multi-armed bandits", 2013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtr
from scipy.stats import betabinom

THIRDS = np.array([1 / 3, 2 / 3])  # what pass rates are cut at
ENOUGH = 0.02  # without a budget: a completion of less worth than this is not drawn
LEAST_SIGNAL = 0.05  # of the variance of means, what is taken to be more than their noise
ALIKE, APART = 1e3, 0.1  # a + b of the Beta prior at most and at least
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """How the completions of some samples are shared out over rounds."""

    least: int  # completions of each sample, in the first round; 2 or more
    most: int  # of a sample in all
    bins: int  # quantile bins of the mean log-probability

    @property
    def rounds(self) -> int:
        """How many there are with the first one: as often as `least` doubles up to `most`."""
        return 1 + int(np.ceil(np.log2(self.most / self.least)))

    def more(
        self, number: int, values: Floats, right: Floats, tokens: Floats, *, left: float | None
    ) -> Ints:
        """How many completions to add to each sample in a round.

        Args:
            number: of the round, 1 to `rounds` - 1.
            values: (N, G), each completion's log-probability in the order drawn; NaN after a
                sample's last one.
            right: (N, G), 1 right and 0 wrong; NaN likewise.
            tokens: (N, G), its length; NaN likewise.
            left: of the budget, in tokens, for this round and all after it; None: no budget.
        Returns:
            (N,), 0 for a sample that is not drawn on. The tokens that the round should take, by the
            length of what the samples have, are not above its share of the budget.
        """
        drawn = (~np.isnan(values)).sum(axis=1)
        more: Ints = np.clip(self.most - drawn, 0, drawn)
        worth = (
            worth_to_mean(values, np.arange(1, self.bins) / self.bins, more)
            + worth_to_rate(right, THIRDS, more, pilot=self.least)
        ) / 2
        if left is None:
            more[worth <= ENOUGH * more] = 0
            return more
        costs = np.nansum(tokens, axis=1) / drawn * more
        gain = np.divide(worth, costs, out=np.zeros_like(worth), where=costs > 0)
        order = np.argsort(-gain, kind="stable")
        order = order[gain[order] > 0]
        order = order[np.cumsum(costs[order]) <= left / (self.rounds - number)]
        chosen: Ints = np.zeros_like(more)
        chosen[order] = more[order]
        return chosen


def worth_to_mean(values: Floats, cuts: Floats, more: Ints) -> Floats:
    """What further completions are worth for the quantile bin of each sample's mean.

    Means are normal around the truth, with the variance s^2 / n (s^2 is pooled over the samples),
    and the truths around the grand mean. Edges are quantiles of the means, drawn together around
    the grand mean until their variance is the truths'.

    Args:
        values: (N, G), NaN after a sample's last one; each has two or more.
        cuts: rising, between 0 and 1.
        more: (N,), completions to add.
    Returns:
        (N,), 0 to 1; 0 where there is nothing to add, and where all means are equal.
    """
    n = (~np.isnan(values)).sum(axis=1)
    mean = np.nansum(values, axis=1) / n
    spread = float(mean.var()) if len(mean) else 0.0
    noise = float(np.nansum((values - mean[:, None]) ** 2)) / max(1, int((n - 1).sum()))
    if spread == 0 or noise == 0:
        return np.zeros(len(mean))
    truths = max(spread - noise * float((1 / n).mean()), LEAST_SIGNAL * spread)
    grand = float(mean.mean())
    edges = np.quantile(grand + np.sqrt(truths / spread) * (mean - grand), cuts)
    now, then = (1 / (1 / truths + count / noise) for count in (n, n + more))  # variances, (N,)
    centre = now * (grand / truths + mean * n / noise)

    def surest(centres: Floats, variances: Floats) -> Floats:
        """Largest chance of a bin; any shape."""
        below = ndtr((edges - centres[..., None]) / np.sqrt(variances)[..., None])
        return np.asarray(np.diff(below, axis=-1, prepend=0, append=1).max(axis=-1))

    moved = centre[:, None] + np.sqrt(now - then)[:, None] * _NODES  # (N, nodes)
    after = surest(moved, np.broadcast_to(then[:, None], moved.shape)) @ _WEIGHTS / _WEIGHTS.sum()
    return np.where(more > 0, np.maximum(after - surest(centre, now), 0.0), 0.0)


def worth_to_rate(right: Floats, cuts: Floats, more: Ints, *, pilot: int) -> Floats:
    """What further completions are worth for the quantile bin of each sample's pass rate.

    Pass rates have a Beta prior, by moments of the first `pilot` completions of each sample, which
    are a fair draw. Edges are the prior's quantiles.

    Args:
        right: (N, G), 1 right, 0 wrong, NaN after a sample's last one; each has `pilot` or more.
        cuts, more: as `worth_to_mean` takes them.
        pilot: 2 or more.
    Returns:
        (N,), 0 to 1; 0 where there is nothing to add.
    """
    if not len(right):
        return np.zeros(0)
    a, b = beta_prior(right[:, :pilot])
    edges = betaincinv(a, b, cuts)
    n, successes = (~np.isnan(right)).sum(axis=1), np.nansum(right, axis=1)

    def surest(successes: Floats, failures: Floats) -> Floats:
        below = betainc((a + successes)[..., None], (b + failures)[..., None], edges)
        return np.asarray(np.diff(below, axis=-1, prepend=0, append=1).max(axis=-1))

    worth = np.zeros(len(right))
    for add in np.unique(more[more > 0]):
        at = more == add
        hit, missed = successes[at][:, None], (n - successes)[at][:, None]
        come = np.arange(add + 1)  # right ones among those added
        chance = betabinom.pmf(come, add, a + hit, b + missed)
        after = (chance * surest(hit + come, missed + add - come)).sum(axis=1)
        worth[at] = after - surest(hit[:, 0], missed[:, 0])
    return np.maximum(worth, 0.0)


def beta_prior(right: Floats) -> tuple[float, float]:
    """A Beta distribution of pass rates, by moments.

    The variance of pass rates of n completions is that of the truths and the mean of p (1 - p) / n;
    p (1 - p) of a sample is estimated by r (1 - r) n / (n - 1) of its pass rate r.

    Args:
        right: (N, n), n >= 2, 1 right and 0 wrong.
    Returns:
        a and b, a + b between 0.1 and 1,000.
    """
    count, n = right.shape
    rate = right.mean(axis=1)
    mean = (right.sum() + 0.5) / (right.size + 1)  # within 0 and 1, so that a and b are above 0
    variance = float(rate.var(ddof=1)) if count > 1 else 0.0
    truths = variance - float((rate * (1 - rate)).mean()) / (n - 1)
    scale = mean * (1 - mean) / truths - 1 if truths > 0 else ALIKE
    scale = float(np.clip(scale, APART, ALIKE))
    return float(mean * scale), float((1 - mean) * scale)
