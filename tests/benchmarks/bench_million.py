"""A million samples of 8 completions: seconds and memory of each command over their run.

`python -m tests.benchmarks million` measures 100,000 and 1,000,000 (an hour of one core, 10 GB of
disk); `python -m tests.benchmarks.bench_million 1000 4000` other sizes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from durian.groups import perceptual_groups, reasoning_groups
from durian.records import as_json
from durian.run.manifest import manifest_of
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_schema
from tests.manifests import manifest

FEW, MANY, G, CHUNK = 100_000, 1_000_000, 8, 20_000
MINUTES, GIGABYTES = 5, 2  # the aims, a command on one core
WORDS = "so we look at the picture once more and count what stands in front of the wall ".split()
COMMANDS = ("report", "group", "compare", "join", "export")

# The kernel's own account of one command: its children's CPU seconds and largest resident memory.
# A process's peak counts what its parent held when it was forked, so the parent must be small.
_MEASURED = """
import os, resource, subprocess, sys, time
begun = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_utime + used.ru_stime, time.monotonic() - begun, used.ru_maxrss)
"""
_JOIN = """
import sys
from durian.config import TrainConfig
from durian.table.join import open_table
import polars as pl
table = open_table(TrainConfig(dataset="d", table=sys.argv[1], model="m", out="o"))
for sample_id in pl.scan_parquet(sys.argv[1] + "/difficulty.parquet").select("sample_id").collect(
        )["sample_id"]:
    table.find(sample_id)
