"""How right completions became more over the steps of the training that wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import group_codes
from durian.analysis.statistics.estimate import AGREED, Estimate, Label
from durian.analysis.statistics.shares import Shares, shares
from durian.groups import Kind

WINDOWS = 12  # of steps, at most: each needs enough samples to say something
SHOWN = 6  # samples whose own curves are shown

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """The completions of some consecutive steps."""

    first_step: int
    last_step: int
    samples: int
    completions: int
    right: Estimate  # share of them


@dataclass(frozen=True, kw_only=True)
class SampleStep:
    """The completions of one sample at one step."""

    step: int
    completions: int
    right: int


@dataclass(frozen=True, kw_only=True)
class SampleCurve:
    """A sample and its completions, step by step."""

    sample_id: str
    row: int
    steps: list[SampleStep]


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Right completions along the steps of a training, of all samples and by group.

    A step draws some of the samples, so that two windows are of different ones.
    """

    points: list[LearningPoint]
    change: Estimate  # share of right completions in the last window less that in the first
    groups: dict[Kind, dict[str, list[LearningPoint]]] = field(default_factory=dict)
    samples: list[SampleCurve] = field(default_factory=list)  # that rose and fell the most


def learning(
    rollouts: pl.DataFrame,
    table: pl.DataFrame,
    orders: Mapping[Kind, Sequence[Label]],
    clusters: Clusters,
) -> Learning | None:
    """Follow right completions along the steps; None where there are not two steps.

    Args:
        rollouts: `sample_id`, `correct` and `step`; those that lack one of them are left out.
        table: `sample_id`, `row` and the two groups of N samples.
        orders: the groups of each kind, in their order.
        clusters: of the N samples.
    """
    places = table.select("sample_id", "row").with_row_index("place")
    known = rollouts.drop_nulls(["correct", "step"]).join(places, on="sample_id")
    steps = known["step"].to_numpy()
    if len(np.unique(steps)) < 2:
        return None
    first_steps, window = _windows(steps)
    place = known["place"].to_numpy().astype(np.intp)
    right = known["correct"].to_numpy().astype(np.float64)
    # A completion goes with the cluster of its sample: all that is drawn of one image over the
    # whole training stands or falls together.
    drawn = Clusters(clusters.codes[place], clusters.of)
    last_steps = np.array([steps[window == k].max() for k in range(len(first_steps))], np.intp)
    described = _Described(drawn, place, right, window, first_steps, last_steps)
    groups: dict[Kind, dict[str, list[LearningPoint]]] = {}
    for kind, order in orders.items():
        codes = group_codes(table[f"{kind}_group"].to_list(), order)[place]
        by_group = {str(group): described.points(codes == n) for n, group in enumerate(order)}
        if len(by_group) > 1:
            groups[kind] = by_group
    return Learning(
        points=described.points(np.ones(len(known), bool)),
        change=described.change(),
        groups=groups,
        samples=_moved(known),
    )


@dataclass(frozen=True, eq=False)
class _Described:
    """M completions, each in a window of steps."""

    drawn: Clusters  # of the completions
    place: Ints  # (M,) of its sample
    right: Floats  # (M,) 1 or 0
    window: Ints  # (M,)
    first_steps: Ints  # (K,)
    last_steps: Ints  # (K,) that something was drawn at

    def change(self) -> Estimate:
        """Share of right completions in the last window less that in the first."""
        last = len(self.first_steps) - 1
        found = self.shares(self.window, last + 1).difference(self.drawn, last, 0)
        if found.interval is not None and isclose(*found.interval, abs_tol=1e-12):
            return Estimate(value=found.value, reason=AGREED)  # which is luck, and no certainty
        return found

    def shares(self, labels: Ints, count: int) -> Shares:
        """Share of right completions by label, from 0 to `count` - 1; those below 0 left out."""
        ones = np.ones(len(self.right))
        return shares(*(self.drawn.table(labels, each, count) for each in (self.right, ones)))

    def points(self, member: NDArray[np.bool_]) -> list[LearningPoint]:
        """A point for each window that has completions of some samples."""
        count = len(self.first_steps)
        found = self.shares(np.where(member, self.window, -1), count)
        points = []
        for k in range(count):
            here = member & (self.window == k)
            if here.any():
                points.append(
                    LearningPoint(
                        first_step=int(self.first_steps[k]),
                        last_step=int(self.last_steps[k]),
                        samples=len(np.unique(self.place[here])),
                        completions=int(here.sum()),
                        right=found.estimate(self.drawn, k),
                    )
                )
        return points


def _windows(steps: NDArray[np.int64]) -> tuple[Ints, Ints]:
    """Windows of about equally many completions; a step is never cut.

    Returns:
        The first step of each window, rising, (K,); and the window of each completion, (M,).
    """
    distinct = np.unique(steps)
    if len(distinct) > WINDOWS:
        cuts = np.quantile(steps, np.arange(WINDOWS) / WINDOWS, method="lower")
        distinct = np.unique(cuts)
    return distinct.astype(np.intp), (np.searchsorted(distinct, steps, side="right") - 1)


def _moved(known: pl.DataFrame) -> list[SampleCurve]:
    """The samples whose share of right completions rose the most, and those where it fell."""
    by_step = known.group_by("sample_id", "row", "step").agg(
        completions=pl.len(), right=pl.col("correct").sum()
    )
    # The rise is the slope of right on step, by least squares, times the span: a sample that was
    # drawn at two steps only has one, too, and one step says nothing.
    rate = pl.col("right") / pl.col("completions")
    risen = (
        by_step.group_by("sample_id", "row")
        .agg(
            n=pl.len(),
            rise=pl.cov("step", rate) / pl.col("step").var() * (pl.max("step") - pl.min("step")),
        )
        .filter(pl.col("n") > 1)
        .sort("rise", "row", descending=[True, False])
    )
    half = SHOWN // 2
    chosen = pl.concat([risen.head(half), risen.slice(half).tail(SHOWN - half)])
    return [
        SampleCurve(
            sample_id=sample_id,
            row=row,
            steps=[
                SampleStep(step=step, completions=completions, right=right)
                for step, completions, right in by_step.filter(pl.col("sample_id") == sample_id)
                .sort("step")
                .select("step", "completions", "right")
                .iter_rows()
            ],
        )
        for sample_id, row in chosen.select("sample_id", "row").iter_rows()
    ]
