"""No room, no permission, files that vanish or change: one line, a code, finished work intact."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.faults.faulty import ForkServer, assert_same_tables, finished_parts, make_dataset

AGAIN = "mend it, and give the same command again"


def parts_in(run: Path) -> dict[str, bytes]:
    return {name: (run / "parts" / name).read_bytes() for name in finished_parts(run)}


def place(server: ForkServer, profile: list[str], scratch: Path, operation: str) -> int:
    """The number of an operation in a run that nothing disturbs."""
    assert server.durian(*profile, "--out", scratch).code == 0
    return server.operations().index(operation)


@pytest.fixture
def begun(server: ForkServer, profile: list[str], tmp_path: Path) -> Path:
    """A run with two of its three parts finished, then killed."""
    run = tmp_path / "run"
    last = place(server, profile, tmp_path / "counted", "replace part-00002.parquet")
    server.durian(*profile, "--out", run, at=last)
    assert len(finished_parts(run)) == 2
    return run


@pytest.mark.parametrize("limit", [400, 900, 2_500, 12_000])
def test_a_file_that_may_not_grow_ends_the_run_in_a_line_and_more_room_goes_on(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path, limit: int
) -> None:
    run = tmp_path / "run"
    ended = server.durian(*profile, "--out", run, file_size=limit)
    assert ended.code == 1, ended
    assert len(ended.said.splitlines()) == 1 and ended.said.startswith(f"durian: {run}/")
    assert os.strerror(errno.EFBIG) in ended.said and ended.said.strip().endswith(AGAIN)
    assert not [name for name in run.rglob("*.tmp")]
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("this user cannot mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_full_disk_ends_the_run_in_a_line_and_more_room_goes_on(
    server: ForkServer, profile: list[str], whole: Path, small_disk: Path
) -> None:
    # It holds the parts and the tables, but not the page (some 70 KiB) too.
    run = small_disk / "run"
    ended = server.durian(*profile, "--out", run)
    assert ended.code == 1, ended
    assert len(ended.said.splitlines()) == 1 and ended.said.startswith(f"durian: {run}/")
    assert os.strerror(errno.ENOSPC) in ended.said and ended.said.strip().endswith(AGAIN)
    assert len(finished_parts(run)) == 3
    remount(small_disk, "size=2m")
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, whole)


@pytest.mark.parametrize("command", ["profile", "group", "report"])
def test_a_read_only_folder_is_refused_in_a_line_and_left_as_it_is(
    server: ForkServer, profile: list[str], whole: Path, small_disk: Path, command: str
) -> None:
    remount(small_disk, "size=2m")
    run = small_disk / "run"
    if command != "profile":
        shutil.copytree(whole, run)
    argv = [*profile, "--out", str(run)] if command == "profile" else [command, str(run)]
    before = sorted(small_disk.rglob("*"))
    remount(small_disk, "ro")  # which holds for root too
    ended = server.durian(*argv)
    assert ended.code == 2, ended
    way_out = "choose another --out" if command == "profile" else "give a copy of it that can"
    line = f"durian: {run}: cannot be written ({os.strerror(errno.EROFS)}); {way_out}"
    assert ended.said.strip() == line
    assert sorted(small_disk.rglob("*")) == before


def test_a_finished_run_in_a_read_only_folder_is_still_told_of(
    server: ForkServer, profile: list[str], whole: Path, small_disk: Path
) -> None:
    remount(small_disk, "size=2m")
    shutil.copytree(whole, small_disk / "run")
    (small_disk / "run" / "parts").mkdir()  # a stray that cannot be cleared
    remount(small_disk, "ro")
    assert server.durian(*profile, "--out", small_disk / "run").code == 0


def test_a_folder_without_permission_is_refused_in_a_line(
    server: ForkServer, profile: list[str], tmp_path: Path
) -> None:
    # A file where a folder should be is refused to root too, as a missing permission is not.
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    ended = server.durian(*profile, "--out", out)
    assert ended.code == 2
    line = f"durian: {out}: cannot be written ({os.strerror(errno.ENOTDIR)}); choose another --out"
    assert ended.said.strip() == line


def test_a_folder_that_vanishes_under_a_run_ends_it_in_a_line(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    third = place(server, profile, tmp_path / "counted", "write_table part-00002.parquet.tmp")
    ended = server.durian(*profile, "--out", run, at=third, vanishing=str(run))
    assert ended.code == 1 and len(ended.said.splitlines()) == 1, ended
    assert os.strerror(errno.ENOENT) in ended.said and ended.said.strip().endswith(AGAIN)
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, whole)


def test_a_dataset_that_vanishes_under_a_run_ends_it_in_a_line_and_its_return_goes_on(
    server: ForkServer, tmp_path: Path
) -> None:
    profile = make_dataset(tmp_path)
    data, kept = Path(profile[1]), tmp_path / "kept"
    shutil.copy(data, kept)
    run, whole = tmp_path / "run", tmp_path / "counted"
    # Thumbnails are read from the dataset at the end, when all parts are finished.
    last = place(server, profile, whole, "replace part-00002.parquet")
    ended = server.durian(*profile, "--out", run, at=last, vanishing=str(data))
    assert ended.code in (1, 2) and len(ended.said.splitlines()) == 1, ended
    assert data.name in ended.said and len(finished_parts(run)) == 3
    shutil.copy(kept, data)
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, whole)


def test_a_dataset_that_changed_between_attempts_is_refused_and_the_parts_stay(
    server: ForkServer, tmp_path: Path
) -> None:
    profile = make_dataset(tmp_path)
    data, run = Path(profile[1]), tmp_path / "run"
    last = place(server, profile, tmp_path / "counted", "replace part-00002.parquet")
    server.durian(*profile, "--out", run, at=last)
    parts, rows = parts_in(run), pl.read_parquet(data)
    rows.with_columns(answer=pl.col("answer") + pl.lit("0")).write_parquet(data)
    ended = server.durian(*profile, "--out", run)
    assert ended.code == 2 and len(ended.said.splitlines()) == 1
    assert ended.said.startswith(f"durian: {run}: was made with dataset ")
    assert ended.said.strip().endswith("repeat the old value, or pass --fresh")
    assert parts_in(run) == parts
    rows.write_parquet(data)
    assert server.durian(*profile, "--out", run).code == 0
    assert_same_tables(run, tmp_path / "counted")


@pytest.mark.parametrize("table", ["difficulty", "rollouts", "thumbnails", "columns"])
@pytest.mark.parametrize("how", ["gone", "torn"])
def test_a_report_of_a_damaged_run_is_refused_in_a_line(
    server: ForkServer, whole: Path, tmp_path: Path, table: str, how: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    file = run / f"{table}.parquet"
    if how == "gone":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    ended = server.durian("report", run)
    if (table, how) == ("columns", "gone"):  # as an older Durian made it
        assert ended.code == 0
        return
    assert ended.code == 2, ended
    assert len(ended.said.splitlines()) == 1 and f"{table}.parquet" in ended.said


def test_a_part_that_lost_its_completions_is_made_again(
    server: ForkServer, profile: list[str], whole: Path, begun: Path
) -> None:
    (begun / "parts" / "rollouts-00001.parquet").unlink()
    assert server.durian(*profile, "--out", begun).code == 0
    assert_same_tables(begun, whole)


def test_a_damaged_identity_is_refused_in_a_line(
    server: ForkServer, profile: list[str], begun: Path
) -> None:
    parts = parts_in(begun)
    (begun / "parts" / "identity.json").write_text("{")
    ended = server.durian(*profile, "--out", begun)
    assert ended.code == 2 and len(ended.said.splitlines()) == 1
    assert "identity.json: cannot be read" in ended.said and "--fresh" in ended.said
    assert parts_in(begun) == parts
