"""Groups of two profiles of the same samples: who moved, and would fresh groups serve better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.agreement import kappa, score_order
from durian.analysis.statistics.association import auroc, why_no_auroc
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate, Label
from durian.analysis.statistics.paired import Side
from durian.analysis.statistics.shares import share
from durian.analysis.two_runs.floor import Floor
from durian.groups import PERCEPTUAL, Kind

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class GroupPair:
    """One grouping of the same N samples in both runs."""

    kind: Kind
    orders: tuple[list[Label], list[Label]]  # the groups of A and of B, the easiest first
    codes: tuple[Codes, Codes]  # (N,) each, place in the order; -1: not in a group of both
    only: tuple[int, int]  # samples in a group of A alone, of B alone
    unlike: str | None = None  # why groups of one name mean different things in the two runs

    @classmethod
    def between(cls, a: Side, b: Side, kind: Kind, unlike: str | None = None) -> GroupPair:
        """Pair one grouping of two runs of the same samples; unlike, no sample is in both's."""
        labels = a.groups[kind], b.groups[kind]
        if unlike is not None:
            none = np.full(len(labels[0]), -1, np.intp)
            return cls(kind, ([], []), (none, none), (0, 0), unlike)
        orders = rising_groups(kind, labels[0]), rising_groups(kind, labels[1])
        first, second = (
            np.array([-1 if g is None else order.index(g) for g in side], np.intp)
            for side, order in zip(labels, orders, strict=True)
        )
        both = (first >= 0) & (second >= 0)
        only = int((first[~both] >= 0).sum()), int((second[~both] >= 0).sum())
        return cls(kind, orders, (np.where(both, first, -1), np.where(both, second, -1)), only)

    @property
    def both(self) -> NDArray[np.bool_]:
        """Mark the samples that are in a group of both runs. (N,)"""
        return self.codes[0] >= 0

    @property
    def comparable(self) -> bool:
        """Whether the same labels mean the same: as many groups in both."""
        return self.orders[0] == self.orders[1] and len(self.orders[0]) > 0


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Counts of samples by their group in A and in B, and the share moved beyond luck."""

    groups_a: list[Label]  # as tables show them: bin 0 first
    groups_b: list[Label]
    counts: list[list[int]]  # [A][B]
    samples: int  # in a group of both
    only_a: int  # in a group of A alone
    only_b: int
    moved: Estimate  # share of samples that changed group; None where the runs' groups differ
    moved_floor: Estimate
    kappa: Estimate
    kappa_floor: Estimate


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain in ordering B's errors by its own groups over A's, beyond the luck of the draw."""

    samples: int
    identical: bool  # no sample changed group
    stale: Estimate  # AUROC of B's wrong completions by A's groups
    own: Estimate  # by B's
    gain: Estimate  # own - stale
    floor: Estimate
    excess: Estimate  # gain - floor, the gain's interval moved along


def rising_groups(kind: Kind, labels: Sequence[Label | None]) -> list[Label]:
    """The groups there are, from the easiest to the hardest: bin 0 is the hardest."""
    if kind == "perceptual":
        return list(PERCEPTUAL) if any(label is not None for label in labels) else []
    return sorted({label for label in labels if isinstance(label, int)}, reverse=True)


def group_flow(pair: GroupPair, clusters: Clusters, floor: Floor) -> Flow:
    """Count who went from which group of A to which of B."""
    rows, columns = len(pair.orders[0]), len(pair.orders[1])
    both, joint = pair.both, np.where(pair.both, pair.codes[0] * columns + pair.codes[1], 0)
    # One number for each pair of groups, so that a table of all moves is a single count.
    counts = np.bincount(joint[both], minlength=rows * columns).reshape(rows, columns)
    shown = slice(None, None, -1 if pair.kind == "reasoning" else 1)

    def flow(moved: Estimate, moved_by_luck: Estimate, agreed: Estimate, luck: Estimate) -> Flow:
        return Flow(
            groups_a=pair.orders[0][shown],
            groups_b=pair.orders[1][shown],
            counts=counts[shown, shown].tolist(),
            samples=int(both.sum()),
            only_a=pair.only[0],
            only_b=pair.only[1],
            moved=moved,
            moved_floor=moved_by_luck,
            kappa=agreed,
            kappa_floor=luck,
        )

    if not both.any() or not pair.comparable:
        reason = "the runs have different groups" if both.any() else "no sample is in both's groups"
        reason = pair.unlike or reason
        return flow(*[Estimate(value=None, reason=reason)] * 4)
    changed = (pair.codes[0] != pair.codes[1]) & both
    agreed = kappa(*pair.codes)
    return flow(
        share(changed.astype(np.float64), both.astype(np.float64), clusters),
        floor.estimate(pair.kind, "moved"),
        Estimate(value=None, reason="all samples are in one group")
        if agreed is None
        else agreed.estimate(clusters, "plain"),
        floor.estimate(pair.kind, "kappa", unmoved=1.0),
    )


def fresh_gain(pair: GroupPair, b: Side, clusters: Clusters, floor: Floor) -> Gain:
    """Hold B's errors against A's groups and against its own."""
    scored = pair.both & b.scored
    by_a, by_b, gain = auroc_gain(
        np.where(scored, pair.codes[0], np.nan),
        np.where(scored, pair.codes[1], np.nan),
        b,
        clusters,
        pair.unlike or "no sample is in both's groups and scored in B",
    )
    luck = floor.estimate(pair.kind, "gain")
    return Gain(
        samples=int(scored.sum()),
        identical=pair.comparable and bool((pair.codes[0] == pair.codes[1]).all()),
        stale=by_a,
        own=by_b,
        gain=gain,
        floor=luck,
        excess=less(gain, luck),
    )


def auroc_gain(
    stale: Floats, own: Floats, b: Side, clusters: Clusters, none: str
) -> tuple[Estimate, Estimate, Estimate]:
    """AUROC of B's errors by a stale score and by its own, and the latter less the former.

    Args:
        stale, own: (N,), higher is harder; NaN where missing, in both alike.
        none: why there is nothing, where no sample has a score.
    """
    orders = [score_order(score, b.wrong, b.total) for score in (stale, own)]
    reason = none
    if len(orders[0]):
        reason = why_no_auroc(orders[0]) or why_no_auroc(orders[1]) or ""
    if reason:
        missing = Estimate(value=None, reason=reason)
        return missing, missing, missing
    by_a, by_b = (auroc(order) for order in orders)
    return (
        orders[0].shown(by_a, clusters, "unit"),
        orders[1].shown(by_b, clusters, "unit"),
        orders[0].shown(by_b.less(by_a), clusters, "plain"),
    )


def less(estimate: Estimate, floor: Estimate) -> Estimate:
    """An estimate less the mean of its floor, its interval moved along."""
    if estimate.value is None or floor.value is None:
        return Estimate(value=None, reason=estimate.reason or floor.reason)
    off = floor.value
    if estimate.low is None or estimate.high is None:
        return Estimate(value=estimate.value - off, reason=estimate.reason)
    return Estimate(value=estimate.value - off, low=estimate.low - off, high=estimate.high - off)
