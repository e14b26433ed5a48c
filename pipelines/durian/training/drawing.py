"""Rollout batches that a curriculum draws while a training goes on, as TRL reads an order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from trl.trainer.utils import RepeatSampler

from durian.config import TrainConfig
from durian.config.train import POOLS
from durian.curriculum import Curriculum, Frontier, Pools, share_without_variance
from durian.errors import ConfigError
from durian.records import JsonObject
from durian.table.join import TrainingTable

MOST = 500  # batches that are drawn to tell what to expect


@dataclass(frozen=True)
class Drawing:
    """A curriculum over the samples that take part, and what its numbers stand for."""

    curriculum: Curriculum
    number: dict[str, int]  # by sample id
    rows: list[int]  # by number: the sample's first row of the training set


def drawing_of(
    config: TrainConfig, table: TrainingTable, ids: Sequence[str], *, batch: int, seed: int
) -> Drawing | None:
    """The curriculum that is asked for; None where the order is known beforehand.

    Args:
        ids: of the rows that take part. Rows that hold one sample are one to a curriculum, or a
            batch would have it twice.
        batch: prompts a rollout batch.
    Raises:
        ConfigError: there are fewer samples than a batch has prompts, or fewer in the pools.
    """
    if table.right is None or table.wrong is None:
        return None
    rows: dict[str, int] = {}
    for row, sample_id in enumerate(ids):
        rows.setdefault(sample_id, row)
    if len(rows) < batch:
        raise ConfigError(
            f"order is {config.order}, which draws no sample twice, and a rollout batch of {batch} "
            f"prompts has only {len(rows)} different ones; pass --rollout-batch {len(rows)} or less"
        )
    right, wrong = evidence_of(table, list(rows))
    if config.order == "frontier":
        curriculum: Curriculum = Frontier(
            right,
            wrong,
            batch=batch,
            seed=seed,
            prior=config.frontier_prior,
            decay=config.frontier_decay,
        )
    else:
        with np.errstate(invalid="ignore"):
            pass_rate = right / (right + wrong)
        try:
            curriculum = Pools(pass_rate, batch=batch, seed=seed, shares=config.shares)
        except ValueError as error:
            raise ConfigError(
                f"order pools: {error}; give more pools a share, or a smaller --rollout-batch"
            ) from error
    return Drawing(curriculum, {name: n for n, name in enumerate(rows)}, list(rows.values()))


def evidence_of(
    table: TrainingTable, ids: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many completions of each sample the table knows to be right, and wrong; each (N,)."""
    places = [table.number.get(sample_id, -1) for sample_id in ids]
    right, wrong = (
        np.append(np.zeros(0) if seen is None else seen, 0.0)[places]
        for seen in (table.right, table.wrong)
    )
    return right, wrong


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a curriculum should draw, by what is known before a training."""

    without_variance: dict[str, float]  # share of samples, of this order and of a shuffle
    pools: dict[str, int] | None  # samples of each


def expected_of(
    config: TrainConfig,
    table: TrainingTable,
    ids: Sequence[str],
    *,
    batch: int,
    seed: int,
    completions: int,
) -> Expected | None:
    """Draw an epoch that teaches the curriculum nothing; None where the order is known beforehand.

    Args:
        completions: of each prompt; the other arguments as `drawing_of` has them.
    Raises:
        ConfigError: as `drawing_of`.
    """
    drawing = drawing_of(config, table, ids, batch=batch, seed=seed)
    if drawing is None:
        return None
    right, wrong = evidence_of(table, list(drawing.number))
    batches = min(len(ids) // batch, MOST)
    drawn = np.concatenate([drawing.curriculum.draw() for _ in range(batches)])
    orders = {"shuffle": np.arange(len(right)), config.order: drawn}
    shares = {
        name: round(share_without_variance(right, wrong, samples, completions=completions), 4)
        for name, samples in orders.items()
    }
    if not isinstance(drawing.curriculum, Pools):
        return Expected(without_variance=shares, pools=None)
    sizes = [len(members) for members in drawing.curriculum.members]
    return Expected(without_variance=shares, pools=dict(zip(POOLS, sizes, strict=True)))


class DrawnOrder(RepeatSampler):  # type: ignore[misc]
    """Rollout batches that a curriculum draws, in TRL's form of an order.

    An epoch has as many batches as a shuffle's; which samples they hold is decided batch by batch.
    The batches of an epoch are kept: a resumed training goes through those before its checkpoint
    again, and one that was drawn before the checkpoint and trained after it stays as it was drawn
    (data are fetched ahead of the step that they are for).
    """

    def __init__(self, drawing: Drawing, **trl: Any) -> None:
        """Give the batches of a curriculum; TRL's order takes all the other arguments."""
        super().__init__(**trl, shuffle=False)
        self._drawing = drawing
        self._epoch = 0
        self._batches: list[list[int]] = []  # of this epoch, by the curriculum's numbers

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass the one of this epoch, from 0; the trainer says it before each."""
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, []

    def __iter__(self) -> Iterator[int]:
        """Give a row once a completion, and a batch as often as it is passed over."""
        for number in range(self.num_samples // self.batch_size):
            if number == len(self._batches):
                self._batches.append(self._drawing.curriculum.draw().tolist())
            batch = self._batches[number]
            for _ in range(self.repeat_count):
                for sample in batch:
                    yield from [self._drawing.rows[sample]] * self.mini_repeat_count

    def numbers(self, sample_ids: Sequence[str]) -> list[int]:
        """The numbers by which the curriculum knows samples."""
        return [self._drawing.number[sample_id] for sample_id in sample_ids]

    def update(self, sample: Tensor, correct: Tensor, scored: Tensor) -> None:
        """Tell the curriculum what a rollout batch showed.

        Args:
            sample: (B,), numbers.
            correct: (B, G), whether each completion was right, whatever its reward.
            scored: (B, G), whether it could be judged at all.
        """
        right, drawn = ((of & scored).sum(dim=1).double().cpu().numpy() for of in (correct, scored))
        self._drawing.curriculum.update(sample.long().cpu().numpy(), right, drawn)

    def state(self) -> JsonObject:
        """All that the next batches depend on."""
        return {
            "epoch": self._epoch,
            "batches": self._batches,
            "curriculum": self._drawing.curriculum.state_dict(),
        }

    def restore(self, state: JsonObject) -> None:
        """Take up what `state` gave."""
        self._epoch, self._batches = state["epoch"], list(state["batches"])
        self._drawing.curriculum.load_state_dict(state["curriculum"])
