"""Measure how far a policy has moved from the groups that another one's profile cut.

Two profiles of the same samples, A (the older) and B (the policy in hand): who changed group, what
was learned, which measures kept their meaning, and whether A's groups still serve B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, fisher_exact

from durian.analysis.statistics.agreement import tau
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import error_rate
from durian.analysis.statistics.estimate import Estimate, Label
from durian.analysis.statistics.paired import Side
from durian.analysis.statistics.pass_rates import pass_rate_shares
from durian.analysis.statistics.shares import paired_difference, share
from durian.analysis.two_runs.floor import RIGHT, Completions, Floor
from durian.analysis.two_runs.group_flow import (
    Flow,
    Gain,
    GroupPair,
    auroc_gain,
    fresh_gain,
    group_flow,
)
from durian.analysis.two_runs.verdict import Verdict, no_verdict, verdict
from durian.groups import KINDS, Harder, Kind
from durian.records import left_out

FALSE_DISCOVERIES = 0.05
_UNPAIRED = "no sample was scored in both runs"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The error rates of one run in a comparison; all but `scored` may be None."""

    scored: int  # samples
    completions: int | None = left_out()
    error_rate: Estimate | None = left_out()
    never_right: float | None = left_out()
    always_right: float | None = left_out()
    no_variance: float | None = left_out()
    extreme: float | None = left_out()


@dataclass(frozen=True, kw_only=True)
class GroupChange:
    """Mean error rate of both runs within one group of A, of the samples scored in both."""

    group: Label
    samples: int
    a: float
    b: float
    change: Estimate
    floor: Estimate


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """Samples that crossed the middle in one direction."""

    samples: int
    share: Estimate
    floor: Estimate


@dataclass(frozen=True, kw_only=True)
class BeyondDoubt:
    """Samples whose own pass rate rose, and fell, beyond doubt."""

    up: int
    down: int
    false_discoveries: float = FALSE_DISCOVERIES  # share of them, on average and at most


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Samples that crossed to mostly right, and back."""

    samples: int  # scored in both runs
    above: float  # this pass rate is mostly right
    learned: Crossed
    unlearned: Crossed
    net: Estimate  # share learned less share unlearned
    beyond_doubt: BeyondDoubt


@dataclass(frozen=True, kw_only=True)
class MeasureDrift:
    """Whether a measure orders the samples as before, and still says what B gets wrong."""

    n: int  # samples that have it in both runs
    identical: bool  # all values
    tau: Estimate  # of A's values and B's
    tau_floor: Estimate
    auroc_a: Estimate  # of B's errors, by A's values
    auroc_b: Estimate  # by B's
    difference: Estimate
    difference_floor: Estimate


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The comparison of two profiles; a floor is that of two profiles of one policy."""

    seed: int
    redraws: int
    a: Outcome
    b: Outcome
    change: Estimate  # of the error rate
    changes: dict[Kind, list[GroupChange]]  # by group of A
    flows: dict[Kind, Flow]
    learned: Learned
    measures: dict[str, MeasureDrift]
    gains: dict[Kind, Gain]
    verdict: Verdict


def drift(
    a: Side,
    b: Side,
    *,
    harder: Mapping[str, Harder],
    clusters: Clusters,
    drawn: tuple[Completions | None, Completions | None],
    missing: tuple[Mapping[str, str], Mapping[str, str]],
    unlike: Mapping[Kind, str] | None = None,
    seed: int = 0,
) -> Drift:
    """Hold two profiles of the same samples against each other.

    Args:
        harder: the hard end of each measure to compare.
        clusters: of the N >= 1 samples; those of one image go together.
        drawn: the completions of A and of B, for the noise floors: of A for moves, of B for what
            its own groups gain by luck.
        missing: for A and for B, grouping or measure -> why it has no floor, as `floor.Floor`.
        unlike: grouping -> how its rule differs in B from A's; nothing is then said of moves.
    """
    counts = _completions(a, drawn[0]), _completions(b, drawn[1])
    moves, luck = (
        Floor(taken, counts, why, seed=seed) for taken, why in zip(drawn, missing, strict=True)
    )
    pairs = {kind: GroupPair.between(a, b, kind, (unlike or {}).get(kind)) for kind in KINDS}
    # Two floors: of A's policy for what moves by luck between its own two profiles, and of B's for
    # what B's groups gain by sharing the luck of the errors that they are held against.
    gains = {kind: fresh_gain(pair, b, clusters, luck) for kind, pair in pairs.items()}
    return Drift(
        seed=seed,
        redraws=max(moves.redraws, luck.redraws),
        a=_outcome(a, clusters),
        b=_outcome(b, clusters),
        change=_change(a, b, a.scored & b.scored, clusters),
        changes={kind: _by_group(a, b, kind, clusters, moves) for kind in KINDS},
        flows={kind: group_flow(pair, clusters, moves) for kind, pair in pairs.items()},
        learned=_learned(a, b, clusters, moves),
        measures={
            name: _measure(name, a, b, end, clusters, moves, luck, seed)
            for name, end in harder.items()
        },
        gains=gains,
        verdict=no_verdict(unlike) if unlike else verdict(gains),
    )


def learned_samples(a: Side, b: Side) -> tuple[list[int], list[int]]:
    """Places of the samples learned and unlearned, the largest change of pass rate first.

    Learned: right in at most half of A's completions, in more than half of B's.
    """
    change = np.nan_to_num(b.pass_rate - a.pass_rate)
    both = a.scored & b.scored
    places = np.argsort(-np.abs(change), kind="stable")
    learned = both & (a.pass_rate <= RIGHT) & (b.pass_rate > RIGHT)
    unlearned = both & (a.pass_rate > RIGHT) & (b.pass_rate <= RIGHT)
    return places[learned[places]].tolist(), places[unlearned[places]].tolist()


