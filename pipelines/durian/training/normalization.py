"""Settings by which a training normalizes, and the table's where they leave it open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from durian.config import TrainConfig
from durian.groups import AUTO, PERCEPTUAL, Harder, PerceptualCuts, ReasoningCuts
from durian.normalizer import NORMALIZERS, Groups, Scaling
from durian.run.manifest import Manifest
from durian.table.grouping import end_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Settings by which rewards become advantages in one training."""

    normalizer: str
    weights: tuple[float, float, float]
    eps: float
    shrink: float
    online: bool
    percentiles: tuple[float, float]
    bins: int
    perceptual_harder: Harder  # end of the table's column behind the perceptual groups
    reasoning_harder: Harder
    whole_logprob: bool  # confidence is the sequence's log-probability, not the mean a token

    def advantages(self, rewards: Tensor, groups: Groups) -> Tensor:
        """The advantages of a rollout batch, by the library's own function. (B, G)"""
        function = NORMALIZERS[self.normalizer].advantages
        return function(rewards, groups, Scaling(self.weights, self.eps, self.shrink))

    @property
    def weighted(self) -> bool:
        """Whether `weights` mix the terms of the groups (eq. 20)."""
        return NORMALIZERS[self.normalizer].weighted


def normalization_of(config: TrainConfig, manifest: Manifest) -> Normalization:
    """Settle how a training normalizes; what its config leaves open is as the table has it."""
    perceptual, reasoning = manifest.groups.perceptual, manifest.groups.reasoning
    return Normalization(
        normalizer=config.normalizer,
        weights=config.weights,
        eps=config.eps,
        shrink=config.shrink,
        online=config.groups == "online",
        percentiles=config.percentiles or _percentiles(perceptual),
        bins=config.bins or _bins(reasoning),
        perceptual_harder=end_of(perceptual),
        reasoning_harder=end_of(reasoning),
        whole_logprob=reasoning.measure == "sum_logprob",
    )


def _percentiles(cuts: PerceptualCuts) -> tuple[float, float]:
    """The percentiles of the table's cuts; of cuts found in the data, the shares that they cut."""
    if cuts.percentiles != AUTO:
        return cuts.percentiles
    easy, medium, hard = (cuts.sizes[group] for group in PERCEPTUAL)
    percent = 100 / (easy + medium + hard)
    return easy * percent, (easy + medium) * percent


def _bins(cuts: ReasoningCuts) -> int:
    """Number of bins that was asked of the table, or that was found where they were sought."""
    return len(cuts.sizes) if cuts.bins == AUTO else cuts.bins
