"""Two profiles of the same samples side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.estimate import Label

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The groups and completions of one profile for N samples, in an order that both share."""

    wrong: Floats  # (N,) wrong completions; NaN where none were scored
    total: Floats  # (N,) completions; NaN where none were scored
    reward_std: Floats | None = None  # (N,), NaN where not known
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
