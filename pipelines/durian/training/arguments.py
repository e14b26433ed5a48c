"""The `grpo:` section: any field of TRL's GRPOConfig, checked by name, with Durian's own set."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from trl import GRPOConfig

from durian.config import TrainConfig
from durian.config.options import as_pairs
from durian.config.train import CURRICULA
from durian.errors import EXTRAS, ConfigError, one_line, way_out
from durian.manifest import file_fingerprint
from durian.normalizer import NORMALIZERS
from durian.run.manifest import Manifest
from durian.table.join import TrainingTable
from durian.training.launch import launched_processes
from durian.training.normalization import normalization_of
from durian.training.plan import BatchPlan, plan_batches
from durian.training.regrouping import CONFIDENCES
from durian.training.reward import Overlong

# Fields that Durian sets from its own options, and which option that is.
_OURS = {
    "output_dir": "--out",
    "scale_rewards": "normalizer",
    "multi_objective_aggregation": "normalizer",
    "shuffle_dataset": "order",
    "remove_unused_columns": "nothing: all columns are kept",
    "resume_from_checkpoint": "nothing: the same command resumes",
    "auto_find_batch_size": "rollout_batch and per_device_train_batch_size",
    "trust_remote_code": "--trust-remote-code",
}
# Values that a training could not be resumed with, or that TRL refuses once all images are decoded.
_REFUSED = {
    "save_only_model": "a checkpoint without the optimizer cannot be resumed",
    "sync_ref_model": "the reference that it moves is in no checkpoint, so none can be resumed",
    "eval_on_start": "--eval-dataset validates before the first step",
    "chat_template_kwargs": "prompts are rendered as they were profiled; --chat-template-arg",
    "use_transformers_continuous_batching": "TRL has it for text alone",
}
_LOGGERS = {
    "azure_ml": "azureml.core", "clearml": "clearml", "comet_ml": "comet_ml",
    "dagshub": "dagshub", "dvclive": "dvclive", "mlflow": "mlflow", "neptune": "neptune",
    "swanlab": "swanlab", "tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb",
}  # fmt: skip
# Arguments of sampling that TRL has fields of its own for; the others go into generation_kwargs.
_SAMPLING_FIELDS = ("top_k", "min_p", "repetition_penalty")
_AS_PROFILED = {
    "max_completion_length": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
}
# What TRL reads to size its batches; the plan is made of these.
BATCH_FIELDS = (
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_generations",
    "steps_per_generation", "generation_batch_size", "num_iterations", "save_steps", "max_steps",
    "num_train_epochs",
)  # fmt: skip


def check_grpo(grpo: Mapping[str, Any], manifest: Manifest, *, run: bool = True) -> dict[str, Any]:
    """The section's values with numbers as numbers (YAML reads 1e-6 as text).

    Completions are as long and as hot as the table's profile drew them, unless the section says.

    Args:
        run: it is to be run here, rather than planned for another machine.
    Raises:
        ConfigError: a field that GRPOConfig does not have, or that Durian sets itself, or that
            cannot be had here.
    """
    known = {f.name: f for f in fields(GRPOConfig)}
    checked: dict[str, Any] = {}
    for name, value in grpo.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"grpo: no field '{name}' in trl.GRPOConfig{hint}")
        if name in _OURS:
            raise ConfigError(f"grpo: '{name}' is set by Durian; use {_OURS[name]}")
        checked[name] = _as_number(name, value, str(known[name].type))
    if checked.get("eval_strategy", "no") != "no" or checked.get("do_eval"):
        raise ConfigError(
            "grpo: 'eval_strategy' is set by Durian; use --eval-dataset, --eval-every"
        )
    for name, why in _REFUSED.items():
        if checked.get(name):
            raise ConfigError(f"grpo: '{name}' is refused: {why}")
    if run:
        _check_packages(checked)
    if run and checked.get("use_vllm") and not torch.cuda.is_available():
        raise ConfigError(
            "grpo: 'use_vllm' needs a GPU (TRL cannot load new weights into vLLM on a CPU); "
            "leave it out, and completions are drawn with transformers"
        )
    profiled = manifest.config
    return {name: profiled[name_then] for name, name_then in _AS_PROFILED.items()} | checked


def _check_packages(grpo: Mapping[str, Any]) -> None:
    """Refuse what needs a package that is not here, before an image is decoded."""
    asked = grpo.get("report_to") or []
    loggers = [asked] if isinstance(asked, str) else list(asked)
    for name in loggers:
        if name not in (*INTEGRATION_TO_CALLBACK, "all", "none"):
            near = difflib.get_close_matches(name, INTEGRATION_TO_CALLBACK, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"grpo: 'report_to' is '{name}', which is no logger{hint}")
    needed = {f"report_to: {name}": _LOGGERS[name] for name in loggers if name in _LOGGERS}
    if "bnb" in str(grpo.get("optim", "")) or "8bit" in str(grpo.get("optim", "")):
        needed[f"optim: {grpo['optim']}"] = "bitsandbytes"
    if grpo.get("use_liger_kernel"):
        needed["use_liger_kernel"] = "liger_kernel"
    if grpo.get("use_vllm"):
        needed["use_vllm"] = "vllm"
    for field, package in needed.items():
        if find_spec(package.partition(".")[0]) is None:
            how = f"; {way_out(package)}" if package in EXTRAS else ""
            raise ConfigError(
                f"grpo: '{field}' needs the package {package.replace('_kernel', '-kernel')}, which "
                f"is not installed here{how}"
            )


def grpo_config(
    config: TrainConfig, grpo: Mapping[str, Any], plan: BatchPlan, *, longest_prompt: int = 0
) -> GRPOConfig:
    """The trainer's arguments; what the section leaves open is TRL's default, but for a few.

    Args:
        grpo: as `check_grpo` gives it.
        longest_prompt: tokens of the longest one that takes part. vLLM then keeps room for it and
            a completion; by itself it would for the model's whole context, gigabytes of it.
    Raises:
        ConfigError: TRL refuses a value.
    """
    on_gpu = torch.cuda.is_available()
    room = int(grpo["max_completion_length"])
    given = {k: v for k, v in grpo.items() if k not in ("generation_batch_size", "save_steps")}
    # The plan has worked out the generation batch; TRL refuses to be told the same by two fields.
    given.pop("steps_per_generation", None)
    # The order decides: defaults of ours that the section may change, then the section, and last
    # what follows from Durian's own options and may not be changed.
    values: dict[str, Any] = {
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "num_completions_to_print": 0,  # TRL prints them on stdout, where the result goes
        **({"vllm_max_model_length": longest_prompt + room} if longest_prompt else {}),
        **({} if on_gpu else {"use_cpu": True, "bf16": False}),
        **({"ddp_backend": "gloo"} if not on_gpu and plan.processes > 1 else {}),
        **_sampling(config, grpo)[0],
        **({"chat_template_kwargs": arguments} if (arguments := config.chat_template_args) else {}),
        **given,
        "output_dir": config.out,
        "shuffle_dataset": config.order == "shuffle",
        "remove_unused_columns": False,
        "trust_remote_code": config.trust_remote_code,
        "generation_batch_size": plan.generation_batch_size,
        "save_steps": plan.save_steps,
    }
    try:
        return GRPOConfig(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"grpo: {one_line(error)}") from error


def seed_of(grpo: Mapping[str, Any]) -> int:
    """The section's seed, or GRPOConfig's."""
    default = next(f.default for f in fields(GRPOConfig) if f.name == "seed")
    return int(grpo.get("seed", default))


def overlong_of(config: TrainConfig, grpo: Mapping[str, Any]) -> Overlong | None:
    """What long completions lose; None where nothing is taken.

    Raises:
        ConfigError: the buffer is longer than a completion.
    """
    if config.overlong_buffer is None:
        return None
    longest = int(grpo["max_completion_length"])
    if config.overlong_buffer > longest:
        raise ConfigError(
            f"overlong-buffer is {config.overlong_buffer}, and the longest completion has "
            f"{longest} tokens (grpo: max_completion_length); pass at most that"
        )
    return Overlong(longest=longest, buffer=config.overlong_buffer, penalty=config.overlong_penalty)


def check_regroup(config: TrainConfig, grpo: Mapping[str, Any], manifest: Manifest) -> None:
    """Refuse to cut stale bins anew where there are none, or no confidence to cut them by.

    Args:
        config: with what it left open filled in (`manifest.as_profiled`).
        grpo: as `check_grpo` gives it.
    Raises:
        ConfigError: says which setting stands against it.
    """
    if config.regroup is None:
        return
    measure = manifest.groups.reasoning.measure
    against = {
        "groups is 'online', which cuts each rollout batch anew": config.groups == "online",
        "no reasoning bin takes part in this normalizer": not NORMALIZERS[
            config.normalizer
        ].weighted
        or not config.weights[2],
        f"the bins are of {measure}, and a training computes mean_logprob or sum_logprob (durian "
        "group RUN --reasoning mean_logprob)": measure not in CONFIDENCES,
        f"grpo: 'temperature' is {grpo['temperature']}, at which confidence is not that of the "
        "table": float(grpo["temperature"]) != 1,
    }
    for why, stands in against.items():
        if stands:
            raise ConfigError(f"regroup is {config.regroup:g}, but {why}; leave it out")


def _sampling(config: TrainConfig, grpo: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of sampling as fields of GRPOConfig, and the names of those that TRL has not.

    Transformers ignores what it does not know, and TRL gives vLLM only what JSON can hold.
    """
    given = dict(config.sampling_args or {})
    own = {name: given.pop(name) for name in _SAMPLING_FIELDS if name in given}
    if grpo.get("use_vllm"):
        lost = [name for name in given if name == "repetition_detection"]
    else:
        from transformers import GenerationConfig

        make: Any = GenerationConfig  # untyped
        lost = [name for name in given if not hasattr(make(), name)]
    further = {name: value for name, value in given.items() if name not in lost}
    return own | ({"generation_kwargs": further} if further else {}), lost


