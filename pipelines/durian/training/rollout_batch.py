"""One rollout batch: rewards and verdicts of its completions, and what is known of its samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from durian.groups import PERCEPTUAL, perceptual_groups, reasoning_groups
from durian.training.normalization import Normalization


@dataclass(kw_only=True)
class RolloutBatch:
    """One rollout batch over all processes: B samples, G completions each."""

    rewards: Tensor  # (B, G); NaN where nothing could score a completion
    correct: Tensor  # (B, G) bool
    sample: Tensor  # (B,) by which the curriculum knows it; 0 where there is none
    perceptual_group: Tensor  # (B,); -1 where a sample is in none
    reasoning_group: Tensor  # (B,)
    perceptual: Tensor  # (B,) the measure behind the perceptual groups; NaN where missing
    confidence: Tensor  # (B,) the table's own; NaN where missing
    signs: Tensor | None = None  # (B, G, 4) of causes, as `causes.signs_of`
    places: Tensor | None = None  # (B,) in the regrouping, where there is one

    def group_online(self, confidence: Tensor, normalization: Normalization) -> None:
        """Cut the batch into groups of its own, as the paper does (eq. 10, 16).

        Args:
            confidence: (B,), of the policy in hand; NaN where it says nothing.
        """
        device = self.rewards.device
        seen = perceptual_groups(
            self.perceptual.cpu().numpy().astype(np.float64),
            normalization.percentiles,
            harder=normalization.perceptual_harder,
        )
        thought = reasoning_groups(
            confidence.cpu().numpy().astype(np.float64), normalization.bins, harder="lower"
        )
        numbers = [-1 if label is None else PERCEPTUAL.index(label) for label in seen.labels]
        self.perceptual_group = torch.tensor(numbers, device=device)
        bins = [-1 if label is None else label for label in thought.labels]
        self.reasoning_group = torch.tensor(bins, device=device)
