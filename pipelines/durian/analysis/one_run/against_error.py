"""Hold one column against error, and two of them against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from durian.analysis.one_run.columns import Candidate
from durian.analysis.one_run.error_curve import CurvePoint, error_curve
from durian.analysis.statistics.association import (
    Associations,
    ScoreOrder,
    associate,
    auroc,
    risk_coverage,
    why_no_auroc,
)
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.risk_coverage import Kept
from durian.groups import Harder

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Column:
    n: int  # samples that have it
    kind: Literal["measure", "baseline", "column"]
    harder: Harder


@dataclass(frozen=True, kw_only=True)
class Predictor(Associations, _Column):
    """Numbers of how one column tells wrong completions from right ones."""

    base_rate: float | None  # error rate of the samples that have it
    curve: list[CurvePoint]
    risk_coverage: list[Kept]


@dataclass(frozen=True, kw_only=True)
class AurocDifference:
    """AUROC of one measure less that of another; above 0 the first tells errors better."""

    first: str
    second: str
    n: int  # samples that have both
    difference: Estimate


class AgainstError:
    """One column's association with error, its curves, and what its differences are taken from."""

    def __init__(
        self, candidate: Candidate, wrong: Floats, total: Floats, clusters: Clusters
    ) -> None:
        """Sort the samples by the column; (N,) each."""
        self.kind, self._clusters = candidate.kind, clusters
        self.harder, self._curve = error_curve(
            candidate.values, wrong, total, clusters, candidate.harder
        )
        self.score = candidate.values * (1 if self.harder == "higher" else -1)
        self.order = ScoreOrder(self.score, wrong, total)

    def described(self) -> Predictor:
        """The column's entry in the summary."""
        order = self.order
        return Predictor(
            n=len(order),
            kind=self.kind,
            harder=self.harder,
            **vars(associate(order, self._clusters)),
            base_rate=float(order.wrong.sum() / order.total.sum()) if len(order) else None,
            curve=self._curve,
            risk_coverage=risk_coverage(order),
        )


def auroc_differences(
    found: Mapping[str, AgainstError],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
    *,
    now: str | None = None,
) -> list[AurocDifference]:
    """AUROC of one measure less that of another, on the samples that have both.

    Each measure is held against the baseline, each against each, each column against `now`.

    Args:
        now: the column behind the perceptual groups, which others might stand behind.
    """
    usable = {name: held for name, held in found.items() if len(held.order)}
    measures = [name for name, held in usable.items() if held.kind == "measure"]
    baselines = [name for name, held in usable.items() if held.kind == "baseline"]
    pairs = [(name, baseline) for baseline in baselines for name in measures]
    others = [
        (name, now)
        for name, held in usable.items()
        if now in usable and "column" in (held.kind, usable[now].kind) and name != now
    ]
    entries = []
    # On the samples that have both, or a measure that is missing where it would fail would win.
    for first, second in (*pairs, *combinations(measures, 2), *others):
        scores = [usable[name].score for name in (first, second)]
        lacking = np.isnan(scores[0]) | np.isnan(scores[1])
        orders = [ScoreOrder(np.where(lacking, np.nan, s), wrong, total) for s in scores]
        entries.append(
            AurocDifference(
                first=first,
                second=second,
                n=len(orders[0]),
                difference=_difference(orders, clusters),
            )
        )
    return entries


def _difference(orders: Sequence[ScoreOrder], clusters: Clusters) -> Estimate:
    if not len(orders[0]):
        return Estimate(value=None, reason="no sample has both")
    for order in orders:
        if reason := why_no_auroc(order):
            return Estimate(value=None, reason=reason)
    return orders[0].shown(auroc(orders[0]).less(auroc(orders[1])), clusters, "plain")