def drawing_warnings(config: TrainConfig, grpo: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """A line for each way in which prompts or completions are other than the table's.

    Args:
        config: with what it left open filled in (`manifest.as_profiled`).
        grpo: as `check_grpo` gives it.
    """
    fields_now, lost = _sampling(config, grpo)
    now = {**fields_now, **grpo}
    drawn = {n: now[n] for n in _SAMPLING_FIELDS if n in now} | now.get("generation_kwargs", {})
    then, lines = manifest.config, []
    # An older table may be silent about some: it then had what is the default, as it is now.
    pairs = (
        ("temperature", then["temperature"], now["temperature"]),
        ("top-p", then["top_p"], now["top_p"]),
        ("max-tokens", then["max_tokens"], now["max_completion_length"]),
        ("min-pixels", then.get("min_pixels"), config.min_pixels),
        ("max-pixels", then.get("max_pixels"), config.max_pixels),
        ("sampling-arg", as_pairs(then.get("sampling_args")), as_pairs(drawn)),
        (
            "chat-template-arg",
            as_pairs(then.get("chat_template_args")),
            as_pairs(now.get("chat_template_kwargs", config.chat_template_args)),
        ),
    )
    for name, before, today in pairs:
        if before != today:
            lines.append(
                f"the table was made with {name} {'none' if before is None else before}, and this "
                f"training has {'none' if today is None else today}"
            )
    if then.get("system_prompt", config.system_prompt) != config.system_prompt:
        lines.append("the table was made with another system-prompt than this training has")
    # By what is in it: the same template may lie elsewhere.
    template = (manifest.identity or {}).get("prompt_template")
    if manifest.identity and template != file_fingerprint(config.prompt_template):
        lines.append("the table was made with another prompt-template than this training has")
    if lost:
        lines.append(f"completions are drawn without {', '.join(lost)}: TRL cannot pass it on here")
    return lines


def _as_number(name: str, value: Any, kind: str) -> Any:
    if not isinstance(value, str) or "float" not in kind or "str" in kind:
        return value
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"grpo: '{name}' is '{value}', not a number") from None


