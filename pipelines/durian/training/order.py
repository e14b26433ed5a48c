"""The order of samples, which a resumed training must take up where it was cut, in any epoch."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import TrainerCallback
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


class Epochs(Protocol):
    """An order that differs from epoch to epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass the one of this epoch, from 0."""


class EpochBegins(TrainerCallback):
    """Tells an order which epoch begins.

    Accelerate does so through a process's share of the batches, but not through the share of which
    a resumed training has skipped the first: several processes that resume within a later epoch
    would take up the first one's order.
    """

    def __init__(self, order: Epochs) -> None:
        self._order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """`state.epoch` counts the epochs that are done, the begun one's part included."""
        self._order.set_epoch(int(state.epoch or 0))
