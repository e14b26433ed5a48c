"""Tell whether pass rates and groups would be the same had the rollouts been drawn again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.one_run.rollouts import RolloutArrays
from durian.analysis.statistics.estimate import Label
from durian.groups import KINDS, GroupCuts, Harder, Kind, PerceptualCuts, ReasoningCuts, cut_like
from durian.measures import MEASURES, BlindMeasure, RolloutMeasure
from durian.records import left_out

REDRAWS, FEWER_REDRAWS = 200, 40
BUDGET = 4_000_000  # samples redrawn in all: of many, fewer redraws show the shares as well
CERTAIN = 0.95
# Columns that come from rollouts; those that can be taken again from what is kept of each.
FROM_ROLLOUTS = {
    column.name
    for measure in MEASURES.values()
    if isinstance(measure, RolloutMeasure | BlindMeasure)
    for column in measure.columns
}
RETAKEN = ("mean_logprob", "sum_logprob", "pass_rate", "mean_tokens")

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]  # (N,), the group of each sample as a number, -1 for none


@dataclass(frozen=True, kw_only=True)
class PassRateReliability:
    """The share of the spread of pass rates that is between samples, not luck of the draw."""

    reliability: float | None  # 0 to 1
    standard_error: float | None  # of a sample's pass rate; None where no sample has two rollouts
    reason: str | None = left_out()  # why there is no reliability


@dataclass(frozen=True, kw_only=True)
class GroupReliability:
    """Shares of samples that keep their group when rollouts are drawn again."""

    fixed: bool | None = left_out()  # all: the measure does not come from rollouts
    same_group: float | None = left_out(beside="fixed")  # share that keeps it, mean over redraws
    certain: float | None = left_out(beside="fixed")  # share that keeps it in 95 % of redraws
    neighbours: float | None = left_out(beside="fixed")  # share within one group, mean over redraws
    reason: str | None = left_out()  # why the shares cannot be taken


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Reliability of the pass rates and of the groups, had the rollouts been drawn again."""

    rollouts: int  # of most samples
    fewest_rollouts: int
    most_rollouts: int
    resamples: int
    pass_rate: PassRateReliability
    perceptual: GroupReliability | None = left_out()
    reasoning: GroupReliability | None = left_out()

    @property
    def unequal(self) -> bool:
        """Whether some samples have more rollouts than others."""
        return self.fewest_rollouts != self.most_rollouts


def pass_rate_reliability(wrong: Floats, total: Floats) -> PassRateReliability:
    """Measure what share of the spread of pass rates is between samples, not luck of the draw.

    One-way variance components of the 0/1 completions: with MSB the mean square between samples and
    MSW within them, the intraclass correlation of one completion is
    r = (MSB - MSW) / (MSB + (G - 1) MSW), and Spearman and Brown's formula G r / (1 + (G - 1) r)
    makes that of the mean of G completions (MSB - MSW) / MSB. Less spread than luck alone gives is
    0. With unequal G the last form is taken as it stands.

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them.
    Returns:
        The standard error is the square root of the mean of p (1 - p) / (G - 1).
    Source: Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability", 1979,
    ICC(1, 1) and ICC(1, k).
    """
    repeated = total > 1
    if not repeated.any():
        reason = "no sample has two rollouts"
        return PassRateReliability(reliability=None, standard_error=None, reason=reason)
    rate = wrong / total
    variance = (rate * (1 - rate))[repeated] / (total[repeated] - 1)
    error = float(np.sqrt(variance.mean()))
    if rate.min() == rate.max():
        reason = "there is one sample" if len(rate) == 1 else "all samples have one pass rate"
        return PassRateReliability(reliability=None, standard_error=error, reason=reason)
    n, mean = len(rate), wrong.sum() / total.sum()
    between = (total * (rate - mean) ** 2).sum() / (n - 1)
    within = (total * rate * (1 - rate)).sum() / (total.sum() - n)
    return PassRateReliability(
        reliability=float(max(0.0, 1 - within / between)), standard_error=error
    )


def group_reliability(
    grouping: GroupCuts | None,
    measures: Mapping[str, Harder],
    rollouts: RolloutArrays | None,
    labels: Mapping[Kind, Sequence[Label | None]],
    *,
    seed: int,
) -> dict[Kind, GroupReliability]:
    """Draw each sample's rollouts again, cut the groups again, and count who stays.

    A measure that is the mean x of a sample's G rollouts would, drawn afresh, be spread around what
    x estimates, not around x: plain redraws of the rollouts with replacement look too steady. With
    m the mean over samples and r the reliability of x (`pass_rate_reliability`'s, of the measure),
    x estimates m + r (x - m) with variance r s^2 / G, and a fresh mean adds s^2 / G. So a redraw is

        m + r (x - m) + sqrt((1 + r) G / (G - 1)) (x* - x),

    x* being the mean of G of the sample's rollouts drawn with replacement. (Of very few rollouts it
    is still a little too steady.) Groups are cut as the table's were: at quantiles of the new
    values where that gives the table's groups on the old ones, else (merged bins, say) at the
    table's own edges.

    Args:
        grouping: how the table's groups were cut; None: nothing is said of them.
        measures: which end of a measure is the hard one.
        labels: of the table, `perceptual` and `reasoning`; (N,), None for no group.
    Source: the predictive distribution of the one-way normal model (Gelman and others, "Bayesian
        Data Analysis", chapter 5), with deviations from the bootstrap instead of the normal.
    """
    found: dict[Kind, GroupReliability] = {}
    if grouping is None:
        return found
    for kind in KINDS:
        cuts, table = grouping.by(kind), _codes(labels[kind])
        name = cuts.measure
        if name not in FROM_ROLLOUTS:
            found[kind] = GroupReliability(fixed=True)
            continue
        values = None if rollouts is None or name not in RETAKEN else _of_each(name, rollouts)
        if reason := _why_not(name, values, table):
            found[kind] = GroupReliability(reason=reason)
            continue
        assert values is not None  # `_why_not` says so
        own = measures.get(name, "higher" if kind == "perceptual" else "lower")
        harder = cuts.harder or own
        cut_again = _as_the_table(cuts, harder, _means(values), table)
        found[kind] = _kept(cut_again, values, table, np.random.default_rng([seed, 2]))
    return found


