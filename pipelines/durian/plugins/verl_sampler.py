"""The curricula of `durian train --order` as a sampler of verl's.

verl up to 0.7.1 has an interface for it (`data.sampler.class_path` and `class_name`, a sampler's
`update` after each step), which 0.8 took out (pull request 6302). The same two settings, with
`++` before them, bring the sampler into 0.8 and 0.9 by way of `durian_verl`, whose dataset is built
before the sampler is, and whose wrapper sees each batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from durian.config.train import CURRICULA, POOLS, SHARES
from durian.curriculum import Curriculum, Frontier, Pools
from durian.plugins.rows import SAMPLE_ID, PluginError, read_settings

PASS_RATE = "durian_pass_rate"
CORRECT = "acc"  # verl's name for whether a completion is right, beside its reward
NO_CORRECT = (
    f"durian: the reward gives no `{CORRECT}`, from which a sampler learns what is right (a reward "
    "may be shaped); let it return one beside its score, as Durian's own does (`python3 -m "
    "durian.plugins.path reward`)"
)


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """`durian train`'s options of the same names, and what an exported pass rate is of."""

    order: str = "frontier"
    frontier_prior: float | None = None
    frontier_decay: float = 0.5
    pools: Mapping[str, float] = field(default_factory=lambda: SHARES)
    rollouts: int = 8  # completions behind each `durian_pass_rate`

    def __post_init__(self) -> None:
        shares = [self.pools.get(name, 0.0) for name in POOLS]
        faults = {
            f"order is {self.order!r}; it must be {' or '.join(CURRICULA)}": (
                self.order not in CURRICULA
            ),
            f"frontier_prior is {self.frontier_prior}; it must be above 0": (
                self.frontier_prior is not None and self.frontier_prior <= 0
            ),
            f"frontier_decay is {self.frontier_decay}; it must be between 0 and 1": (
                not 0 <= self.frontier_decay <= 1
            ),
            f"pools is {dict(self.pools)}; it must give shares to easy, medium and hard": (
                not set(self.pools) <= set(POOLS) or min(shares) < 0 or not any(shares)
            ),
            f"rollouts is {self.rollouts}; it must be 1 or more": self.rollouts < 1,
        }
        for fault, is_there in faults.items():
            if is_there:
                raise PluginError(f"durian: data.durian: {fault}")

    @classmethod
    def read(
        cls,
        given: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> SamplerSettings:
        """Settings of verl's `data.durian`, else from DURIAN_ORDER, DURIAN_POOLS, ...

        Raises:
            PluginError: an unknown name, or a value that cannot be read.
        """
        known = [each.name for each in fields(cls)]
        return cls(**read_settings(known, given, environment, _value, where="durian: data.durian"))


def _value(name: str, value: Any) -> Any:
    match name:
        case "order":
            return str(value)
        case "rollouts":
            return int(value)
        case "pools":
            pairs = (
                [part.split("=") for part in value.split(",")]
                if isinstance(value, str)
                else value.items()
            )
            return {str(pool): float(share) for pool, share in pairs}
    return None if value is None else float(value)


class CurriculumSampler:
    """Gives the rows of a dataset in batches that a curriculum draws, epoch after epoch.

    A batch is drawn when its first row is asked for, by what `update` was told until then. The
    state goes into verl's checkpoints with the state of its loader (torchdata's `Stateful`).
    """

    def __init__(self, data_source: Any, data_config: Any) -> None:
        """Begin at the pass rates that were exported.

        Args:
            data_source: verl's dataset, from `durian export --to verl`.
            data_config: verl's `data` section.
        Raises:
            PluginError: a setting, or the data, cannot carry the curriculum.
        """
        self.settings = SamplerSettings.read(data_config.get("durian", None))
        sizes = [data_config.get(name, None) for name in ("train_batch_size", "gen_batch_size")]
        batch = max(int(size or 0) for size in sizes)
        rows: dict[str, int] = {}  # by sample id, its first row
        rates: list[float] = []
        for row, info in enumerate(data_source.dataframe["extra_info"]):
            if SAMPLE_ID not in info or PASS_RATE not in info:
                raise PluginError(
                    f"durian: extra_info has no {SAMPLE_ID} or no {PASS_RATE}; "
                    "write the data by `durian export RUN --to verl`"
                )
            if info[SAMPLE_ID] not in rows:
                rows[info[SAMPLE_ID]] = row
                rates.append(float("nan") if info[PASS_RATE] is None else float(info[PASS_RATE]))
        self._number = {sample_id: n for n, sample_id in enumerate(rows)}
        self._row = list(rows.values())
        self._size = batch
        self._epoch = len(data_source) // max(batch, 1) * batch  # rows
        self._curriculum = self._begun(np.array(rates), batch, int(data_config.get("seed", 0) or 0))
        self._batch: list[int] = []  # rows
        self._given = 0  # rows of this epoch

    def _begun(self, rates: Any, batch: int, seed: int) -> Curriculum:
        settings = self.settings
        try:
            if settings.order == "pools":
                easy, medium, hard = (float(settings.pools.get(name, 0)) for name in POOLS)
                return Pools(rates, batch=batch, seed=seed, shares=(easy, medium, hard))
            drawn = np.where(np.isnan(rates), 0.0, settings.rollouts)
            right = np.nan_to_num(rates) * drawn
            return Frontier(
                right,
                drawn - right,
                batch=batch,
                seed=seed,
                prior=settings.frontier_prior,
                decay=settings.frontier_decay,
            )
        except ValueError as error:
            raise PluginError(
                f"durian: {error}; no sample is drawn twice in a batch, so set "
                "data.train_batch_size lower, or give more pools a share"
            ) from error

    def __len__(self) -> int:
        """Count the rows of an epoch."""
        return self._epoch

    def __iter__(self) -> Iterator[int]:
        """Go on in the epoch that a restored state is in; else begin one."""
        if self._given == self._epoch:
            self._given = 0
        while self._given < self._epoch:
            place = self._given % self._size
            if place == 0:
                self._batch = [self._row[number] for number in self._curriculum.draw()]
            self._given += 1
            yield self._batch[place]

    def update(self, batch: Any) -> None:
        """Learn from a batch of verl's that was rewarded: its `acc`, never its reward.

        Args:
            batch: a DataProto.
        Raises:
            PluginError: the reward gives no `acc`.
        """
        columns = batch.non_tensor_batch
        if CORRECT not in columns:
            raise PluginError(NO_CORRECT)
        answered = [True] * len(columns[CORRECT])
        if "response_mask" in batch.batch.keys():  # a tensordict iterates otherwise
            answered = (batch.batch["response_mask"].sum(dim=-1) > 0).tolist()
        self.learn(
            [info[SAMPLE_ID] for info in columns["extra_info"]],
            [float(right) for right in columns[CORRECT]],
            answered,
        )

    def learn(
        self, sample_ids: Sequence[str], correct: Sequence[float], counts: Sequence[bool]
    ) -> None:
        """Learn whether completions were right; one entry a completion, in any order.

        Args:
            counts: whether it is one at all: verl pads batches with rows of no response.
        """
        right, drawn = np.zeros(len(self._row)), np.zeros(len(self._row))
        for sample_id, of, is_one in zip(sample_ids, correct, counts, strict=True):
            if is_one:
                right[self._number[sample_id]] += of > 0.5
                drawn[self._number[sample_id]] += 1
        seen = np.flatnonzero(drawn)
        self._curriculum.update(seen, right[seen], drawn[seen])

    def state_dict(self) -> dict[str, Any]:
        """All that the next rows depend on."""
        return {
            "given": self._given,
            "batch": self._batch,
            "curriculum": self._curriculum.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, to the bit."""
        self._given, self._batch = int(state["given"]), list(state["batch"])
        self._curriculum.load_state_dict(state["curriculum"])