def _completions(side: Side, drawn: Completions | None) -> int | None:
    """Number of completions of each sample; None where samples have different numbers."""
    if side.scored.any():
        most = int(np.nanmax(side.total))
        return most if most == np.nanmin(side.total) else None
    return 1 if drawn is None else drawn.wrong.shape[1]


def _outcome(side: Side, clusters: Clusters) -> Outcome:
    known = side.scored
    if not known.any():
        return Outcome(scored=0)
    wrong, total = side.wrong[known], side.total[known]
    spread = None if side.reward_std is None else side.reward_std[known]
    shares = pass_rate_shares(wrong, total, spread)
    return Outcome(
        scored=int(known.sum()),
        completions=int(total.sum()),
        error_rate=error_rate(wrong, total, clusters.among(known)),
        never_right=shares.never_right,
        always_right=shares.always_right,
        no_variance=shares.no_variance,
        extreme=shares.extreme,
    )


def _change(a: Side, b: Side, member: NDArray[np.bool_], clusters: Clusters) -> Estimate:
    """Mean change of the error rate of some samples, (N,), all scored in both."""
    return _difference(1 - b.pass_rate, 1 - a.pass_rate, member, clusters)


def _difference(
    first: Floats, second: Floats, member: NDArray[np.bool_], clusters: Clusters
) -> Estimate:
    if not member.any():
        return Estimate(value=None, reason=_UNPAIRED)
    return paired_difference(first[member], second[member], clusters.among(member))


def _by_group(a: Side, b: Side, kind: Kind, clusters: Clusters, floor: Floor) -> list[GroupChange]:
    """Of the groups of A that have samples scored in both."""
    pair = GroupPair.between(a, a, kind)
    scored = a.scored & b.scored
    shown = pair.orders[0][:: -1 if kind == "reasoning" else 1]
    members = {group: scored & (pair.codes[0] == pair.orders[0].index(group)) for group in shown}
    members = {group: member for group, member in members.items() if member.any()}
    return [
        GroupChange(
            group=group,
            samples=int(member.sum()),
            a=float((1 - a.pass_rate[member]).mean()),
            b=float((1 - b.pass_rate[member]).mean()),
            change=_change(a, b, member, clusters),
            floor=floor.estimate(kind, f"change {pair.orders[0].index(group)}"),
        )
        for group, member in members.items()
    ]


def _learned(a: Side, b: Side, clusters: Clusters, floor: Floor) -> Learned:
    both = a.scored & b.scored
    learned, unlearned = learned_samples(a, b)
    rose, fell = np.zeros(len(both)), np.zeros(len(both))
    rose[learned], fell[unlearned] = 1.0, 1.0
    rising, falling = (
        share(crossed, both.astype(np.float64), clusters, empty=_UNPAIRED)
        for crossed in (rose, fell)
    )
    net = _difference(rose, fell, both, clusters)
    up, down = _beyond_doubt(a, b)
    return Learned(
        samples=int(both.sum()),
        above=RIGHT,
        learned=Crossed(samples=len(learned), share=rising, floor=floor.estimate("all", "learned")),
        unlearned=Crossed(
            samples=len(unlearned), share=falling, floor=floor.estimate("all", "unlearned")
        ),
        net=net,
        beyond_doubt=BeyondDoubt(up=up, down=down),
    )


def _beyond_doubt(a: Side, b: Side) -> tuple[int, int]:
    """Samples whose pass rate rose, and fell: Fisher's exact test on each one's completions.

    Of those named, at most 5 % are false on average (Benjamini and Hochberg, 1995).
    """
    both = a.scored & b.scored
    if not both.any():
        return 0, 0
    counts = np.stack([a.wrong, a.total, b.wrong, b.total], axis=1)[both].astype(int)
    # With a few completions a sample there are few different tables of counts: each is tested once.
    kinds, inverse = np.unique(counts, axis=0, return_inverse=True)
    p = np.array([fisher_exact([[w, n - w], [v, m - v]]).pvalue for w, n, v, m in kinds])
    named = false_discovery_control(p[inverse.ravel()]) <= FALSE_DISCOVERIES
    change = (b.pass_rate - a.pass_rate)[both][named]
    return int((change > 0).sum()), int((change < 0).sum())


def _measure(
    name: str,
    a: Side,
    b: Side,
    harder: Harder,
    clusters: Clusters,
    moves: Floor,
    luck: Floor,
    seed: int,
) -> MeasureDrift:
    sign = 1.0 if harder == "higher" else -1.0
    first, second = sign * a.measures[name], sign * b.measures[name]
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        none = Estimate(value=None, reason="no sample has it in both runs")
        return MeasureDrift(
            n=0, identical=False, tau=none, tau_floor=none, auroc_a=none, auroc_b=none,
            difference=none, difference_floor=none,
        )  # fmt: skip
    kept = tau(first, second, seed=seed)
    by_a, by_b, difference = auroc_gain(
        np.where(both, first, np.nan),
        np.where(both, second, np.nan),
        b,
        clusters,
        "B has no scored completions",
    )
    return MeasureDrift(
        n=int(both.sum()),
        identical=bool((first[both] == second[both]).all()),
        tau=Estimate(value=None, reason="the measure is constant in a run")
        if kept is None
        else kept.estimate(clusters, "correlation"),
        tau_floor=moves.estimate(name, "tau", unmoved=1.0),
        auroc_a=by_a,
        auroc_b=by_b,
        difference=difference,
        difference_floor=luck.estimate(name, "difference"),
    )