def _why_not(name: str, values: Floats | None, table: Codes) -> str | None:
    if name not in RETAKEN:
        return f"{name} cannot be taken again from the rollouts that are kept"
    if values is None or np.isnan(values).all():
        return "there are no rollouts"
    if ((~np.isnan(values)).sum(axis=1) < 2).all():
        return "no sample has two rollouts"
    groups = len(np.unique(table[table >= 0]))
    if groups > 1:
        return None
    return "all samples are in one group" if groups else "no sample is in a group"


def _kept(
    cut_again: Callable[[Floats], Codes], values: Floats, table: Codes, rng: np.random.Generator
) -> GroupReliability:
    grouped, kept, near = table >= 0, np.zeros(len(table)), 0.0
    for fresh in redrawn_means(values, rng):
        new = cut_again(fresh)
        kept += new == table
        near += float((np.abs(new - table) <= 1)[grouped].mean())
    share = kept[grouped] / redraws_for(len(table))
    return GroupReliability(
        same_group=float(share.mean()),
        certain=float((share >= CERTAIN).mean()),
        neighbours=near / redraws_for(len(table)),
    )


def redraws_for(n: int) -> int:
    """Number of redraws of `n` samples."""
    return min(REDRAWS, max(FEWER_REDRAWS, BUDGET // n))


def redrawn_means(values: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    """Means of rollouts as they might have come out, `redraws_for` times, (N,) each.

    Args:
        values: (N, G), NaN where there is no rollout; a sample without any stays NaN.
    """
    # A sample's rollouts first in its row: any place below their count is one of them.
    packed = np.take_along_axis(values, np.argsort(np.isnan(values), axis=1, kind="stable"), axis=1)
    count = (~np.isnan(values)).sum(axis=1)
    inside = np.arange(values.shape[1]) < count[:, None]
    mean, r = _means(values), mean_reliability(values)
    overall = mean[count > 0].mean()
    centre = overall + r * (mean - overall)
    widen = np.sqrt((1 + r) * count / np.maximum(count - 1, 1))
    for _ in range(redraws_for(len(values))):
        drawn = (rng.random(values.shape) * count[:, None]).astype(np.intp)
        again = np.where(inside, np.take_along_axis(packed, drawn, axis=1), 0.0).sum(axis=1)
        yield centre + widen * (again / np.maximum(count, 1) - mean)


def mean_reliability(values: Floats) -> float:
    """Share of the variance of samples' means that is not the luck of their few rollouts.

    r = 1 - (mean of s^2 / G) / (variance of the means), at least 0; s^2 is a sample's own variance.

    Args:
        values: (N, G), NaN where there is no rollout; some sample has two.
    Source: as `pass_rate_reliability`, ICC(1, k).
    """
    mean, count = _means(values), (~np.isnan(values)).sum(axis=1)
    squares = np.nansum((values - mean[:, None]) ** 2, axis=1)
    several = count > 1
    noise = float((squares[several] / (count * (count - 1.0))[several]).mean())
    known = mean[count > 0]
    spread = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    return max(0.0, 1 - noise / spread) if spread > 0 else 0.0


def _means(values: Floats) -> Floats:
    """(N, G) to (N,), over what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=1)
    sums = np.nansum(values, axis=1)
    means: Floats = np.divide(sums, count, out=np.full(len(sums), np.nan), where=count > 0)
    return means


def _of_each(name: str, rollouts: RolloutArrays) -> Floats:
    """Return the value of each single completion whose mean is the measure, (N, G)."""
    if name == "pass_rate":
        return 1 - rollouts.wrong
    return rollouts.n_tokens if name == "mean_tokens" else rollouts.confidence(name)


def _as_the_table(
    cuts: PerceptualCuts | ReasoningCuts, harder: Harder, now: Floats, table: Codes
) -> Callable[[Floats], Codes]:
    """Cut fresh values as the table's were; at its own edges where quantiles give other groups."""
    agreed = float((_codes(cut_like(cuts, now, harder=harder).labels) == table).mean())
    # Sums in another order can part what was tied: a few samples may differ.
    at_edges = agreed <= 0.99
    return lambda values: _codes(cut_like(cuts, values, harder=harder, at_edges=at_edges).labels)


def _codes(labels: Sequence[Label | None]) -> Codes:
    numbers: dict[Label | None, int] = {"easy": 0, "medium": 1, "hard": 2, None: -1}
    return np.array([numbers.get(label, label) for label in labels], np.intp)
