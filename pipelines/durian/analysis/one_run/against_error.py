"""Hold one column against error, and two of them against each other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from durian.analysis.one_run.columns import Candidate
from durian.analysis.one_run.error_curve import CurvePoint, ErrorCurve
from durian.analysis.statistics.association import (
    AUROC,
    Association,
    Associations,
    Aurocs,
    ScoreOrder,
    no_estimates,
    undefined,
)
from durian.analysis.statistics.bootstrap import (
    Floats,
    Resampled,
    Statistic,
    with_interval,
)
from durian.analysis.statistics.error_share import Clusters
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.risk_coverage import Kept
from durian.groups import Harder

AllResampled = Mapping[Hashable, Resampled]


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
    """One column's association with error, its curves, and what they need of the resamples."""

    def __init__(
        self,
        name: str,
        candidate: Candidate,
        wrong: Floats,
        total: Floats,
        clusters: Clusters = None,
    ) -> None:
        """Sort the samples by the column; (N,) each."""
        self.name, self.kind = name, candidate.kind
        self._curve = ErrorCurve(candidate.values, wrong, total, candidate.harder, clusters)
        self.score = candidate.values * (1 if self._curve.harder == "higher" else -1)
        self.order = ScoreOrder(self.score, wrong, total)
        self._association = Association(self.order) if len(self.order) else None

    def statistics(self) -> dict[Hashable, Statistic]:
        """Give the statistics that are to be taken on the shared resamples."""
        if self._association is None:
            return {}
        return {self.name: self._association, (self.name, "curve"): self._curve.groups}

    def described(self, drawn: AllResampled) -> Predictor:
        """Describe the column against error, for the summary."""
        n, kind, harder = len(self.order), self.kind, self._curve.harder
        if self._association is None:
            return Predictor(
                n=n, kind=kind, harder=harder, **vars(no_estimates()), base_rate=None, curve=[],
                risk_coverage=[],
            )  # fmt: skip
        return Predictor(
            n=n,
            kind=kind,
            harder=harder,
            **vars(self._association.estimates(drawn[self.name])),
            base_rate=float(self.order.wrong.sum() / self.order.total.sum()),
            curve=self._curve.rows(drawn[self.name, "curve"]),
            risk_coverage=self._association.risk_coverage(),
        )


class Differences:
    """AUROC of one measure less that of another, on the samples that have both."""

    def __init__(
        self,
        found: Mapping[str, AgainstError],
        wrong: Floats,
        total: Floats,
        *,
        now: str | None = None,
    ) -> None:
        """Pair the measures: each with the baseline, each with each, each column with `now`.

        Args:
            now: the column behind the perceptual groups, which others might stand behind.
        """
        usable = {name: held for name, held in found.items() if len(held.order)}
        measures = [name for name, held in usable.items() if held.kind == "measure"]
        baselines = [name for name, held in usable.items() if held.kind == "baseline"]
        self._pairs = [
            *((name, baseline) for baseline in baselines for name in measures),
            *combinations(measures, 2),
            *(
                (name, now)
                for name, held in usable.items()
                if now in usable and "column" in (held.kind, usable[now].kind) and name != now
            ),
        ]
        self._orders: dict[Hashable, ScoreOrder] = {}
        self._keys = []
        # Two measures are compared on the samples that have both, or the one that is missing where
        # it would fail would win. Pairs that lack the same samples share the order of a measure, by
        # that mask as key: sorting is what takes long.
        for pair in self._pairs:
            scores = [usable[name].score for name in pair]
            lacking = np.isnan(scores[0]) | np.isnan(scores[1])
            keys = [(name, "on", lacking.tobytes()) for name in pair]
            for key, score in zip(keys, scores, strict=True):
                if key not in self._orders:
                    both = np.where(lacking, np.nan, score)
                    self._orders[key] = ScoreOrder(both, wrong, total)
            self._keys.append(keys)
        # Where a measure has no samples but those of the pair, its own AUROC serves.
        self._own = {
            key: key[0]
            for keys in self._keys
            for key in keys
            if len(self._orders[key]) == len(usable[key[0]].order)
        }

    def statistics(self) -> dict[Hashable, Statistic]:
        """Give the statistics that are to be taken on the shared resamples."""
        return {
            key: Aurocs(order)
            for key, order in self._orders.items()
            if key not in self._own and undefined(order)[AUROC] is None
        }

    def described(self, drawn: AllResampled) -> list[AurocDifference]:
        """The differences, positive where the first tells errors better."""
        entries = []
        for (first, second), keys in zip(self._pairs, self._keys, strict=True):
            orders = [self._orders[key] for key in keys]
            reasons = [reason for order in orders if (reason := undefined(order)[AUROC])]
            if not len(orders[0]):
                difference = Estimate(value=None, reason="no sample has both")
            elif reasons:
                difference = Estimate(value=None, reason=reasons[0])
            else:
                ours, theirs = (drawn[self._own.get(key, key)] for key in keys)
                difference = with_interval(
                    ours.value[AUROC] - theirs.value[AUROC],
                    ours.draws[:, AUROC] - theirs.draws[:, AUROC],
                )
            entries.append(
                AurocDifference(first=first, second=second, n=len(orders[0]), difference=difference)
            )
        return entries
