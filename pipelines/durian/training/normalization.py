"""How a training normalizes: its settings, and the table's where they leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from durian.config import TrainConfig
from durian.groups import PERCEPTUAL, Harder
from durian.normalizer import NORMALIZERS, Groups
from durian.table.grouping import hard_end

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How rewards become advantages in one training."""

    normalizer: str
    weights: tuple[float, float, float]
    eps: float
    online: bool
    percentiles: tuple[float, float]
    bins: int
    perceptual_measure: str  # the table's column behind the perceptual groups
    reasoning_harder: Harder
    whole_logprob: bool  # confidence is the sequence's log-probability, not the mean a token

    def advantages(self, rewards: Tensor, groups: Groups) -> Tensor:
        """The advantages of a rollout batch, by the library's own function. (B, G)"""
        function = NORMALIZERS[self.normalizer].advantages
        return function(rewards, groups, self.weights, self.eps)

    @property
    def weighted(self) -> bool:
        """Whether `weights` mix the terms of the groups (eq. 20)."""
        return NORMALIZERS[self.normalizer].weighted


def normalization_of(config: TrainConfig, manifest: Mapping[str, Any]) -> Normalization:
    """How a training normalizes; what its config leaves open is as the table's manifest says."""
    groups = manifest["groups"]
    perceptual, reasoning = groups["perceptual"]["measure"], groups["reasoning"]["measure"]
    return Normalization(
        normalizer=config.normalizer,
        weights=config.weights,
        eps=config.eps,
        online=config.groups == "online",
        percentiles=config.percentiles or _percentiles(groups["perceptual"]),
        bins=config.bins or _bins(groups["reasoning"]),
        perceptual_measure=perceptual,
        reasoning_harder=hard_end(reasoning, "lower"),
        whole_logprob=reasoning == "sum_logprob",
    )


def _percentiles(described: Mapping[str, Any]) -> tuple[float, float]:
    """Those of the table's cuts; of cuts that were found in the data, where they fall in it."""
    if described["percentiles"] != "auto":
        low, high = described["percentiles"]
        return low, high
    easy, medium, hard = (described["sizes"][group] for group in PERCEPTUAL)
    percent = 100 / (easy + medium + hard)
    return easy * percent, (easy + medium) * percent


def _bins(described: Mapping[str, Any]) -> int:
    """As many as were asked of the table; where they were found in the data, as were found."""
    asked = described["bins"]
    return len(described["sizes"]) if asked == "auto" else int(asked)
