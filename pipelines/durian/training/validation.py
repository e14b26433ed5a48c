"""Validate the policy while it trains: with the trainer's own generation, on other samples.

A validation changes nothing of the training: it puts the random state back, touches neither the
rollout batch in hand nor what is logged of it, and scores by the reward before any shaping. What
it found is written before the next step is taken, and a training that is resumed does not validate
a second time where it has.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from transformers import TrainerCallback
from trl import GRPOConfig

from durian.analysis.statistics.accuracy import Judged, accuracy_by_group, rates
from durian.analysis.validation import (
    ITSELF,
    Validated,
    Validations,
    due_steps,
    metric_of,
    result_of,
    weights_at,
)
from durian.config import TrainConfig
from durian.errors import RunError, RunFolderError
from durian.records import as_json, from_json
from durian.rendering.text import counted, estimate_text
from durian.run.files import find_json, write_json
from durian.run.progress import Progress
from durian.training.plan import BatchPlan
from durian.training.prompts import with_images
from durian.training.reward import TrainingReward
from durian.training.validation_rows import ValidationRows, validated_every

if TYPE_CHECKING:
    from durian.training.trainer import DurianTrainer

VALIDATION_FILE = "validation.json"
_OF_SAMPLING = ("temperature", "top_p", "top_k", "min_p")
_OUTCOME = ("right", "formatted", "tokens", "truncated")


@dataclass(frozen=True)
class _Chunk:
    """Samples whose completions are drawn together, some of them perhaps for nothing."""

    samples: list[int]
    wanted: bool  # False: another process has work, and all must call the model as often


class Validation:
    """The validations of one training, in each of its processes."""

    def __init__(
        self,
        rows: ValidationRows,
        config: TrainConfig,
        plan: BatchPlan,
        reward: TrainingReward,
        *,
        together: int,
        seed: int,
        progress: Progress,
    ) -> None:
        """Take up the validations that an earlier attempt has kept.

        Args:
            together: completions that a process draws at a time.
            seed: of the sampled completions, the same at each validation.
        Raises:
            RunFolderError: what was kept cannot be read.
        """
        self._rows = rows
        self._reward = reward
        self._out = Path(config.out)
        self._model = config.model
        self._together = together
        self._seed = seed
        self._progress = progress
        self._total = plan.total_steps
        self.found = self._kept() or Validations(
            dataset=rows.dataset,
            split=rows.split,
            table=rows.table,
            counts=rows.counts,
            clusters=rows.clusters.described,
            metric=config.eval_metric,
            every=validated_every(config, plan),
            rollouts=config.eval_rollouts,
            patience=config.eval_patience,
        )
        # As it was begun: checkpoints, by which it goes where nothing is asked, may come otherwise.
        self._due = frozenset(due_steps(plan.total_steps, self.found.every))

    def _kept(self) -> Validations | None:
        file, way_out = self._out / VALIDATION_FILE, "pass --fresh"
        if (value := find_json(file, way_out)) is None:
            return None
        try:
            return from_json(Validations, value)
        except ValueError as error:
            raise RunFolderError(f"{file}: {error}; {way_out}") from error

    def at(self, trainer: DurianTrainer, step: int) -> Validated | None:
        """Validate after `step` steps, where that is due and was not done before.

        Returns:
            What was found, now or before; None where no validation is due.
        """
        if step not in self._due:
            return None
        if (known := self.found.at(step)) is not None:
            return known
        validated = self._validate(trainer, step)
        self.found = replace(self.found, validations=[*self.found.validations, validated])
        best = self.found.best
        better = best is not None and best.step == step
        # The weights first, then the record that names them, then those that it no longer names: a
        # kill in between leaves a record whose weights are there.
        if better and weights_at(step, self._model, self._total) not in (self._model, ITSELF):
            trainer.save_policy(self._out / weights_at(step, self._model))
        if trainer.accelerator.is_main_process:
            result = result_of(self.found, self._model, self._total)
            gist = {} if result is None else {"best": as_json(result.best)}
            write_json(self._out / VALIDATION_FILE, as_json(self.found) | gist)
            self.drop_others(self._total)
            self._progress.note(told(validated, self.found))
        trainer.accelerator.wait_for_everyone()
        return validated

    def over(self, step: int) -> bool:
        """Whether patience has run out by this step."""
        return self.found.stopped is not None and step >= self.found.stopped

    def drop_others(self, last: int) -> None:
        """Remove the weights of validations that are not the best any more.

        Args:
            last: the step whose weights are the training's own.
        """
        best = self.found.best
        kept = None if best is None else weights_at(best.step, self._model, last)
        for folder in self._out.glob("best-*"):
            if folder.name != kept:
                shutil.rmtree(folder)

    def _validate(self, trainer: DurianTrainer, step: int) -> Validated:
        begun, rows = time.perf_counter(), self._rows
        ways = {"greedy": 1} | ({"sampled": self.found.rollouts} if self.found.rollouts else {})
        outcomes = {way: self._outcomes(trainer, way, copies) for way, copies in ways.items()}
        judged = np.all([~np.isnan(found[:, 0]) for found in outcomes.values()], axis=0)  # (N,)
        if not judged.any():
            raise RunError(f"the reward failed on all {len(judged):,} samples to validate on")
        clusters = rows.clusters.among(judged)
        known = {
            way: Judged(
                completions=ways[way],
                **{name: found[judged, place] for place, name in enumerate(_OUTCOME)},
            )
            for way, found in outcomes.items()
        }
        of_all = {way: rates(each, clusters) for way, each in known.items()}
        return Validated(
            step=step,
            samples=int(judged.sum()),
            failed=int((~judged).sum()),
            seconds=round(time.perf_counter() - begun, 3),
            greedy=of_all["greedy"],
            sampled=of_all.get("sampled"),
            groups={
                kind: accuracy_by_group(
                    [label for label, kept in zip(labels, judged, strict=True) if kept],
                    rows.order[kind],
                    known,
                    clusters,
                )
                for kind, labels in rows.labels.items()
            },
        )

    def _outcomes(self, trainer: DurianTrainer, way: str, copies: int) -> NDArray[np.float64]:
        """Draw and judge all samples, each process its share. (N, 4) of `_OUTCOME`; NaN: failed."""
        found: list[tuple[int, list[float]]] = []
        share = self._share(trainer, max(1, self._together // copies))
        with random_state_kept():
            for chunk in share:
                # By its samples alone: the same completions at each validation of equal weights,
                # whichever process draws them.
                torch.manual_seed(self._chunk_seed(way, chunk.samples))
                rows = self._rows.rows[chunk.samples]
                prompts = with_images(rows["prompt"], rows["images"])
                ids = trainer.draw(prompts, copies=copies, greedy=way == "greedy")
                if chunk.wanted:
                    found += zip(
                        chunk.samples, self._judge(trainer, rows, ids, copies), strict=True
                    )
        table = np.full((len(self._rows.with_images), len(_OUTCOME)), np.nan)
        for number, values in gather_object(found):
            table[number] = values
        return table

    def _share(self, trainer: DurianTrainer, size: int) -> Iterator[_Chunk]:
        """The chunks that this process draws; each process has as many."""
        processes, own = trainer.accelerator.num_processes, trainer.accelerator.process_index
        chunks: list[list[int]] = []
        # Processors take no mixture of prompts with images and without.
        for kind in (True, False):
            numbers = [n for n, has in enumerate(self._rows.with_images) if has is kind]
            chunks += [numbers[i : i + size] for i in range(0, len(numbers), size)]
        if trainer.use_vllm and processes > 1:  # it takes as many prompts of each process
            chunks = [chunk + chunk[-1:] * (size - len(chunk)) for chunk in chunks]
        for start in range(0, len(chunks), processes):
            wanted = start + own < len(chunks)
            yield _Chunk(chunks[start + own if wanted else start], wanted)

    def _chunk_seed(self, way: str, samples: Sequence[int]) -> int:
        told = f"{self._seed} {way} {samples[0]}".encode()
        return int.from_bytes(blake2b(told, digest_size=4).digest(), "little")

    def _judge(
        self, trainer: DurianTrainer, rows: dict[str, list[Any]], ids: list[list[int]], copies: int
    ) -> list[list[float]]:
        """The outcome of each sample of a chunk, from its completions."""

        def each(name: str) -> list[Any]:
            return [value for value in rows[name] for _ in range(copies)]

        lengths = [len(tokens) for tokens in ids]
        scores = self._reward.judge(
            trainer.decoded(ids), n_tokens=lengths,
            **{name: each(name) for name in ("sample_id", "answer", "image_sizes", "sample")},
        )  # fmt: skip
        outcomes = []
        for start in range(0, len(ids), copies):
            own = [score for score in scores[start : start + copies] if score is not None]
            if len(own) < copies:
                outcomes.append([np.nan] * len(_OUTCOME))
                continue
            formatted = [score.formatted for score in own if score.formatted is not None]
            outcomes.append(
                [
                    sum(score.correct for score in own),
                    fmean(formatted) if formatted else np.nan,
                    fmean(lengths[start : start + copies]),
                    fmean(trainer.cut(tokens) for tokens in ids[start : start + copies]),
                ]
            )
        return outcomes


def validation_of(
    rows: ValidationRows | None,
    config: TrainConfig,
    plan: BatchPlan,
    reward: TrainingReward,
    args: GRPOConfig,
    progress: Progress,
) -> Validation | None:
    """The validations of a training; None where it has none."""
    if rows is None:
        return None
    # As many completions at a time as a rollout batch has in one process: they are known to fit.
    together = plan.generation_batch_size // plan.processes
    return Validation(
        rows, config, plan, reward, together=together, seed=args.seed, progress=progress
    )


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put all random states back as they were: what is drawn inside moves nothing outside."""
    python, arrays = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


