"""The arithmetic of batches: rollout batches, optimizer steps, checkpoints, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, gcd, isfinite, lcm
from typing import Any

from durian.analysis.validation import due_steps
from durian.errors import ConfigError
from durian.records import JsonObject, left_out, merged

CHECKPOINT_EVERY = 50  # optimizer steps, about, where save_steps is not given
THIN = 2  # prompts of a rollout batch that a group needs for a std over more than one sample
_LEAST = {
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "num_generations": 2,
    "steps_per_generation": 1, "generation_batch_size": 1, "num_iterations": 1,
}  # fmt: skip
_OPEN = ("steps_per_generation", "generation_batch_size")  # may be None


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The sizes in which a training is cut into rollout batches and optimizer steps.

    Either a rollout batch takes one optimizer step or more, or one step takes whole rollout
    batches: one of the two numbers that say so is 1.
    """

    processes: int
    samples: int  # that take part
    rollout_batch: int  # prompts, over all processes
    generations: int  # completions a prompt
    generation_batch_size: int  # completions of a rollout batch
    per_device_train_batch_size: int  # completions of a micro-step, in one process
    steps_per_generation: int  # micro-steps of one pass over a rollout batch
    gradient_accumulation_steps: int  # micro-steps of an optimizer step
    steps_per_rollout_batch: int  # optimizer steps
    rollout_batches_per_step: int
    steps_per_epoch: int
    total_steps: int
    completions: int  # written in all; with dynamic sampling, at least
    completions_at_most: int | None = left_out()  # with dynamic sampling
    save_steps: int
    samples_left_out: int  # of each epoch: they fill no rollout batch
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ValidationPlan:
    """The validations of a training, and what they will draw."""

    dataset: str
    samples: int
    every: int  # optimizer steps
    validations: int  # at most: patience may end the training before
    completions: int  # in all


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The plan of a training: who takes part, in which batches, with how much memory."""

    dataset: str
    read: JsonObject  # which of its columns are read as what
    table: str
    model: str
    normalizer: str
    weights: tuple[float, float, float]
    groups: str
    first_prompt: str | None = left_out()
    validation: ValidationPlan | None = left_out()
    without_variance: dict[str, float] | None = left_out()  # samples, by order; of the first epoch
    pool_sizes: dict[str, int] | None = left_out()  # samples of each
    rows: int
    left_out: dict[str, int]  # by reason; what an image or a long prompt rules out is not known yet
    batches: BatchPlan = merged()
    longest_prompt: int  # tokens, at most
    parameters_trained: int
    parameters_left: int
    memory_gib: dict[str, float]


def plan_batches(
    fields: Mapping[str, Any],
    *,
    rollout_batch: int | None,
    processes: int,
    samples: int | None,
    smallest_groups: Mapping[str, tuple[int, float]],
    shuffled: bool = True,
    tries: int = 0,
) -> BatchPlan:
    """Work out the batches as TRL will, and refuse what it would refuse later or do silently.

    TRL's sampler gives each whole rollout batch `steps_per_generation * num_iterations` times and
    drops what is left of an epoch; transformers counts an epoch's optimizer steps upwards.

    Args:
        fields: GRPOConfig's fields that size batches, given or default; None where open.
        rollout_batch: prompts a rollout batch; None for TRL's own generation batch.
        samples: that take part; None while that is not known.
        smallest_groups: by option (percentiles, bins), how many groups there are and the share of
            samples that the smallest holds.
        shuffled: each epoch has an order of its own.
        tries: how often the flat groups of a rollout batch are drawn anew, at most; 0: they stay.
    Raises:
        ConfigError: a size that cannot be, or sizes that do not divide, naming the nearest that do.
    """
    _check_numbers(fields)
    unit = fields["per_device_train_batch_size"] * processes  # completions of one micro-step
    each, accumulate = fields["num_generations"], fields["gradient_accumulation_steps"]
    whole = _generation_batch(fields, rollout_batch, unit)
    prompts = whole // each
    if samples is not None and prompts > samples:
        raise ConfigError(_too_few(samples, prompts, unit, each))
    if tries and whole // processes % each:
        raise ConfigError(_split_groups(prompts, each, unit, processes))
    micro_steps = whole // unit * fields["num_iterations"]
    # An optimizer step would otherwise mix the ends of two rollout batches, drawn from two
    # policies, and no checkpoint would fall between two batches, where a training can be resumed
    # exactly. TRL does so without a word.
    if micro_steps % accumulate and accumulate % micro_steps:
        raise ConfigError(
            f"grpo: 'gradient_accumulation_steps' is {accumulate}, and a rollout batch has "
            f"{micro_steps} micro-steps; one must divide the other, or updates and rollouts fall "
            f"out of step: the nearest that fit: {_nearest_fit(accumulate, micro_steps)}"
        )
    steps, batches_a_step = max(1, micro_steps // accumulate), max(1, accumulate // micro_steps)
    known = prompts if samples is None else samples
    batches = known // prompts
    epoch = ceil(batches * micro_steps / accumulate)
    total = fields["max_steps"]
    if total < 0:
        total = ceil(fields["num_train_epochs"] * epoch)
    # Completions are written by whole rollout batches: all of each full epoch, and of the last, cut
    # one as many as its steps need, where a step may take several batches or a batch several steps.
    epochs, rest = divmod(total, epoch)
    written = epochs * batches + min(batches, ceil(rest * batches_a_step / steps))
    left_out = known - batches * prompts
    return BatchPlan(
        processes=processes,
        samples=known,
        rollout_batch=prompts,
        generations=each,
        generation_batch_size=whole,
        per_device_train_batch_size=fields["per_device_train_batch_size"],
        steps_per_generation=whole // unit,
        gradient_accumulation_steps=accumulate,
        steps_per_rollout_batch=steps,
        rollout_batches_per_step=batches_a_step,
        steps_per_epoch=epoch,
        total_steps=total,
        completions=written * whole,
        completions_at_most=written * whole * (1 + tries) if tries else None,
        save_steps=_save_steps(fields["save_steps"], steps, total),
        samples_left_out=left_out,
        warnings=(
            *([] if shuffled or not left_out else [_never_trained(left_out, known, prompts)]),
            *_thin_groups(smallest_groups, prompts),
        ),
    )


def plan_validation(
    dataset: str, *, samples: int, rollouts: int, every: int, total: int
) -> ValidationPlan:
    """Count what validations will draw.

    Args:
        samples: distinct ones; those that turn out to have no prompt are not known yet.
        rollouts: sampled completions of each.
        every: optimizer steps from one to the next.
        total: optimizer steps of the training.
    """
    times = len(due_steps(total, every))
    return ValidationPlan(
        dataset=dataset,
        samples=samples,
        every=every,
        validations=times,
        completions=samples * (1 + rollouts) * times,
    )


def memory_estimate(
    *,
    trainable: int,
    frozen: int,
    bytes_each: int,
    reference: bool,
    processes: int,
    pixels: int = 0,
) -> dict[str, float]:
    """GiB of weights, gradients, AdamW's two moments and pixels; activations come on top.

    Args:
        trainable: parameters that are trained; with the moments in the same type as the weights.
        bytes_each: of one weight: 4 for float32, 2 for bfloat16.
        reference: a second copy of the weights is held, for the KL term.
        pixels: bytes of a rollout batch's images in one process, which TRL keeps on its device, a
            copy for each completion; no process holds those of another.
    """
    gib = bytes_each / 2**30
    parts = {
        "weights": (trainable + frozen) * gib,
        "gradients": trainable * gib,
        "optimizer": 2 * trainable * gib,
        "reference": (trainable + frozen) * gib if reference else 0.0,
    }
    total, held = sum(parts.values()), pixels / 2**30
    return {
        **parts,
        "pixels": held,
        "in all": total + held,
        "a process if sharded": total / processes + held,
    }


def _generation_batch(fields: Mapping[str, Any], rollout_batch: int | None, unit: int) -> int:
    """Number of completions in a rollout batch."""
    each = fields["num_generations"]
    size, steps = fields["generation_batch_size"], fields["steps_per_generation"]
    if rollout_batch is not None:
        for name, value in (("generation_batch_size", size), ("steps_per_generation", steps)):
            if value is not None:
                raise ConfigError(f"grpo: '{name}' and rollout-batch say the same; leave one out")
        if rollout_batch * each % unit:
            # The fewest prompts whose completions fill whole micro-steps; any multiple of it fits.
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


def _save_steps(asked: Any, steps: int, total: int) -> int:
    """A multiple of the steps of a rollout batch: a checkpoint within one could not be resumed."""
    if asked is None:
        return max(1, CHECKPOINT_EVERY // steps) * steps
    if asked < 1:  # a share of the training, to transformers
        return int(ceil(asked * total / steps) * steps)
    if asked % steps:
        below = int(asked) // steps * steps
        near = f"{below} or {below + steps}" if below > 0 else f"{steps}"
        raise ConfigError(
            f"grpo: 'save_steps' is {asked:g}, and a rollout batch takes {steps} steps; a "
            f"checkpoint within one cannot be resumed exactly: pass {near}"
        )
    return int(asked)


def _check_numbers(fields: Mapping[str, Any]) -> None:
    for name, least in _LEAST.items():
        value = fields[name]
        if value is None and name in _OPEN:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"grpo: '{name}' is {value!r}; it must be a whole number of {least} or more"
            )
    steps, epochs, save = (fields[n] for n in ("max_steps", "num_train_epochs", "save_steps"))
    if not isinstance(steps, int) or isinstance(steps, bool) or steps == 0:
        raise ConfigError(
            f"grpo: 'max_steps' is {steps!r}; it must be a whole number of 1 or more, or -1 for "
            "'num_train_epochs'"
        )
    if steps < 0 and not _positive(epochs):
        raise ConfigError(f"grpo: 'num_train_epochs' is {epochs!r}; it must be above 0")
    if save is not None and not (_positive(save) and (save < 1 or save == int(save))):
        raise ConfigError(
            f"grpo: 'save_steps' is {save!r}; it must be a whole number of 1 or more, or a share "
            "of the training below 1"
        )


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and isfinite(value) and value > 0


def _nearest_fit(accumulate: int, micro_steps: int) -> str:
    """The accumulations below and above one that divide, or are divided by, the micro-steps."""
    if accumulate > micro_steps:
        below = accumulate // micro_steps * micro_steps
        return f"{below} or {below + micro_steps}"
    fit = [n for n in range(1, micro_steps + 1) if micro_steps % n == 0]
    return f"{max(n for n in fit if n < accumulate)} or {min(n for n in fit if n > accumulate)}"


def _too_few(samples: int, prompts: int, unit: int, each: int) -> str:
    fits = samples - samples % (unit // gcd(unit, each))
    way_out = (
        f"pass --rollout-batch {fits} or less"
        if fits
        else f"a micro-step alone has {unit} completions: lower 'per_device_train_batch_size'"
    )
    return (
        f"rollout-batch is {prompts} prompts, and only {samples} samples take part; {way_out}, "
        "or give more samples"
    )


def _split_groups(prompts: int, each: int, unit: int, processes: int) -> str:
    """Name rollout batches that give each process whole groups and whole micro-steps."""
    step = lcm(unit, each * processes) // each
    below = prompts // step * step
    near = f"{below} or {below + step}" if below else f"{step}"
    return (
        f"dynamic-sampling needs each sample's completions in one process: a rollout batch of "
        f"{prompts} x {each} gives each of {processes} processes {prompts * each // processes}, no "
        f"multiple of {each}; pass --rollout-batch {near}"
    )


def _never_trained(left_out: int, samples: int, prompts: int) -> str:
    return (
        f"the last {left_out} of {samples} samples in the order of training fill no rollout batch "
        f"of {prompts} and never take part; a rollout batch that divides {samples} takes them all"
    )


def _thin_groups(groups: Mapping[str, tuple[int, float]], prompts: int) -> list[str]:
    lines = []
    for option, (count, share) in groups.items():
        if count > 1 and prompts * share < THIN:
            fine = min(prompts // THIN, count - 1)
            finer = f"--bins {fine} or less" if option == "bins" else "more even percentiles"
            # Few prompts do for no two groups, however they are cut.
            cut = f"{finer}, or " if fine > 1 else ""
            lines.append(
                f"{option}: the smallest of {count} groups is expected to hold "
                f"{prompts * share:.1f} of {prompts} prompts of a rollout batch, and a std over "
                f"one sample is its own; pass {cut}--rollout-batch {ceil(THIN / share)} or more"
            )
    return lines
