"""`durian view` of 1,000, 100,000 and 1,000,000 samples: seconds and MiB, as a browser asks it."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl

from durian.records import as_json
from tests.benchmarks.synthetic_run import write_run

SIZES = (1_000, 100_000, 1_000_000)
SHOWN = ["row", "problem", "answer", "pass_rate", "mean_logprob", "perceptual_group"]
FACETS = ["pass_rate", "perceptual_group", "reasoning_group", "mean_logprob", "pixel_entropy"]
ASKED_AGAIN = 100  # views, each another one, before memory is looked at once more


def run(sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """A run of each size, viewed once."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            made = write_run(Path(folder) / "run", size, pictures=False)
            (Path(folder) / "run" / "manifest.json").write_text(json.dumps(as_json(made)))
            rows += _viewed(Path(folder) / "run", size)
    return rows


def _viewed(run: Path, size: int) -> list[dict[str, Any]]:
    begun = time.perf_counter()
    line = [sys.executable, "-m", "durian_cli", "view", str(run), "--no-open", "--json", "--port"]
    with subprocess.Popen([*line, "0"], stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            said = ""
            while "}" not in said:
                said += viewer.stdout.readline()
            address = json.loads(said)["address"]
            found = {"first view after the start": _first(address, begun, {})}
            found["of that, on a processor"] = _processor(viewer.pid)
            found["memory after it"] = _mib(viewer.pid)
            sort = {"sort": "mean_logprob", "down": True}
            asked = {
                "another order": sort,
                "a range": {**sort, "where": [{"column": "clutter", "low": 0.2, "below": 0.4}]},
                "an SQL condition": {**sort, "sql": "pass_rate > 0 AND clutter < 0.5"},
                "a search over all texts": {**sort, "search": f"({size - 3})"},
            }
            for what, view in asked.items():
                found[what] = _first(address, time.perf_counter(), view)
            ids = pl.scan_parquet(run / "difficulty.parquet").select("sample_id")
            for what, place in (("a sample", size - 7), ("another sample", size // 2)):
                sample_id = ids.slice(place, 1).collect().item()
                found[what] = _timed(address, "api/sample", id=sample_id)
            for k in range(ASKED_AGAIN):
                low = k / ASKED_AGAIN
                _first(address, 0.0, {"where": [{"column": "clutter", "low": low, "below": 0.9}]})
            found[f"memory after {ASKED_AGAIN} more views"] = _mib(viewer.pid)
        finally:
            viewer.terminate()
    aims = {"first view after the start": "<= 2" if size <= 100_000 else "-"}
    return [
        {
            "what": f"view of {size:,} samples: {what}",
            "value": value,
            "aim": aims.get(what, "-"),
            "detail": "MiB" if what.startswith("memory") else "seconds",
        }
        for what, value in found.items()
    ]


def _first(address: str, begun: float, view: dict[str, Any]) -> float:
    """Seconds until a page of rows and the bars beside it are there."""
    text = json.dumps(view)
    _timed(address, "api/page", view=text, count=50, columns=json.dumps(SHOWN))
    _timed(address, "api/facets", view=text, columns=json.dumps(FACETS))
    return time.perf_counter() - begun


def _timed(address: str, path: str, **parameters: Any) -> float:
    begun = time.perf_counter()
    with urllib.request.urlopen(f"{address}{path}?{urlencode(parameters)}", timeout=600) as answer:
        answer.read()
    return time.perf_counter() - begun


def _processor(process: int) -> float:
    """Seconds that a process has used: what it would take on a machine with nothing else to do."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
