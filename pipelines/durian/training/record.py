"""Record the inputs of a training, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from statistics import fmean

from durian.analysis.training_log import part_means, seconds_a_step
from durian.analysis.validation import Validations, result_of
from durian.config import TrainConfig
from durian.config.options import as_kept, identifying
from durian.engines.fingerprint import model_fingerprint
from durian.manifest import file_fingerprint, table_fingerprint, versions
from durian.records import JsonObject
from durian.rendering.training_page import TrainingSummary, write_training
from durian.rewards import reward_fingerprint
from durian.run.files import write_json, written_aside
from durian.run.folder import MANIFEST
from durian.run.manifest import Manifest
from durian.table.join import TrainingTable, table_warnings
from durian.training.card import CARD_FILE, model_card
from durian.training.facts import training_facts, training_sentences
from durian.training.folder import LOG_FILE, PAGE_FOLDER
from durian.training.launch import launched_processes
from durian.training.manifest import (
    Ends,
    Log,
    Regrouped,
    RowCounts,
    TrainedDataset,
    TrainedTable,
    TrainingManifest,
)
from durian.training.plan import BatchPlan

# What may differ between two attempts at one training: how things are shown.
_FREE_GRPO = ("logging_steps", "log_completions", "report_to", "run_name", "dataloader_num_workers",
              "save_total_limit", "num_completions_to_print", "log_multimodal", "save_steps",
              "ddp_timeout", "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode",
              "push_to_hub", "hub_model_id", "hub_private_repo", "hub_strategy", "hub_revision",
              "torch_empty_cache_steps")  # fmt: skip
ENDS = 5  # logged steps at each end whose mean is the reward before and after


def training_identity(
    config: TrainConfig,
    grpo: Mapping[str, object],
    dataset_fingerprint: str,
    eval_fingerprint: str | None = None,
) -> JsonObject:
    """All that a training's weights and validations depend on; a resumed one must have the same.

    Raises:
        ConfigError: a template, reward or model that cannot be read.
    """
    return {
        **identifying(config),
        **{f"grpo.{key}": value for key, value in grpo.items() if key not in _FREE_GRPO},
        "dataset": dataset_fingerprint,
        "table": table_fingerprint(Path(config.table)),
        "eval_dataset": eval_fingerprint,
        "eval_table": config.eval_table and table_fingerprint(Path(config.eval_table)),
        "model": model_fingerprint(config.policy),
        "reward": reward_fingerprint(config.reward),
        "prompt_template": file_fingerprint(config.prompt_template),
        "processes": launched_processes(),
    }


def training_warnings(
    config: TrainConfig, table: TrainingTable, dataset: str, identity: JsonObject
) -> list[str]:
    """A line for each way in which the table was made from other things than this training.

    Args:
        identity: as `training_identity` gives it.
    """
    return table_warnings(
        table.manifest, dataset=dataset, fingerprint=identity["dataset"], model=config.model,
        model_print=identity["model"],
    )  # fmt: skip


def describe_training(
    config: TrainConfig,
    table_manifest: Manifest,
    dataset_name: str,
    counts: RowCounts,
    plan: BatchPlan,
    log: Log,
    regrouped: list[Regrouped] | None,
    validations: Validations | None,
    seconds: float,
) -> TrainingManifest:
    """The manifest of a finished training."""
    spent = {} if validations is None else {"validation": validations.seconds}
    return TrainingManifest(
        durian=version("durian-rl"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=TrainedDataset(name=dataset_name, split=config.split),
        table=TrainedTable(run=config.table, model=table_manifest.model.name),
        model=config.model,
        config=as_kept(config),
        counts=counts,
        plan=plan,
        result=_ends(log),
        regrouped=regrouped,
        validation=None
        if validations is None
        else result_of(validations, config.model, max((int(e["step"]) for e in log), default=0)),
        seconds={"in all": seconds, **spent},
        versions=versions("accelerate", "peft", "trl"),
    )


def write_results(
    out: Path, log: Log, manifest: TrainingManifest, validations: Validations | None = None
) -> None:
    """Keep the log, its page and the card; then the manifest, which makes the training complete.

    Args:
        log: as `finite_log` gives it.
    """
    # The manifest comes last, since it is what makes a training complete: after a kill before it,
    # the same command takes the last checkpoint and writes all of these again.
    write_json(out / LOG_FILE, {"steps": log})
    plan = manifest.plan
    seconds = seconds_a_step(
        log,
        rollouts=plan.rollout_batches_per_step / plan.steps_per_rollout_batch,
        updates=plan.gradient_accumulation_steps,
    )
    write_training(
        out / PAGE_FOLDER,
        log,
        TrainingSummary(
            title=Path(manifest.model).name,
            created=manifest.created,
            facts=dict(training_facts(manifest)),
            sentences=training_sentences(manifest, seconds),
            logged=part_means(log),
            seconds_a_step=seconds,
            validation=validations,
        ),
    )
    with written_aside(out / CARD_FILE) as aside:
        aside.write_text(model_card(manifest), encoding="utf-8")
    write_json(out / MANIFEST, manifest)


def finite_log(log: Sequence[Mapping[str, float | None]]) -> list[dict[str, float]]:
    """The trainer's log without what is no number: JSON has no NaN, and one must end no training.

    A gradient that overflows, or a step in which no reward could be had, logs NaN.
    """
    return [
        {
            name: value
            for name, value in entry.items()
            if value is not None and not (isinstance(value, float) and not isfinite(value))
        }
        for entry in log
    ]


def _ends(log: Log) -> Ends:
    """Mean reward of the first and the last logged steps: of what was sampled while training."""
    rewards = [float(entry["reward"]) for entry in log if "reward" in entry]
    taken = min(ENDS, len(rewards) // 2)
    if not taken:
        return Ends(logged_steps=len(rewards))
    return Ends(
        logged_steps=len(rewards),
        averaged_steps=taken,
        reward_first=fmean(rewards[:taken]),
        reward_last=fmean(rewards[-taken:]),
    )
