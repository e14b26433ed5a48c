"""kill -9 at every write, rename, sync and removal: the same command goes on to the same files.

By default at some of the points, evenly spread; DURIAN_KILLS=1000 tries them all.
"""

import json
import os
import random
import shutil
import signal
from pathlib import Path

import polars as pl

from tests.faults.faulty import (
    ForkServer,
    assert_same_tables,
    files,
    finished_parts,
    make_dataset,
    points_of,
    some,
    written,
)

PARTS = {"part-00000.parquet", "part-00001.parquet", "part-00002.parquet"}
REGROUP = ("--bins", "3", "--percentiles", "40,60", "--quiet")


def assert_all_whole(run: Path) -> None:
    """Every file that has its final name can be read."""
    for path in run.rglob("*.parquet"):
        pl.read_parquet(path)
    for path in run.rglob("*.json"):
        json.loads(path.read_text())


def manifest(run: Path) -> dict[str, object]:
    """But what the clock says."""
    read = json.loads((run / "manifest.json").read_text())
    assert read["config"].pop("out") == str(run)
    return {k: v for k, v in read.items() if k not in ("created", "seconds")}


def test_a_profile_killed_at_any_write_resumes_to_the_same_run(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path
) -> None:
    server.durian(*profile, "--out", tmp_path / "counted")
    points = some(points_of(server.operations()), 20)
    for at, when in points:
        run = tmp_path / f"{at}-{when}"
        killed = server.durian(*profile, "--out", run, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        assert_all_whole(run)
        complete, finished = (run / "manifest.json").exists(), finished_parts(run)
        ended = server.durian(*profile, "--out", run)
        assert ended.code == 0, (at, when, ended)
        assert_same_tables(run, whole)
        assert manifest(run) == manifest(whole)
        # What was finished was not made again, and all else was made once.
        made = [name for name in written(server.operations()) if name in PARTS]
        assert sorted(made) == ([] if complete else sorted(PARTS - finished)), (at, when)
        shutil.rmtree(run)


def test_a_run_killed_while_it_is_extended_is_the_old_one_or_the_new_one(
    server: ForkServer, tmp_path: Path
) -> None:
    profile = make_dataset(tmp_path, samples=12)
    whole, third = tmp_path / "whole", tmp_path / "third"
    assert server.durian(*profile, "--out", whole).code == 0
    assert server.durian(*profile, "--out", third, "--sample", "10").code == 0
    counted = tmp_path / "counted"
    shutil.copytree(third, counted)
    # The new run has the old one's name in its manifest, as all of one command have.
    assert server.durian(*profile, "--out", counted).code == 0
    assert_same_tables(counted, whole)
    for at, when in some(points_of(server.operations()), 8):
        run = tmp_path / f"{at}-{when}"
        shutil.copytree(third, run)
        killed = server.durian(*profile, "--out", run, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        assert_all_whole(run)
        rollouts = (run / "rollouts.parquet").read_bytes()
        assert rollouts in [(of / "rollouts.parquet").read_bytes() for of in (third, whole)]
        ended = server.durian(*profile, "--out", run)
        assert ended.code == 0, (at, when, ended)
        assert_same_tables(run, whole)
        assert not run.with_name(f"{run.name}.growing").exists(), (at, when)
        shutil.rmtree(run)


def test_a_profile_killed_again_and_again_gets_there(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path
) -> None:
    rng, run = random.Random(11), tmp_path / "run"
    kills = min(60, int(os.environ.get("DURIAN_KILLS", "6")))
    for _ in range(kills):
        # Within some seconds, wherever it is: while it reads, computes or writes.
        if server.durian(*profile, "--out", run, after_seconds=rng.uniform(0.01, 0.5)).code == 0:
            assert_same_tables(run, whole)
            shutil.rmtree(run)
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, whole)


def test_regrouping_killed_at_any_write_ends_in_the_same_run(
    server: ForkServer, whole: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected"
    shutil.copytree(whole, expected)
    assert server.durian("group", expected, *REGROUP).code == 0
    for at, when in some(points_of(server.operations()), 8):
        run = tmp_path / f"{at}-{when}"
        shutil.copytree(whole, run)
        killed = server.durian("group", run, *REGROUP, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        assert_all_whole(run)
        ended = server.durian("group", run, *REGROUP)
        assert ended.code == 0, (at, when, ended)
        assert files(run) == files(expected)
        for name in files(run) - {"report"}:
            assert (run / name).read_bytes() == (expected / name).read_bytes(), (at, when, name)


def test_a_report_killed_at_any_write_is_built_again_to_the_same_files(
    server: ForkServer, whole: Path, tmp_path: Path
) -> None:
    counted = tmp_path / "counted"
    shutil.copytree(whole, counted)
    assert server.durian("report", counted, "--quiet").code == 0
    for at, when in some(points_of(server.operations()), 6):
        run = tmp_path / f"{at}-{when}"
        shutil.copytree(whole, run)
        killed = server.durian("report", run, "--quiet", at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        assert_all_whole(run)
        assert server.durian("report", run, "--quiet").code == 0
        assert files(run) == files(whole)
        for name in files(run) - {"report"}:
            assert (run / name).read_bytes() == (whole / name).read_bytes(), (at, when, name)


def test_the_next_command_clears_what_a_killed_one_left_in_a_complete_run(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert server.durian(*profile, "--out", run).code == 0
    server.durian("group", run, *REGROUP)
    torn = server.operations().index("close difficulty.parquet.tmp")
    server.durian("group", run, "--bins", "2", "--quiet", at=torn, when="torn")
    assert {"difficulty.parquet.tmp", "lock"} <= files(run)
    assert server.durian(*profile, "--out", run).code == 0  # complete: it only tells
    assert files(run) == files(whole)


def test_a_fresh_start_that_is_killed_never_mixes_old_parts_with_new(
    server: ForkServer, profile: list[str], tmp_path: Path
) -> None:
    begun, other = tmp_path / "begun", [*profile, "--seed", "1", "--measures", "pixel"]
    server.durian(*profile, "--out", tmp_path / "counted")
    last = server.operations().index("replace part-00002.parquet")
    server.durian(*profile, "--out", begun, at=last)
    assert len(finished_parts(begun)) == 2
    whole = tmp_path / "whole"
    assert server.durian(*other, "--out", whole).code == 0
    run = tmp_path / "copied"
    shutil.copytree(begun, run)
    assert server.durian(*other, "--out", run, "--fresh").code == 0
    removals = next(i for i, op in enumerate(server.operations()) if "identity.json.tmp" in op)
    for at in range(0, removals + 1, 2):
        run = tmp_path / f"{at}"
        shutil.copytree(begun, run)
        killed = server.durian(*other, "--out", run, "--fresh", at=at)
        assert killed.code == -signal.SIGKILL
        ended = server.durian(*other, "--out", run)
        if ended.code == 2:  # all is as it was: nothing had been cleared
            assert finished_parts(run) == finished_parts(begun) and "--fresh" in ended.said
        else:
            assert_same_tables(run, whole)
