"""The order of samples, which a resumed training must take up where it was cut, in any epoch."""

from __future__ import annotations

import torch
from trl.trainer.utils import RepeatSampler


class EpochOrder(RepeatSampler):  # type: ignore[misc]
    """TRL's order, drawn anew for any epoch.

    TRL draws one permutation an epoch from one generator, so a process that starts in the third
    epoch would begin with the order of the first.
    """

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass the one of this epoch, from 0; the trainer says it before each."""
        if self.shuffle:
            self.generator.manual_seed(self.seed)
            for _ in range(epoch):
                torch.randperm(self.num_samples, generator=self.generator)