"""


def run() -> list[dict[str, Any]]:
    """Each command over both sizes."""
    return at_sizes(FEW, MANY)


def at_sizes(*sizes: int, commands: tuple[str, ...] = COMMANDS) -> list[dict[str, Any]]:
    """CPU seconds and memory of each command, and what each further row takes."""
    with tempfile.TemporaryDirectory() as folder:
        of_size = [measured(Path(folder) / str(size), size, commands) for size in sizes]
    rows = []
    for command in commands:
        (_, least), (seconds, most) = of_size[0][command], of_size[-1][command]
        slope = (most - least) / max(1, sizes[-1] - sizes[0])
        detail = f"{of_size[0][command][0]:.0f} s and {least / 2**20:.0f} MiB of {sizes[0]:,}; "
        detail += f"{slope:,.0f} bytes a further sample"
        many = f"{command} of {sizes[-1]:,} samples x {G}"
        rows += [
            {
                "what": f"{many}: CPU seconds",
                "value": seconds, "aim": f"<= {MINUTES * 60}", "detail": detail,
            },
            {
                "what": f"{many}: peak memory, GB",
                "value": most / 1e9, "aim": f"<= {GIGABYTES}", "detail": detail,
            },
        ]  # fmt: skip
    return rows


def measured(
    folder: Path, n: int, commands: tuple[str, ...] = COMMANDS
) -> dict[str, tuple[float, float]]:
    """Command -> CPU seconds and the peak of memory in bytes, over a run of n samples."""
    folder.mkdir()
    a, b, data = folder / "a", folder / "b", folder / "data.parquet"
    write_run(a, n, data, seed=0)
    if "compare" in commands:
        write_run(b, n, data, seed=1)
    if "export" in commands:
        write_data(data, n)
    durian = [sys.executable, "-m", "durian_cli"]
    asked = {
        "report": [*durian, "report", str(a), "--quiet"],
        "group": [*durian, "group", str(a), "--bins", "8", "--quiet"],
        "compare": [*durian, "compare", str(a), str(b), "--quiet"],
        "join": [sys.executable, "-c", _JOIN, str(a)],
        "export": [
            *durian, "export", str(a), "--to", "verl", "--order", "easy_first",
            "--out", str(folder / "out"), "--quiet",
        ],
    }  # fmt: skip
    return {command: _cost(asked[command]) for command in commands}


def _cost(command: list[str]) -> tuple[float, float]:
    told = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURED, *command], check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    code, cpu, wall, peak = map(float, told.stdout.split())
    assert code == 0, told.stderr
    print(f"{' '.join(command[2:5])[-60:]}: {cpu:.1f} s CPU, {wall:.1f} s, {peak / 1024:.0f} MiB")
    return cpu, peak * 1024


def write_run(folder: Path, n: int, data: Path, *, seed: int) -> None:
    """Write a complete run of n samples a chunk at a time, with completions of 80 words."""
    random = np.random.default_rng(seed)
    clutter = np.random.default_rng(7).random(n)  # of the dataset: the same in every run
    hard = random.normal(size=n) + 3 * clutter - 1.5
    right = random.binomial(G, 1 / (1 + np.exp(hard)))
    confidence = -np.exp(hard / 2 + random.normal(size=n) / 2) / 5
    seen, thought = perceptual_groups(clutter), reasoning_groups(confidence)
    folder.mkdir()
    text = " ".join(WORDS * 40)
    schemas = arrow_schema(DIFFICULTY), arrow_schema(ROLLOUTS)
    own = pa.schema(
        [("sample_id", pa.string()), ("image_id", pa.string()), ("level", pa.float64())]
    )
    with (
        pq.ParquetWriter(folder / "difficulty.parquet", schemas[0], compression="zstd") as table,
        pq.ParquetWriter(folder / "rollouts.parquet", schemas[1], compression="zstd") as rollouts,
        pq.ParquetWriter(folder / "columns.parquet", own, compression="zstd") as columns,
    ):
        for start in range(0, n, CHUNK):
            at = np.arange(start, min(start + CHUNK, n))
            ids = [f"{k:032x}" for k in at]
            r, each = right[at], np.tile(np.arange(G), len(at))
            known = {
                "sample_id": ids, "row": at, "copies": np.ones(len(at)), "n_images": 1 + 0 * at,
                "problem": [f"<image>how many ({k})?" for k in at], "answer": at.astype(str),
                "width": 64 + 0 * at, "height": 64 + 0 * at, "pixel_entropy": 4 + 3 * clutter[at],
                "mean_logprob": confidence[at], "sum_logprob": 12 * confidence[at],
                "answer_entropy": r * (G - r) / 16.0, "rollouts": G + 0 * at, "pass_rate": r / G,
                "format_rate": np.ones(len(at)), "reward_mean": r / G,
                "reward_std": np.sqrt(r * (G - r) / G / (G - 1)), "mean_tokens": 80.0 + at % 7,
                "truncated": np.zeros(len(at)),
                "perceptual_group": np.array(seen.labels, object)[at],
                "reasoning_group": np.array(thought.labels, object)[at],
            }  # fmt: skip
            correct = each < np.repeat(r, G)
            places = random.integers(0, 2000, len(each))
            said = {
                "sample_id": np.repeat(ids, G), "rollout": each,
                "completion": [f"{text[p : p + 400]} {p}" for p in places],
                "answer": np.where(correct, "7", (each % 3).astype(str)),
                "n_tokens": 80 + each, "sum_logprob": 80 * np.repeat(confidence[at], G) - each / 9,
                "reward": correct * 1.0, "correct": correct, "formatted": each >= 0,
                "finish_reason": np.full(len(each), "stop"),
            }  # fmt: skip
            table.write_table(_filled(schemas[0], known, len(at)))
            rollouts.write_table(_filled(schemas[1], said, len(each)))
            further = [ids, [str(k // 2) for k in at], (at % 5).astype(float)]
            columns.write_table(pa.table(further, schema=own))
    pictures = {"sample_id": pa.string(), "jpeg": pa.binary(), "entropy": pa.binary()}
    pq.write_table(pa.schema(list(pictures.items())).empty_table(), folder / "thumbnails.parquet")
    cuts = {
        "perceptual": {
            "measure": "pixel_entropy", "percentiles": [25.0, 75.0], "edges": list(seen.edges),
            "sizes": dict(seen.sizes),
        },
        "reasoning": {
            "measure": "mean_logprob", "bins": 10, "edges": list(thought.edges),
            "sizes": {str(label): size for label, size in thought.sizes.items()},
        },
    }  # fmt: skip
    made = as_json(manifest()) | {"groups": cuts, "counts": {"samples": n, "rows": n}}
    made["config"] = {"dataset": str(data), "id_column": "id", "rollouts": G}
    (folder / "manifest.json").write_text(json.dumps(as_json(manifest_of(made))))


def write_data(path: Path, n: int) -> None:
    """Write the rows that the run is of, with images of 200 bytes: the tables are what is tried."""
    kinds = pa.schema(
        [("id", pa.string()), ("problem", pa.string()), ("answer", pa.string()),
         ("images", pa.list_(pa.binary()))]
    )  # fmt: skip
    image = b"\x89PNG\r\n\x1a\n" + bytes(200)
    with pq.ParquetWriter(path, kinds) as writer:
        for start in range(0, n, 1000):
            at = range(start, min(start + 1000, n))
            rows = [[f"{k:032x}" for k in at], [f"<image>how many ({k})?" for k in at],
                    [str(k) for k in at], [[image]] * len(at)]  # fmt: skip
            writer.write_table(pa.table(rows, schema=kinds))


def _filled(schema: pa.Schema, known: dict[str, Any], rows: int) -> pa.Table:
    """A table by the schema; what is not given is null."""
    arrays = [
        pl.Series(list(known[f.name]), strict=False).to_arrow().cast(f.type)
        if f.name in known
        else pa.nulls(rows, f.type)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


if __name__ == "__main__":
    chosen = tuple(word for word in sys.argv[1:] if not word.isdigit()) or COMMANDS
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()] or [FEW, MANY]
    for line in at_sizes(*numbers, commands=chosen):
        print(f"{line['what']}: {line['value']:.2f} (aim {line['aim']}); {line['detail']}")
