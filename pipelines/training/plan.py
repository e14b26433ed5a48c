"""The arithmetic of batches: rollout batches, optimizer steps, checkpoints, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, gcd
from typing import Any

from pipelines.errors import ConfigError

CHECKPOINT_EVERY = 50  # optimizer steps, about, where save_steps is not given


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """How a training is cut into rollout batches and optimizer steps."""

    processes: int
    samples: int  # that take part
    rollout_batch: int  # prompts, over all processes
    generations: int  # completions a prompt
    generation_batch_size: int  # completions of a rollout batch
    steps_per_rollout_batch: int  # optimizer steps
    total_steps: int
    save_steps: int
    samples_left_out: int  # of each epoch: they fill no rollout batch
    warnings: tuple[str, ...]


def plan_batches(
    fields: Mapping[str, Any],
    *,
    rollout_batch: int | None,
    processes: int,
    samples: int | None,
    smallest_groups: Mapping[str, tuple[int, float]],
) -> BatchPlan:
    """Work out the batches as TRL will, and refuse what it would refuse later or do silently.

    Args:
        fields: GRPOConfig's fields that size batches, given or default; None where open.
        rollout_batch: prompts a rollout batch; None for TRL's own generation batch.
        samples: that take part; None while that is not known.
        smallest_groups: by option (percentiles, bins), how many groups there are and the share of
            samples that the smallest holds.
    Raises:
        ConfigError: sizes that do not divide, naming the nearest that do.
    """
    unit = fields["per_device_train_batch_size"] * processes  # completions of one micro-step
    each, accumulate = fields["num_generations"], fields["gradient_accumulation_steps"]
    whole = _generation_batch(fields, rollout_batch, unit)
    prompts = whole // each
    if samples is not None and prompts > samples:
        raise ConfigError(
            f"rollout-batch is {prompts} prompts, and only {samples} samples take part; "
            f"pass --rollout-batch {max(1, samples)} or less, or more samples"
        )
    micro_steps = whole // unit * fields["num_iterations"]
    if micro_steps % accumulate and accumulate % micro_steps:
        raise ConfigError(
            f"grpo: 'gradient_accumulation_steps' is {accumulate}, and a rollout batch has "
            f"{micro_steps} micro-steps; one must divide the other"
        )
    steps = max(1, micro_steps // accumulate)
    known = prompts if samples is None else samples
    batches = known // prompts
    total = fields["max_steps"]
    if total <= 0:
        total = ceil(fields["num_train_epochs"] * max(1, batches * micro_steps // accumulate))
    return BatchPlan(
        processes=processes,
        samples=known,
        rollout_batch=prompts,
        generations=each,
        generation_batch_size=whole,
        steps_per_rollout_batch=steps,
        total_steps=total,
        save_steps=_save_steps(fields["save_steps"], steps),
        samples_left_out=known - batches * prompts,
        warnings=tuple(_thin_groups(smallest_groups, prompts)),
    )


def memory_estimate(
    *, trainable: int, frozen: int, bytes_each: int, reference: bool, processes: int
) -> dict[str, float]:
    """GiB of weights, gradients and AdamW's two moments; activations and completions come on top.

    Args:
        trainable: parameters that are trained; with the moments in the same type as the weights.
        bytes_each: of one weight: 4 for float32, 2 for bfloat16.
        reference: a second copy of the weights is held, for the KL term.
    """
    gib = bytes_each / 2**30
    parts = {
        "weights": (trainable + frozen) * gib,
        "gradients": trainable * gib,
        "optimizer": 2 * trainable * gib,
        "reference": (trainable + frozen) * gib if reference else 0.0,
    }
    total = sum(parts.values())
    return {**parts, "in all": total, "a process if sharded": total / processes}


def _generation_batch(fields: Mapping[str, Any], rollout_batch: int | None, unit: int) -> int:
    """Completions of a rollout batch."""
    each = fields["num_generations"]
    size, steps = fields["generation_batch_size"], fields["steps_per_generation"]
    if rollout_batch is not None:
        for name, value in (("generation_batch_size", size), ("steps_per_generation", steps)):
            if value is not None:
                raise ConfigError(f"grpo: '{name}' and rollout-batch say the same; leave one out")
        if rollout_batch * each % unit:
            step = unit // gcd(unit, each)
            below = rollout_batch // step * step
            near = f"{below} or {below + step}" if below else f"{step}"
            raise ConfigError(
                f"rollout-batch is {rollout_batch}: {rollout_batch} x {each} completions are no "
                f"multiple of the {unit} of one micro-step; the nearest that fit: {near}"
            )
        return int(rollout_batch * each)
    if size is not None and steps is not None:
        raise ConfigError("grpo: give 'generation_batch_size' or 'steps_per_generation', not both")
    accumulated = fields["gradient_accumulation_steps"]
    whole = size if size is not None else unit * (accumulated if steps is None else steps)
    if whole % unit or whole % each:
        step = unit * each // gcd(unit, each) // each
        below = whole // each // step * step
        near = f"{below} or {below + step}" if below else f"{step}"
        raise ConfigError(
            f"grpo: a generation batch of {whole} completions holds no whole prompts of {each}, or "
            f"no whole micro-steps of {unit}; pass --rollout-batch {near}"
        )
    return int(whole)


def _save_steps(asked: Any, steps: int) -> int:
    """A multiple of the steps of a rollout batch: a checkpoint within one could not be resumed."""
    if asked is None:
        return max(1, CHECKPOINT_EVERY // steps) * steps
    if asked != int(asked) or asked < 1 or int(asked) % steps:
        below = int(asked) // steps * steps
        near = f"{below} or {below + steps}" if below > 0 else f"{steps}"
        raise ConfigError(
            f"grpo: 'save_steps' is {asked}, and a rollout batch takes {steps} steps; a checkpoint "
            f"within one cannot be resumed exactly: pass {near}"
        )
    return int(asked)


def _thin_groups(groups: Mapping[str, tuple[int, float]], prompts: int) -> list[str]:
    lines = []
    for option, (count, share) in groups.items():
        if count > 1 and prompts * share < 2:
            fine = max(1, prompts // 2)
            way_out = f"--bins {fine} or less" if option == "bins" else "wider percentiles"
            lines.append(
                f"{option}: the smallest of {count} groups is expected to hold "
                f"{prompts * share:.1f} of {prompts} prompts of a rollout batch, and a std over "
                f"one sample is its own; pass {way_out}, or a larger --rollout-batch"
            )
    return lines
