"""Dynamic sampling, frontier, pools and shuffle at equal completions drawn, over seeds.

    python -m tests.benchmarks.orders --table RUN --held-out RUN --out FOLDER [--seeds 4]

RUN: profiles of photo_shapes' train and test rows by the shipped policy. A line of
FOLDER/results.jsonl is appended as each training ends, and a training that has a line is not run
again. With --tell nothing is run, and the lines that are there are told: each arm less shuffle, by
seed, with a 95 % interval of Student's t.

An arm draws --completions completions in all, refilled groups included: dynamic sampling, which
throws drawn groups away, is judged at the last step within that many.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.stats import t as student

from durian.config import EvalConfig, TrainConfig
from durian.evaluate import evaluate_policy
from durian.records import as_json
from durian.train import train_policy

DATA, POLICY = Path("data/photo_shapes"), "data/tiny_policy"
PROMPTS, EACH = 16, 8  # of a rollout batch; completions of a prompt
ARMS: dict[str, dict[str, Any]] = {
    "shuffle": {},
    "frontier": {"order": "frontier"},
    "pools": {"order": "pools"},
    "dynamic": {"dynamic_sampling": "spread"},
}


def main() -> None:
    """Run what has no line yet, seed by seed, so that each seed's arms stand side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--completions", type=int, default=2560, help="drawn by each training")
    parser.add_argument("--rows", type=int, help="training rows, the first ones; default: all")
    parser.add_argument("--limit", type=int, default=300, help="held-out samples")
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--tell", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "results.jsonl"
    for seed in range(0 if given.tell else given.seeds):
        for arm in given.arms:
            done = {(line["arm"], line["seed"]) for line in lines(file)}
            if (arm, seed) not in done:
                found = run(arm, seed, given)
                with file.open("a") as out:
                    out.write(json.dumps(found) + "\n")
    tell(lines(file))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run(arm: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one arm, in this process: to start another would take a third of it."""
    begun, out = time.perf_counter(), given.out / f"{arm}-{seed}"
    completions = given.completions
    train_policy(
        TrainConfig(
            dataset=str(DATA / "train.parquet"), table=str(given.table), model=POLICY,
            out=str(out), rollout_batch=PROMPTS, freeze_vision=True, limit=given.rows,
            **ARMS[arm],
            grpo={
                "num_generations": EACH, "per_device_train_batch_size": PROMPTS * EACH,
                "max_steps": completions // (PROMPTS * EACH), "learning_rate": 3e-4,
                "lr_scheduler_type": "constant", "gradient_checkpointing": False,
                "save_steps": 1 if arm == "dynamic" else 1000, "seed": seed,
            },
        ),
        fresh=True,
    )  # fmt: skip
    trained = time.perf_counter() - begun
    log = [s for s in json.loads((out / "log.json").read_text())["steps"] if "reward" in s]
    drawn = np.cumsum([PROMPTS + step.get("durian/reserve_drawn", 0) for step in log])
    within = int((drawn <= completions // EACH).sum())
    judged = evaluate_policy(
        EvalConfig(
            dataset=str(DATA / "test.parquet"), table=str(given.held_out),
            model=str(out if within == len(log) else out / f"checkpoint-{within}"),
            engine="transformers", max_tokens=64, rollouts=2, limit=given.limit,
        )
    )  # fmt: skip
    shutil.rmtree(out)
    gc.collect()
    return {
        "arm": arm,
        "seed": seed,
        "log": log[:within],
        "eval": as_json(judged),
        "seconds": [trained, time.perf_counter() - begun],
    }


def tell(found: list[dict[str, Any]]) -> None:
    """Each arm's numbers, and those less shuffle's of the same seed."""
    by = {(line["arm"], line["seed"]): numbers(line) for line in found}
    for name in next(iter(by.values()), {}):
        for arm in ARMS:
            seeds = [seed for of, seed in by if of == arm]
            values = [by[arm, seed][name] for seed in seeds]
            both = [seed for seed in seeds if ("shuffle", seed) in by]
            less = [by[arm, seed][name] - by["shuffle", seed][name] for seed in both]
            line = f"{name:<34} {arm:<9} {fmean(values):7.4f} (n {len(values)})" if values else ""
            if arm != "shuffle" and len(less) > 1:
                half = float(student.ppf(0.975, len(less) - 1)) * stdev(less) / len(less) ** 0.5
                line += f"  less shuffle {fmean(less):+.4f} ({fmean(less) - half:+.4f} to "
                line += f"{fmean(less) + half:+.4f})"
            print(line)


def numbers(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a training that are compared."""
    log, judged = line["log"], line["eval"]["models"][0]
    late = log[len(log) // 2 :]
    found = {
        "no variance": fmean(step["durian/no_variance"] for step in log),
        "no variance, second half": fmean(step["durian/no_variance"] for step in late),
        "sampled reward, second half": fmean(step["reward"] for step in late),
        "held-out greedy": judged["greedy"]["accuracy"],
        "held-out sampled": judged["sampled"]["accuracy"],
        "optimizer steps": float(len(log)),
    }
    for group in judged["perceptual"]:
        found[f"held-out sampled, {group['group']}"] = group["sampled"]["accuracy"]
    for group in judged["reasoning"]:
        found[f"held-out sampled, bin {group['group']}"] = group["sampled"]["accuracy"]
    return found


main()
