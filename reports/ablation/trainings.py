"""Train the shipped policy under several normalizers, paired by seed, and judge each by group.

    python -m reports.ablation.trainings --table RUN --held-out RUN --out FOLDER --hours 8

RUN: profiles of photo_shapes' train and test rows by the shipped policy, as `make demo` makes them.
One training with its evaluation is the unit. A line of FOLDER/results.jsonl is appended as a unit
ends, and a unit that has a line is not run again: after a kill the same command goes on with the
next one. Units come seed by seed, the arms that decide first, so that pairs are complete early.

Every arm of one seed sees the same prompts in the same order. "random" is Durian with the table's
groups dealt out among the samples by chance: same sizes, no difficulty; "accuracy" is Durian with
bins of the table's pass rate. "drop_..." trains on a part of the samples; its own control
("keep_...") on as many that were chosen by chance.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from durian.config import EvalConfig, GroupConfig, TrainConfig
from durian.records import as_json

DATA, POLICY = Path("data/photo_shapes"), "data/tiny_policy"
STEPS, EACH = 60, 8  # optimizer steps; completions of a prompt
PROMPTS, BATCH = 16, 64  # of an optimizer step; of a rollout batch, over which a std is taken
RATE = 3e-4
SAMPLED = 4  # completions of a held-out sample, beside the greedy one


@dataclass(frozen=True)
class Arm:
    """One way to train, by what it sets otherwise than plain GRPO."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    random_groups: bool = False  # the table's groups, dealt out by chance
    reasoning: str | None = None  # column of the reasoning bins, where it is not the table's
    filter: str | None = None  # samples that take part
    by_chance: bool = False  # as many samples as pass the filter, but any


GRPO = {"normalizer": "grpo"}
FIRST = {
    "grpo": Arm(GRPO),
    "durian": Arm({"normalizer": "durian"}),
    "random": Arm({"normalizer": "durian"}, random_groups=True),
    "batch": Arm({"normalizer": "batch"}),
}
THEN = {
    "accuracy": Arm({"normalizer": "durian"}, reasoning="pass_rate"),
    "maxrl": Arm({"normalizer": "maxrl"}),
    "dr_grpo": Arm({"normalizer": "dr_grpo"}),
}
ADVICE = {
    f"{verb}_{name}": Arm(GRPO, filter=condition, by_chance=verb == "keep")
    for name, condition in {
        "solved": "pass_rate < 1",
        "doubtful": "label_doubt < 0.5 OR label_doubt IS NULL",
        "blind": "blind_pass_rate < 0.75",
    }.items()
    for verb in ("drop", "keep")
}
ARMS = {**FIRST, **THEN, **ADVICE}


def main() -> None:
    """Run the units that have no line yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=6.0, help="no unit begins after these")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--arms", nargs="*", choices=ARMS, help="default: all but drop_ and keep_")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    begun, file = time.monotonic(), given.out / "results.jsonl"
    done = {(line["arm"], line["seed"]) for line in read_lines(file)}
    for arm, seed in units(given.arms, given.seeds):
        if (arm, seed) in done:
            continue
        if time.monotonic() - begun > 3600 * given.hours:
            break
        found = run(arm, seed, given.table, given.held_out, given.out)
        with file.open("a") as lines:
            lines.write(json.dumps(found) + "\n")
        print(arm, seed, *(f"{seconds:.0f} s" for seconds in found["seconds"]), flush=True)


def units(arms: list[str] | None, seeds: int) -> Iterator[tuple[str, int]]:
    """The arms that decide on the first six seeds, the others on them, then the further seeds."""
    if arms:
        yield from ((arm, seed) for seed in range(seeds) for arm in arms)
        return
    for first, last in ((0, min(6, seeds)), (6, seeds)):
        for some in (FIRST, THEN):
            yield from ((arm, seed) for seed in range(first, last) for arm in some)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The finished units; a line that a kill cut short is none."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def run(arm: str, seed: int, table: Path, held_out: Path, out: Path) -> dict[str, Any]:
    """Train and judge one arm in this process: to start another takes a good part of a unit."""
    from durian.evaluate import evaluate_policy  # here: they load TRL and all that it brings
    from durian.regroup import regroup_run
    from durian.train import train_policy

    begun, folder = time.perf_counter(), out / f"{arm}-{seed}"
    own = table
    if ARMS[arm].random_groups:
        own = with_random_groups(table, seed, folder.with_suffix(".table"))
    elif (column := ARMS[arm].reasoning) is not None:
        own = folder.with_suffix(".table")
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(table, own)
        regroup_run(GroupConfig(run=str(own), reasoning=column))
    train_policy(
        TrainConfig(
            dataset=str(DATA / "train.parquet"), table=str(own), model=POLICY, out=str(folder),
            rollout_batch=BATCH, freeze_vision=True, filter=condition_of(ARMS[arm], table, seed),
            **ARMS[arm].settings,
            grpo={
                "num_generations": EACH, "per_device_train_batch_size": PROMPTS * EACH,
                "max_steps": STEPS, "learning_rate": RATE, "lr_scheduler_type": "constant",
                "gradient_checkpointing": False, "save_strategy": "no", "seed": seed,
            },
        ),
        fresh=True,
    )  # fmt: skip
    trained = time.perf_counter() - begun
    judged = evaluate_policy(
        EvalConfig(
            dataset=str(DATA / "test.parquet"), table=str(held_out), model=str(folder),
            engine="transformers", max_tokens=64, rollouts=SAMPLED,
        )
    )  # fmt: skip
    log = json.loads((folder / "log.json").read_text())["steps"]
    shutil.rmtree(folder)
    if own != table:
        shutil.rmtree(own)
    gc.collect()
    return {
        "arm": arm,
        "seed": seed,
        "commit": commit(),
        "settings": {"steps": STEPS, "prompts": PROMPTS, "rollout_batch": BATCH,
                     "rollouts": EACH, "learning_rate": RATE},
        "log": log,
        "eval": as_json(judged),
        "seconds": [trained, time.perf_counter() - begun],
    }  # fmt: skip


def with_random_groups(table: Path, seed: int, copy: Path) -> Path:
    """Copy a run, its groups dealt out among the samples by chance: both of a sample together."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(table, copy)
    file = copy / "difficulty.parquet"
    metadata, frame = pl.read_parquet_metadata(file), pl.read_parquet(file)
    dealt = np.random.default_rng([seed, 28]).permutation(len(frame))
    groups = ("perceptual_group", "reasoning_group")
    metadata.pop("ARROW:schema", None)
    dealt_out = frame.with_columns(frame[name][dealt].alias(name) for name in groups)
    dealt_out.write_parquet(file, metadata=metadata)
    return copy


def condition_of(arm: Arm, table: Path, seed: int) -> str | None:
    """The training's filter: the arm's own, or as many rows as pass it, chosen by chance."""
    if arm.filter is None or not arm.by_chance:
        return arm.filter
    frame = pl.read_parquet(table / "difficulty.parquet")
    kept = frame.filter(pl.sql_expr(arm.filter)).height
    rows = np.random.default_rng([seed, 29]).choice(frame["row"].to_numpy(), kept, replace=False)
    return f"row IN ({','.join(map(str, sorted(rows.tolist())))})"


def commit() -> str:
    """The commit that this tree is at, with a + where files differ from it."""
    here = ["git", "-C", str(Path(__file__).parent)]
    name = subprocess.run([*here, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    changed = subprocess.run([*here, "status", "--porcelain"], capture_output=True, text=True)
    return name.strip() + ("+" if changed.stdout.strip() else "")


if __name__ == "__main__":
    main()
