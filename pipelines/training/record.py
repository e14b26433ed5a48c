"""What a training is of, and what it came to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from pipelines.config import SamplingConfig, TrainConfig
from pipelines.engines.fingerprint import model_fingerprint
from pipelines.manifest import file_fingerprint, versions
from pipelines.rendering.training_figure import training_figure
from pipelines.rewards import reward_fingerprint
from pipelines.table.files import write_json
from pipelines.table.join import TrainingTable, table_warnings
from pipelines.table.run_folder import DIFFICULTY_FILE, MANIFEST
from pipelines.training.folder import LOG_FILE
from pipelines.training.launch import launched_processes
from pipelines.training.plan import BatchPlan

# What may differ between two attempts at one training: where things are, and how they are shown.
_FREE = ("dataset", "table", "model", "out", "workers", "processes", "grpo")
_FREE_GRPO = ("logging_steps", "log_completions", "report_to", "run_name", "dataloader_num_workers",
              "save_total_limit", "num_completions_to_print")  # fmt: skip
ENDS = 5  # logged steps at each end whose mean is the reward before and after


def training_identity(
    config: TrainConfig, grpo: Mapping[str, Any], dataset_fingerprint: str
) -> dict[str, Any]:
    """All that a training's weights depend on; a resumed one must have the same.

    Raises:
        ConfigError: a template, reward or model that cannot be read.
    """
    kept = {key: value for key, value in asdict(config).items() if key not in _FREE}
    policy = SamplingConfig(
        model=config.model, engine="transformers", trust_remote_code=config.trust_remote_code
    )
    return {
        **kept,
        **{f"grpo.{key}": value for key, value in grpo.items() if key not in _FREE_GRPO},
        "dataset": dataset_fingerprint,
        "table": table_fingerprint(Path(config.table)),
        "model": model_fingerprint(policy),
        "reward": reward_fingerprint(config.reward),
        "prompt_template": file_fingerprint(config.prompt_template),
        "processes": launched_processes(),
    }


def training_warnings(
    config: TrainConfig, table: TrainingTable, dataset: str, fingerprint: str
) -> list[str]:
    """A line for each way in which the table was made from other things than this training."""
    policy = SamplingConfig(
        model=config.model, engine="transformers", trust_remote_code=config.trust_remote_code
    )
    return table_warnings(
        table.manifest, dataset=dataset, fingerprint=fingerprint, model=config.model,
        model_print=model_fingerprint(policy),
    )  # fmt: skip


def table_fingerprint(run: Path) -> str:
    """32 hex digits of a run's difficulty table."""
    with (run / DIFFICULTY_FILE).open("rb") as file:
        digest = blake2b(digest_size=16)
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def describe_training(
    config: TrainConfig,
    table_manifest: Mapping[str, Any],
    dataset_name: str,
    counts: Mapping[str, Any],
    plan: BatchPlan,
    log: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """The manifest of a finished training."""
    return {
        "durian": version("durian"),
        "kind": "training",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {"name": dataset_name, "split": config.split},
        "table": {"run": config.table, "model": table_manifest["model"]["name"]},
        "model": config.model,
        "config": asdict(config),
        "counts": dict(counts),
        "plan": asdict(plan),
        "result": _ends(log),
        "seconds": {"in all": seconds},
        "versions": versions(),
    }


def write_results(out: Path, log: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> None:
    """Keep the log and its picture, and then the manifest, which makes the training complete."""
    clean = [{k: v for k, v in entry.items() if v is not None} for entry in log]
    write_json(out / LOG_FILE, {"steps": json.loads(json.dumps(clean))})
    training_figure(clean, out / "training")
    write_json(out / MANIFEST, manifest)


def _ends(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean reward of the first and the last logged steps: of what was sampled while training."""
    rewards = [float(entry["reward"]) for entry in log if entry.get("reward") is not None]
    taken = min(ENDS, len(rewards) // 2)
    if not taken:
        return {"logged_steps": len(rewards)}
    return {
        "logged_steps": len(rewards),
        "averaged_steps": taken,
        "reward_first": fmean(rewards[:taken]),
        "reward_last": fmean(rewards[-taken:]),
    }
