"""The numbers of 10,000, 38,431 and 200,000 samples: CPU seconds of report, group and compare."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from durian.compare import compare_runs
from durian.config import GroupConfig
from durian.records import as_json
from durian.regroup import regroup_run
from durian.report import build_report
from tests.benchmarks.synthetic_run import write_run

SIZES = (10_000, 38_431, 200_000)  # the middle one is that of ViRL39K
AIMS = {10_000: "-", 38_431: "<= 15", 200_000: "<= 60"}


def run() -> list[dict[str, Any]]:
    """Each command once on a run of each size, its page included; no picture is drawn again."""
    return [row for size in SIZES for row in timed(size)]


def timed(size: int) -> list[dict[str, Any]]:
    """The rows of one size."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (Path(folder) / name for name in "ab")
        for place, seed in ((first, 0), (second, 1)):
            manifest = write_run(place, size, pictures=False, seed=seed)
            (place / "manifest.json").write_text(json.dumps(as_json(manifest)))
            _add_tokens(place, seed)
        commands: dict[str, Callable[[], Any]] = {
            "report": lambda: build_report(first),
            "group --bins auto": lambda: regroup_run(GroupConfig(run=str(first), bins="auto")),
            "compare": lambda: compare_runs(first, second, Path(folder) / "compared"),
        }
        rows = []
        for name, command in commands.items():
            cpu, wall = time.process_time(), time.perf_counter()
            command()
            rows.append(
                {
                    "what": f"{name} of {size:,} samples: CPU seconds",
                    "value": time.process_time() - cpu,
                    "aim": AIMS[size],
                    "detail": f"{time.perf_counter() - wall:.1f} s in all, 8 completions a sample",
                }
            )
        return rows


def _add_tokens(run: Path, seed: int) -> None:
    """Let each completion have its own length and log-probability, as real ones do."""
    file = run / "rollouts.parquet"
    table, rng = pq.read_table(file), np.random.default_rng(seed)
    place = table.column_names.index("sum_logprob")
    spread = table["sum_logprob"].to_numpy() + rng.normal(scale=0.5, size=len(table))
    pq.write_table(
        table.set_column(place, table.schema.field(place), [np.minimum(spread, 0)]), file
    )
