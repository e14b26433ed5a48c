"""`durian` under faults: orders to the fork server, a small dataset, what must come out whole."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from durian.samples import sample_id

ROOT = Path(__file__).parents[2]
SAMPLES, ROLLOUTS, PART = 7, 2, 3  # three parts, the last one short
Point = tuple[int, str]  # number of an operation; before it, or torn
TABLES = ("difficulty", "rollouts", "columns", "thumbnails")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run of the command, and what goes wrong with it."""

    argv: tuple[str, ...]
    stdout: str
    stderr: str
    module: str = ""  # whose `main` is run with `argv`, rather than the command
    operations: str  # file: the durable operations of a child that ends by itself
    at: int | None = None  # number of the operation where it happens
    when: str = "before"  # or torn
    signal: int = signal.SIGKILL
    after_seconds: float | None = None  # the signal comes then, wherever it is
    vanishing: str | None = None  # a file or folder that is gone from `at` on; no signal then
    file_size: int | None = None  # no file may grow beyond so many bytes
    no_flock: str | None = None  # of the file system: refused, or pretended
    plain_figures: bool = True  # a page without figures, which take seconds to draw


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, or minus the signal; its standard error and output."""

    code: int
    said: str
    told: str

    @property
    def last(self) -> str:
        return self.said.splitlines()[-1] if self.said else ""


class ForkServer:
    """One process that has imported everything, and a forked child for each run."""

    def __init__(self, scratch: Path, *further: str) -> None:
        """Args: `further`: "training", to import what that needs too."""
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fork_server", *further],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                 "POLARS_MAX_THREADS": "1",
                 "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pipelines")])},
        )  # fmt: skip
        assert self._line() == 2  # its own first run, of no folder

    def durian(self, *argv: object, **fault: object) -> Ended:
        """Run the command to its end, or to the fault that is ordered."""
        return self.together((argv, fault))[0]

    def together(self, *runs: tuple[Sequence[object], dict[str, object]]) -> list[Ended]:
        """Run several commands at the same time, each with its fault, to the end of the last."""
        said = [[self._scratch / f"{kind}-{n}" for kind in ("stdout", "stderr", "operations")]
                for n in range(len(runs))]  # fmt: skip
        orders = [
            Order(argv=tuple(map(str, argv)), stdout=str(out), stderr=str(err),
                  operations=str(done), **fault)  # type: ignore[arg-type]
            for (argv, fault), (out, err, done) in zip(runs, said, strict=True)
        ]  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
        self._process.stdin.flush()
        return [
            Ended(code, err.read_text(), out.read_text())
            for code, (out, err, _) in zip(self._line(), said, strict=True)
        ]

    def run(self, module: str, *argv: object) -> Ended:
        """Run a module's `main`, which has all that was imported."""
        return self.durian(*argv, module=module)

    def operations(self) -> list[str]:
        """The durable operations of the last run (of several, the first) that ended by itself."""
        names: list[str] = json.loads((self._scratch / "operations-0").read_text())
        return names

    def close(self) -> None:
        self._process.communicate()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def make_dataset(folder: Path, *, samples: int = SAMPLES) -> list[str]:
    """A dataset of noise, and completions for it; gives `profile`'s arguments but --out."""
    rng = np.random.default_rng(3)
    rows, script = [], []
    for number in range(samples):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 16 << (number % 4), (16, 16), np.uint8)).save(file, "PNG")
        row = (f"Question {number}?", str(number), [file.getvalue()], float(number % 3))
        rows.append(row)
        script += [
            {"sample_id": sample_id(row[0], row[1], row[2]), "rollout": r, "n_tokens": 3 + r,
             "sum_logprob": -float(rng.random()), "finish_reason": "stop",
             "completion": f"<think>hm</think> \\boxed{{{number + r * (number % 2)}}}"}
            for r in range(ROLLOUTS)
        ]  # fmt: skip
    data = folder / "noise.parquet"
    names = ["problem", "answer", "images", "level"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(data)
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, script)))
    return [
        "profile", str(data), "--engine", "scripted", "--model", str(folder / "script.jsonl"),
        "--rollouts", str(ROLLOUTS), "--part-size", str(PART), "--bins", "2", "--workers", "2",
        "--quiet",
    ]  # fmt: skip


def files(run: Path) -> set[str]:
    """All that is in a folder, by its path in it."""
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def finished_parts(run: Path) -> set[str]:
    """File names of the parts that a run need not make again."""
    return {part.name for part in (run / "parts").glob("part-*.parquet")}


def written(operations: Sequence[str]) -> list[str]:
    """Names of the files that a run put into their places."""
    return [name.partition(" ")[2] for name in operations if name.startswith("replace ")]


def some(points: Sequence[Point], most: int) -> list[Point]:
    """All points, or so many of them, evenly spread; DURIAN_KILLS says how many."""
    most = int(os.environ.get("DURIAN_KILLS", most))
    step = max(1.0, len(points) / most)
    return [points[int(i * step)] for i in range(min(most, len(points)))]


def points_of(operations: Sequence[str]) -> list[Point]:
    """Where a run can be stopped: before each durable operation, and with each file half there."""
    writing = ("write_text", "write_bytes", "write_table", "close")
    return [
        (at, when)
        for at, name in enumerate(operations)
        for when in ("before", "torn")
        if when == "before" or name.split()[0] in writing
    ]


def assert_same_tables(run: Path, whole: Path, names: Sequence[str] = TABLES) -> None:
    """Byte for byte, and the same files beside them, none more."""
    for name in names:
        table = f"{name}.parquet"
        assert (run / table).read_bytes() == (whole / table).read_bytes(), table
    assert files(run) == files(whole)
