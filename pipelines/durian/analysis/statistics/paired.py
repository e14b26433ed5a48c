"""Two profiles of the same samples side by side, and numbers of both on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.bootstrap import (
    Statistic,
    resample,
    resamples_for,
    with_interval,
)
from durian.analysis.statistics.estimate import Estimate, Label

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The groups and completions of one profile for N samples, in an order that both share."""

    wrong: Floats  # (N,) wrong completions; NaN where none were scored
    total: Floats  # (N,) completions; NaN where none were scored
    groups: Mapping[str, Sequence[Label | None]]  # "perceptual", "reasoning": (N,), None: in none
    measures: Mapping[str, Floats]  # (N,) each, NaN where missing

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Mark the samples that have scored completions. (N,)"""
        return ~np.isnan(self.wrong)

    @property
    def pass_rate(self) -> Floats:
        """Share of right completions of each sample; NaN where none were scored."""
        return 1 - self.wrong / self.total


@dataclass(frozen=True)
class Bootstrap:
    """Draws N samples again, those of one cluster together, the same way for every number."""

    clusters: NDArray[np.intp]  # (N,), numbers from 0 without gaps
    seed: int

    @property
    def resamples(self) -> int:
        """Number of resamples."""
        return resamples_for(len(self.clusters))

    def estimates(self, statistic: Statistic, undefined: str) -> list[Estimate]:
        """Each of a statistic's k numbers with its interval; `undefined` says why it is NaN."""
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: NaN, and so undefined
            drawn = resample(
                {"": statistic}, len(self.clusters), seed=self.seed, clusters=self.clusters
            )[""]
        return [
            Estimate(value=None, reason=undefined) if np.isnan(value) else with_interval(value, d)
            for value, d in zip(drawn.value, drawn.draws.T, strict=True)
        ]

    def means(self, columns: Floats, undefined: str) -> list[Estimate]:
        """Mean of each column over the samples whose value is known.

        Args:
            columns: (N, k), NaN where unknown.
        """
        # A mean is a quotient of two sums, each under the same weights: in a resample the number of
        # known values is drawn too.
        known = ~np.isnan(columns)
        filled, counted = np.where(known, columns, 0.0), known.astype(np.float64)
        return self.estimates(lambda w: (w @ filled) / (w @ counted), undefined)
