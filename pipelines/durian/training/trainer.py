"""TRL's GRPOTrainer, and the one place where its advantages become Durian's.

Two methods of TRL are overridden to see the rewards of all processes and to replace the advantages,
one to see log-probabilities that TRL computes anyway, one to give the order of samples for any
epoch, one to time the rollouts, one to encode the prompts that were profiled; all six are private
to TRL, hence the pin. One of transformers' is overridden to validate once a step is behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather
from torch import Tensor
from transformers.trainer import TRAINER_STATE_NAME, Trainer
from transformers.trainer_callback import TrainerState
from trl import GRPOTrainer

from durian.analysis.validation import log_entry
from durian.engines.agreement import FIRST, Agreement
from durian.engines.chat import Chat
from durian.errors import RunError
from durian.normalizer import Groups, durian_terms
from durian.records import JsonObject
from durian.rewards.for_trainers import completion_text
from durian.samples import Prompt, Score
from durian.training.backends import check_backend, gathered_when_saved
from durian.training.causes import SIGNS, cause_shares, signs_of
from durian.training.checkpoints import States, check_restored, drop_older, mark_complete
from durian.training.diagnostics import batch_metrics, drift
from durian.training.drawing import Drawing, DrawnOrder
from durian.training.normalization import Normalization
from durian.training.order import EpochBegins, EpochOrder
from durian.training.policy import holds_adapter, holds_weights
from durian.training.prompts import (
    ProfiledProcessor,
    TellingImages,
    check_masks,
    text_ids,
    tokenized,
    with_images,
)
from durian.training.regrouping import Regrouping
from durian.training.resampling import Drawn, DynamicSampling
from durian.training.reward import TrainingReward
from durian.training.rollout_batch import RolloutBatch
from durian.training.validation import TrainingBegins, Validation, greedily
from durian.training.vllm_prompts import reads_what_is_trained_on

_KNOWN = ("perceptual_group", "reasoning_group", "perceptual", "confidence")  # of each sample
KL_AT_START = 1e-3  # nats a token; the reference is the policy then
LOGPROB_GAP = 0.1  # nats a token; the two engines round differently, by less
# What the forward pass of a rollout batch may need, by TRL's names.
_FORWARD = (
    "pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes",
    "num_tiles", "image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids",
)  # fmt: skip


class DurianTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO whose advantages are scaled within groups of samples of like difficulty (eq. 12-20)."""

    vllm_importance_sampling_correction: bool  # TRL's

    def __init__(
        self,
        *,
        normalization: Normalization,
        reward: TrainingReward,
        chat: Chat,
        states: States,
        drawing: Drawing | None = None,
        resampling: DynamicSampling | None = None,
        regrouping: Regrouping | None = None,
        validation: Validation | None = None,
        **trl: Any,
    ) -> None:
        """Set up TRL's trainer, which takes all the other arguments.

        Args:
            states: to which each part of the training is added that a checkpoint must hold.
            drawing: how rollout batches are drawn; None for the order of the dataset, or TRL's.
            resampling: replaces flat groups; None: they stay.
            regrouping: cuts stale reasoning bins anew; None: they are the table's to the end.
            validation: what is validated between the steps; None for nothing.
        """
        self._states = states
        self._resampling = resampling
        if resampling is not None:
            states.add("reserve", resampling.reserve)
        self._regrouping = regrouping
        if regrouping is not None:
            states.add("labels", regrouping)
        self._inputs: list[JsonObject] = []  # rows of the rollout batch in the making
        self._judging = 0.0  # seconds of the reward, while completions are drawn
        self._validation = validation
        self._chat = chat
        self._normalization = normalization
        self._reward = reward
        self._batch: RolloutBatch | None = None
        self._logps: Tensor | None = None  # of the last forward pass
        self._confidence: list[Tensor] = []  # (rows, 2) slot and confidence, this rollout batch
        super().__init__(reward_funcs=[reward], processing_class=chat.processor, **trl)
        self.processing_class = ProfiledProcessor(chat)
        check_backend(
            self.accelerator.state,
            reference=self.ref_model is not None,
            processes=self.accelerator.num_processes,
        )
        self._drawn = DrawnOrder(drawing, **self._order_sizes()) if drawing else None
        if self._drawn is not None:
            states.add("order", self._drawn)
        self._drawing = 0.0  # seconds of the latest rollout batch, from prompts to advantages
        self._unseen = True  # no rollout batch yet in this process
        self._compared = False  # policy and reference, before the first update
        self._texts: dict[tuple[int, ...], list[int]] = {}  # of the rollout batch in hand, for vLLM
        if validation is not None:
            self.add_callback(TrainingBegins(self.validate))
        if self._beside_vllm:
            self.vllm_generation.generate = reads_what_is_trained_on(
                self.vllm_generation.generate, self._texts
            )

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's order of samples, for any epoch, or a curriculum's."""
        order = self._drawn or EpochOrder(
            **self._order_sizes(dataset), shuffle=self.shuffle_dataset, seed=self.args.seed
        )
        self.add_callback(EpochBegins(order))
        return order

    def _order_sizes(self, dataset: Any = None) -> dict[str, Any]:
        """The sizes that TRL's order of samples takes."""
        return {
            "data_source": self.train_dataset if dataset is None else dataset,
            "mini_repeat_count": self.num_generations,
            "batch_size": self.args.generation_batch_size // self.num_generations,
            "repeat_count": self.num_iterations * self.args.steps_per_generation,
        }

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        """TRL's ids of prompts, as the engines have them."""
        encoded = tokenized(self._chat, prompts)
        if self._beside_vllm:
            self._texts.clear()
            self._texts.update(
                zip(map(tuple, encoded[0]), text_ids(self._chat, prompts), strict=True)
            )
        return encoded

    def _generate(self, prompts: list[Any]) -> Any:
        """Draw TRL's completions, those of flat groups anew where that is asked; log the time."""
        begun, self._judging = time.perf_counter(), 0.0
        drawn = super()._generate(prompts)
        if self._resampling is not None and self.model.training:
            # TRL goes on with the very lists that it has given: prompts, rows and these parts.
            batch = self._judged(self._inputs, prompts, drawn)
            counts = self._resampling.refill(batch, self._draw_more, self._generations)
            for name, value in counts.items():
                self._metrics["train"][name].append(value)
            self._reward.known = batch.scores
        self._took("rollout", begun + self._judging)
        return drawn

    def _draw_more(self, rows: list[JsonObject]) -> Drawn:
        """Completions of further rows; TRL's log of their lengths stays that of the first draw."""
        prompts = with_images([row["prompt"] for row in rows], [row["images"] for row in rows])
        logged = {name: len(values) for name, values in self._metrics["train"].items()}
        drawn = super()._generate(prompts)
        for name, values in self._metrics["train"].items():
            if name.startswith("completions/"):
                del values[logged[name] :]
        return self._judged(rows, prompts, drawn)

    def _judged(self, rows: list[JsonObject], prompts: list[Any], parts: Any) -> Drawn:
        begun = time.perf_counter()
        columns = ("sample_id", "answer", "image_sizes", "sample")
        scores = self._reward.judge(
            [completion_text(completion) for completion in parts[3]],
            n_tokens=[len(ids) for ids in parts[1]],
            **{name: [row[name] for row in rows] for name in columns},
        )
        self._judging += time.perf_counter() - begun
        if self._drawn is not None:
            self._learn(rows, scores)
        return Drawn(rows=rows, prompts=prompts, parts=parts, scores=scores)

    def _learn(self, rows: list[JsonObject], scores: list[Score | None]) -> None:
        """Tell the curriculum of all that was drawn: flat samples are not in the rollout batch."""
        assert self._drawn is not None
        numbers = self._drawn.numbers([row["sample_id"] for row in rows])
        seen = [
            [number, score is not None and score.correct, score is not None]
            for number, score in zip(numbers, scores, strict=True)
        ]
        told = gather(torch.tensor(seen, dtype=torch.long, device=self.accelerator.device))
        each = told.view(-1, self._generations, 3)
        self._drawn.update(each[:, 0, 0], each[..., 1] > 0, each[..., 2] > 0)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """TRL's forward and backward pass, timed without the rollouts that may come before it."""
        begun, self._drawing = time.perf_counter(), 0.0
        loss: Tensor = super().training_step(*args, **kwargs)
        self._took("update", begun + self._drawing)
        return loss

    def _took(self, name: str, begun: float) -> float:
        """Log the seconds since then, of this process, as `seconds/<name>`."""
        seconds = time.perf_counter() - begun
        mode = "train" if self.model.training else "eval"
        self._metrics[mode][f"seconds/{name}"].append(seconds)
        return seconds

    def _calculate_rewards(self, inputs: Any, *rest: Any) -> Tensor:
        """TRL's rewards, kept with what Durian knows of each sample, over all processes."""
        begun = time.perf_counter()
        rewards: Tensor = super()._calculate_rewards(inputs, *rest)
        self._took("reward", begun - self._judging)
        device = rewards.device
        _, completions, ids = rest
        signs = signs_of(
            [completion_text(completion) for completion in completions],
            self._reward.scores,
            [self.cut(one) for one in ids],
        )
        numbers = [0] * len(inputs)
        if self._drawn is not None and self.model.training:
            numbers = self._drawn.numbers([x["sample_id"] for x in inputs])
        local = torch.tensor(
            [
                [
                    float(right),
                    float(number),
                    *(float(x[name]) for name in _KNOWN),
                    self._place(x),
                    *own,
                ]
                for x, right, number, own in zip(
                    inputs, self._reward.correct, numbers, signs, strict=True
                )
            ],
            dtype=torch.float64 if device.type != "mps" else torch.float32,
            device=device,
        )
        # TRL has gathered the rewards of all processes; the columns of the samples are known to
        # this one alone and are gathered likewise. The completions of a sample stand side by side,
        # so every G rows are one sample, and the first of them has its groups.
        columns = gather(local).view(len(rewards) // self._generations, self._generations, -1)
        of_sample = columns[:, 0]
        scored = rewards * self.reward_weights.to(device).unsqueeze(0)
        total = scored.nansum(dim=1).masked_fill(rewards.isnan().all(dim=1), float("nan"))
        self._batch = RolloutBatch(
            rewards=total.view(-1, self._generations),
            correct=columns[..., 0] > 0.5,
            sample=of_sample[:, 1].long(),
            perceptual_group=of_sample[:, 2].long(),
            reasoning_group=of_sample[:, 3].long(),
            perceptual=of_sample[:, 4],
            confidence=of_sample[:, 5],
            signs=columns[..., -SIGNS:],
        )
        if self._regrouping is not None:
            places = of_sample[:, 6].long()
            self._batch.places = places
            labels = torch.from_numpy(self._regrouping.labels).to(device)
            self._batch.reasoning_group = labels[places]
            known = torch.from_numpy(self._regrouping.known)
            self._batch.confidence = known[places.cpu()].to(of_sample)
        return rewards

    def _place(self, row: JsonObject) -> float:
        return 0.0 if self._regrouping is None else self._regrouping.place[row["sample_id"]]

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._inputs = inputs
        begun, corrects = time.perf_counter(), self.vllm_importance_sampling_correction
        # TRL says how far vLLM's log-probabilities are from its own only where it corrects for it.
        self.vllm_importance_sampling_correction = corrects or self._unseen
        try:
            out: dict[str, Any] = super()._generate_and_score_completions(inputs)
        finally:
            self.vllm_importance_sampling_correction = corrects
        self._drawing = time.perf_counter() - begun
        training = self.model.training
        metrics = self._metrics["train" if training else "eval"]
        tokens = float(out["completion_mask"].sum())
        metrics["tokens_per_second"].append(tokens / metrics["seconds/rollout"][-1])
        if self._unseen:
            self._unseen = False
            self._check_prompts(inputs, out)
            self._check_sampled()
        if self._batch is None:  # cannot be: TRL scores before it returns
            raise RuntimeError("TRL returned completions without scoring them")
        batch, rows = self._batch, len(inputs)
        first = self.accelerator.process_index * rows
        if self._normalization.online and training:
            batch.group_online(self._confidence_now(out), self._normalization)
        # HERE TRL's advantages become Durian's, and so do the ones that it logs.
        advantages = self._normalization.advantages(
            batch.rewards, Groups(batch.perceptual_group, batch.reasoning_group)
        )
        # The std of a group spans the rollout batch, which spans the processes: each of them
        # computes all advantages, equal to the bit, and takes the rows that are its own.
        flat = advantages.flatten()
        out["advantages"] = flat[first : first + rows].to(out["advantages"].dtype)
        logged = self._logs["advantages"]
        for _ in range(min(len(flat), len(logged))):
            logged.pop()
        logged.extend(flat.tolist())
        for name in ("perceptual_group", "reasoning_group"):
            labels = getattr(batch, name).repeat_interleave(self._generations)
            self._logs["extra"][name].extend(labels.tolist())
        if training:
            if self._drawn is not None and self._resampling is None:
                self._drawn.update(batch.sample, batch.correct, ~batch.rewards.isnan())
            self._log_batch(batch, advantages)
            device = out["advantages"].device
            # TRL shuffles the rows and cuts them into micro-steps. Each row carries its place in
            # the batch along, by which its confidence finds its way back in `_compute_loss`.
            out["durian_slot"] = torch.arange(first, first + rows, device=device)
            self._confidence.clear()
        return out

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        kwargs.pop("batch_num_images", None)  # TRL would refuse it; `num_images` says the same
        images = kwargs.get("num_images")
        if images is not None and self._chat.needs_image_counts:
            model = TellingImages(model, images, kwargs.get("batch_size") or len(input_ids))
        result = super()._get_per_token_logps_and_entropies(model, input_ids, *args, **kwargs)
        self._logps = result[0].detach()
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """TRL's loss; its log-probabilities also say how the policy's confidence has moved."""
        loss: Tensor = super()._compute_loss(model, inputs)
        if self.beta and model.training and self.state.global_step == 0 and not self._compared:
            self._compared = True
            self._check_reference()
        slots = inputs.get("durian_slot")
        cycle = self.args.steps_per_generation * self.num_iterations
        if model.training and slots is not None and self._logps is not None:
            # Of several passes over a rollout batch only the first is kept, in which each row comes
            # once and the policy is nearest to the one that wrote it.
            if self._step % cycle < self.args.steps_per_generation:  # the first pass over them
                confidence = self._sequence_confidence(self._logps, inputs["completion_mask"])
                self._confidence.append(torch.stack([slots.to(confidence), confidence], dim=1))
            if self._step % cycle == self.args.steps_per_generation - 1:
                self._log_drift()
        self._logps = None
        return loss

    def _check_prompts(self, inputs: Any, out: dict[str, Any]) -> None:
        """Stop where the first rollout batch is not made of the prompts that were profiled."""
        prompts = {
            row: Prompt(
                sample_id="",
                messages=inputs[row]["prompt"],
                images=tuple(inputs[row].get("images") or ()),
            )
            for row in range(0, len(inputs), self._generations)[:FIRST]
        }
        agreement = Agreement(self._chat, "the trainer", "use the version of TRL that Durian names")
        for row, prompt in prompts.items():
            mask = out["prompt_mask"][row].bool()
            agreement.check(prompt, out["prompt_ids"][row][mask].tolist())
        check_masks(self._chat, prompts, out)

    def _check_sampled(self) -> None:
        """Stop where vLLM and the trainer give one completion unlike log-probabilities."""
        gap = self._latest("sampling/sampling_logp_difference/mean")
        if gap > LOGPROB_GAP:
            raise RunError(
                f"vLLM's log-probabilities are {gap:.2f} nats a token from the trainer's in the "
                "first rollout batch: they do not read the same prompts or weights; leave out "
                "use_vllm"
            )

    def _check_reference(self) -> None:
        """Stop where the reference is not the policy, which it is until the first update."""
        kl = self._latest("kl")
        if abs(kl) > KL_AT_START:
            raise RunError(
                f"the KL term is {kl:.3g} before the first update, where policy and reference are "
                "the same: the launch has not given the reference its weights; set beta to 0, or "
                "use another launch config"
            )

    def _latest(self, name: str) -> float:
        """The last value that was logged under a name, the same in every process; 0 of none."""
        values = self._metrics["train" if self.model.training else "eval"].get(name)
        return float(values[-1]) if values else 0.0

    @property
    def _beside_vllm(self) -> bool:
        return bool(self.use_vllm and self.vllm_mode == "colocate")

    @property
    def _generations(self) -> int:
        return int(self.num_generations if self.model.training else self.num_generations_eval)

    def _sequence_confidence(self, logps: Tensor, mask: Tensor) -> Tensor:
        """Log-probability of each completion, nats: whole or a token (eq. 14). (rows,)

        NaN for one without tokens: a truncated completion that is masked out says nothing.
        """
        tokens = mask.sum(dim=1)
        total = (logps.double() * mask).sum(dim=1).masked_fill(tokens == 0, float("nan"))
        return total if self._normalization.whole_logprob else total / tokens.clamp(min=1)

    def _confidence_now(self, out: dict[str, Any]) -> Tensor:
        """Each sample's confidence under the policy in hand, from its own rollouts (eq. 15). (B,)

        At the temperature of sampling, at which TRL's forward pass gives log-probabilities.
        """
        logps = out.get("old_per_token_logps")
        if logps is None:
            with torch.no_grad():
                logps, _, _ = self._get_per_token_logps_and_entropies(
                    self.model,
                    torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1),
                    torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1),
                    out["completion_ids"].size(1),
                    batch_size=self.args.per_device_train_batch_size,
                    **{name: out[name] for name in _FORWARD if name in out},
                )
        local = self._sequence_confidence(logps, out["completion_mask"])
        return gather(local).view(-1, self._generations).nanmean(dim=1)  # type: ignore[no-any-return]

    def _log_batch(self, batch: RolloutBatch, advantages: Tensor) -> None:
        groups = batch.perceptual_group, batch.reasoning_group
        scaling = self._normalization
        terms = durian_terms(batch.rewards, *groups, eps=scaling.eps, shrink=scaling.shrink)
        metrics = batch_metrics(
            rewards=batch.rewards,
            correct=batch.correct,
            terms=terms if self._normalization.weighted else None,
            weights=self._normalization.weights,
            advantages=advantages,
            perceptual_group=batch.perceptual_group,
            reasoning_group=batch.reasoning_group,
        )
        if batch.signs is not None:
            metrics |= cause_shares(batch.correct, batch.rewards, batch.signs)
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    def _log_drift(self) -> None:
        """Offline groups grow stale: how far has the policy moved from the table's confidence?"""
        rows = gather(torch.cat(self._confidence))
        self._confidence.clear()
        batch = self._batch
        if batch is None or len(rows) != batch.rewards.numel():
            return
        ordered = rows[rows[:, 0].argsort(), 1].view_as(batch.rewards)
        now = ordered.nanmean(dim=1).cpu().numpy().astype(np.float64)
        known = batch.confidence.cpu().numpy().astype(np.float64)
        if self._normalization.reasoning_harder == "higher":
            known = -known
        # Away from temperature 1 the two are of other distributions: their order may be compared.
        bins = self._normalization.bins if self.temperature == 1 else None
        for name, value in drift(known, now, bins).items():
            self._metrics["train"][name].append(value)
        if self._regrouping is not None and batch.places is not None:
            each = ordered.cpu().numpy().astype(np.float64)
            cut = self._regrouping.note(self.state.global_step + 1, batch.places.tolist(), each)
            if cut is not None:
                for name in ("tau", "tau_by_chance", "moved"):
                    self._metrics["train"][f"durian/regroup/{name}"].append(getattr(cut, name))

    def draw(self, prompts: Sequence[Any], *, copies: int, greedy: bool) -> list[list[int]]:
        """Draw completions of the policy in hand, by TRL's own generation, and log nothing.

        Args:
            prompts: messages that hold their images, as TRL has them; all have some, or none has.
            copies: completions of each prompt.
            greedy: the most likely token each time; else as completions to train on are drawn.
        Returns:
            Token ids, the copies of a prompt in a row.
        """
        training = self.model.training
        self.model.eval()
        try:
            with greedily(self) if greedy else nullcontext():
                each = [prompt for prompt in prompts for _ in range(copies)]
                drawn, _ = self._generate_single_turn(*self._tokenize_prompts(each), copies)
        finally:
            self.model.train(training)
        return [list(ids) for ids in drawn]

    def decoded(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The texts of completions, as TRL hands them to a reward."""
        texts: list[str] = self.processing_class.batch_decode(ids, skip_special_tokens=True)
        return texts

    def cut(self, ids: Sequence[int]) -> bool:
        """Whether a completion was cut at the longest that it may be."""
        return not ids or ids[-1] not in (*self.eos_token_ids, self._tokenizer.pad_token_id)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        super()._maybe_log_save_evaluate(*args, **kwargs)
        self.validate()  # after the checkpoint, which is kept whatever happens here

    def validate(self) -> None:
        """Validate after the step in hand, where that is due; end the training if that says so."""
        step = self.state.global_step
        if self._validation is None:
            return
        found = self._validation.at(self, step)
        known = any("eval_greedy" in e and e["step"] == step for e in self.state.log_history)
        if found is not None and not known:
            # Not by TRL, whose own would end what it gathers of the training.
            Trainer.log(self, log_entry(found, self._validation.found))
        if self._validation.over(step):
            self.control.should_training_stop = True

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """TRL's checkpoint, then a mark that it is whole; only then may older ones go."""
        # Transformers deletes old checkpoints before ours is marked: a kill in between could leave
        # none that is whole. So its limit is lifted while it saves.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            mark_complete(folder, self._whole_model(), self._states.now())
            drop_older(folder.parent, limit)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Prove that the weights are the checkpoint's.

        Transformers' own loading finds no key of Qwen2.5-VL's and says so in a warning only. The
        full model has been built from the checkpoint; an adapter and shards are loaded here.
        """
        if self.sharded or hasattr(self.model, "peft_config"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        check_restored(Path(resume_from_checkpoint), self._whole_model())

    def save_policy(self, out: Path) -> None:
        """Write the trained weights, whole, whatever the checkpoints hold.

        Raises:
            RunError: nothing that a loader of models could read was written.
        """
        with gathered_when_saved(self.accelerator.state):
            self.save_model(str(out))
        if self.accelerator.is_main_process and not (holds_weights(out) or holds_adapter(out)):
            raise RunError(
                f"{out}: the launch has written no weights there; its checkpoints are whole"
            )

    def take_finished(self, checkpoint: Path) -> bool:
        """Take the weights and log of a checkpoint that holds the last step; else do nothing.

        Such a training was stopped between its last checkpoint and its results. Transformers would
        take one more step before it asks whether there is one. Shards can be loaded only by a
        training that goes on, so those are left to it.
        """
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        over = self._validation is not None and self._validation.over(state.global_step)
        if self.sharded or not (state.global_step >= state.max_steps or over):
            return False
        self._load_from_checkpoint(str(checkpoint))
        self.state = state
        self.validate()
        return True

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none at each checkpoint: `training.card` writes ours, once there are results."""

    @property
    def sharded(self) -> bool:
        """Whether no process holds the whole model."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _whole_model(self) -> torch.nn.Module | None:
        """The model where this process holds all of it; None where it is in shards."""
        return None if self.sharded else self.accelerator.unwrap_model(self.model)