def plan_of(
    config: TrainConfig,
    grpo: Mapping[str, Any],
    table: TrainingTable,
    *,
    samples: int | None,
    processes: int | None = None,
) -> BatchPlan:
    """The batches of a training, from its settings and the groups of its table.

    Args:
        samples: that take part; None while that is not known.
        processes: that are to be planned for; None for those of this launch, which must then be
            as many as the config says.
    Raises:
        ConfigError: sizes that do not divide, or a launch of another number of processes.
    """
    launched = launched_processes()
    if processes is None and config.processes not in (None, launched):
        raise ConfigError(
            f"processes is {config.processes}, and this launch has {launched}; launch with "
            f"torchrun --nproc_per_node {config.processes} -m durian_cli train ..., or change it"
        )
    defaults = {f.name: f.default for f in fields(GRPOConfig) if f.name in BATCH_FIELDS}
    defaults["save_steps"] = None
    return plan_batches(
        {**defaults, **{name: grpo[name] for name in BATCH_FIELDS if name in grpo}},
        rollout_batch=config.rollout_batch,
        processes=processes or launched,
        samples=samples,
        smallest_groups=_smallest_groups(config, table),
        shuffled=config.order == "shuffle" or config.order in CURRICULA,
        tries=0 if config.dynamic_sampling is None else config.max_tries,
    )


def _smallest_groups(config: TrainConfig, table: TrainingTable) -> dict[str, tuple[int, float]]:
    """Count the groups that each option makes, and the share of samples in the smallest."""
    if not NORMALIZERS[config.normalizer].weighted:
        return {}
    _, perceptual, reasoning = config.weights
    if config.groups == "online":  # quantiles of each rollout batch, whatever the table says
        normalization = normalization_of(config, table.manifest)
        low, high = normalization.percentiles
        parts = [part for part in (low, high - low, 100 - high) if part]  # of two cuts found alike
        seen = len(parts), min(parts) / 100
        thought = normalization.bins, 1 / normalization.bins
    else:
        seen = _smallest(table.perceptual_group[table.passes])
        thought = _smallest(table.reasoning_group[table.passes])
    taking_part = {"bins": (reasoning, thought), "percentiles": (perceptual, seen)}
    return {name: group for name, (weight, group) in taking_part.items() if weight}


def _smallest(labels: NDArray[np.int64]) -> tuple[int, float]:
    """Number of groups, and the share of all samples in the smallest."""
    _, sizes = np.unique(labels[labels >= 0], return_counts=True)
    return len(sizes), float(sizes.min() / len(labels)) if len(sizes) else 0.0
