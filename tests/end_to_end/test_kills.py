"""kill -9 at random moments: the resumed table is the uninterrupted one, byte for byte."""

import io
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.samples import sample_id
from tests.end_to_end.waiting import wait_until

ROWS, ROLLOUTS = 240, 2
KILLS = 2  # runs to kill, as real processes; tests/faults kills at every write
SEED = 7


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A pixel and scripted profile of noise images, without its --out."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(SEED)
    rows, script = [], []
    for number in range(ROWS):
        file = io.BytesIO()
        noise = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file, "PNG")
        rows.append((f"Question {number}?", str(number), [file.getvalue()]))
        key = sample_id(*rows[-1][:2], rows[-1][2])
        script += [
            {"sample_id": key, "rollout": r, "n_tokens": 3 + r, "sum_logprob": -rng.random(),
             "completion": f"<think>hm</think> \\boxed{{{number + r}}}", "finish_reason": "stop"}
            for r in range(ROLLOUTS)
        ]  # fmt: skip
    dataset = folder / "noise.parquet"
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(dataset)
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, script)))
    return [
        sys.executable, "-m", "durian_cli", "profile", str(dataset), "--engine", "scripted",
        "--model", str(folder / "script.jsonl"), "--rollouts", str(ROLLOUTS), "--part-size", "8",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*command, "--out", str(run), "--quiet"], check=True)
    return run


@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_killed_run_resumes_to_the_same_table(command, whole, tmp_path, attempt):
    run = tmp_path / "run"
    rng = random.Random(SEED * 1000 + attempt)
    wait_for = rng.randrange(1, ROWS // 8)  # parts to wait for before the first kill
    kills = 0
    while True:
        process = subprocess.Popen([*command, "--out", str(run), "--quiet"])
        parts = run / "parts"
        while process.poll() is None:
            if kills < 2 and len(list(parts.glob("part-*.parquet"))) >= wait_for:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills, wait_for = kills + 1, wait_for + rng.randrange(1, 10)
                stamps = {p: p.stat().st_mtime_ns for p in parts.glob("part-*.parquet")}
                assert stamps  # there was finished work to keep
            time.sleep(0.01)  # the core is the other process's
        if process.returncode != -signal.SIGKILL:
            break
    assert kills >= 1 and process.returncode == 0
    for name in ("difficulty", "rollouts", "columns", "thumbnails"):
        assert (run / f"{name}.parquet").read_bytes() == (whole / f"{name}.parquet").read_bytes()
    names = {p.name for p in run.iterdir()}
    assert names == {p.name for p in whole.iterdir()}


def test_a_finished_part_is_never_measured_again(command, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen([*command, "--out", str(run), "--quiet"])
    parts = run / "parts"
    wait_until(process, lambda: len(list(parts.glob("part-*.parquet"))) >= 3)
    process.kill()
    process.wait()
    # A mark in a finished part shows in the table: the part was read, not made again.
    first = parts / "part-00000.parquet"
    import pyarrow.parquet as pq

    table = pq.read_table(first)
    marked = table.set_column(
        table.schema.get_field_index("problem"),
        table.schema.field("problem"),
        [["marked"] * len(table)],
    )
    pq.write_table(marked, first)
    subprocess.run([*command, "--out", str(run), "--quiet"], check=True)
    problems = pl.read_parquet(run / "difficulty.parquet")["problem"].to_list()
    assert problems[:8] == ["marked"] * 8 and problems[8] == "Question 8?"


def test_a_part_that_was_removed_is_measured_again_in_its_place(command, whole, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen([*command, "--out", str(run), "--quiet"])
    parts = run / "parts"
    wait_until(process, lambda: len(list(parts.glob("part-*.parquet"))) >= 4)
    process.kill()
    process.wait()
    (parts / "part-00001.parquet").unlink()
    subprocess.run([*command, "--out", str(run), "--quiet"], check=True)
    for name in ("difficulty.parquet", "rollouts.parquet"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_ctrl_c_stops_with_130_and_says_how_to_resume(command, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [*command, "--out", str(run)],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and so would the child of a test run as one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(process, lambda: len(list((run / "parts").glob("part-*.parquet"))) >= 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    last = said.splitlines()[-1]
    assert last == (
        "durian: interrupted; a profile or training that has begun resumes by the same command"
    )
    assert list((run / "parts").glob("part-*.parquet"))