def told(validated: Validated, found: Validations) -> str:
    """A validation in one line."""
    accuracies = [f"{way} {estimate_text(of.estimate)}" for way, of in validated.ways().items()]
    known = metric_of(validated, found.metric)
    if known is not None and "/" in found.metric:
        accuracies.append(f"{found.metric} {estimate_text(known.estimate)}")
    failed = f", {validated.failed:,} failed" if validated.failed else ""
    best = found.best
    rank = ""
    if best is not None:
        rank = "; the best so far" if best.step == validated.step else f"; best: step {best.step}"
    stop = "; patience has run out" if found.stopped == validated.step else ""
    return (
        f"validation at step {validated.step}: {', '.join(accuracies)} of "
        f"{counted(validated.samples, 'sample')}{failed} in {validated.seconds:.0f} s{rank}{stop}"
    )


@contextmanager
def greedily(trainer: DurianTrainer) -> Iterator[None]:
    """Let the trainer's generation take the most likely token each time; penalties stay."""
    if trainer.use_vllm:
        vllm = trainer.vllm_generation
        before, vllm.temperature = vllm.temperature, 0.0
        try:
            yield
        finally:
            vllm.temperature = before
        return
    sampling, trainer.generation_config = trainer.generation_config, copy(trainer.generation_config)
    trainer.generation_config.do_sample = False
    for name in _OF_SAMPLING:
        setattr(trainer.generation_config, name, None)
    try:
        yield
    finally:
        trainer.generation_config = sampling


class TrainingBegins(TrainerCallback):
    """Calls a function once a training has begun, or has been taken up."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Everything is loaded, and no step is taken yet."""
        self._then()
