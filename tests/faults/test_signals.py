"""Ctrl-C and SIGTERM at any moment: an end with a line and a code, and nothing half-done."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.faults.faulty import ForkServer, assert_same_tables, files, points_of, some

RESUMES = "a profile or training that has begun resumes by the same command"
STOPPED = {
    signal.SIGINT: (130, f"durian: interrupted; {RESUMES}"),
    signal.SIGTERM: (143, f"durian: terminated; {RESUMES}"),
}


@pytest.mark.parametrize("number", STOPPED, ids=lambda number: number.name)
def test_a_signal_at_any_write_ends_the_profile_with_its_code_and_a_line(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    server.durian(*profile, "--out", tmp_path / "counted")
    points = [point for point in points_of(server.operations()) if point[1] == "before"]
    for at, when in [*points[2:5], *some(points, 6)]:  # and while the run begins
        run = tmp_path / f"{at}"
        shutil.rmtree(run, ignore_errors=True)
        stopped = server.durian(*profile, "--out", run, at=at, when=when, signal=number)
        assert (stopped.code, stopped.said.strip()) == STOPPED[number], (at, stopped)
        assert not [name for name in files(run) if name.endswith(".tmp")], at
        # Before the first part is finished there is nothing to keep, and then nothing is kept.
        assert (run / "manifest.json").exists() or list(run.glob("parts/part-*")) or not files(run)
        assert server.durian(*profile, "--out", run).code == 0
        assert_same_tables(run, whole)


def test_ctrl_c_at_the_very_end_keeps_the_finished_run(
    server: ForkServer, profile: list[str], whole: Path, tmp_path: Path
) -> None:
    # The parts are gone and the manifest is there: an interrupt that finds no parts must not take
    # the run for one that had not begun.
    server.durian(*profile, "--out", tmp_path / "counted")
    names = server.operations()
    cleared = names.index("rmdir parts")
    for at in range(cleared - 1, len(names)):
        run = tmp_path / f"{at}"
        stopped = server.durian(*profile, "--out", run, at=at, signal=signal.SIGINT)
        assert stopped.code == 130
        for table in whole.glob("*.parquet"):
            assert (run / table.name).read_bytes() == table.read_bytes()
        assert server.durian(*profile, "--out", run).code == 0
        assert_same_tables(run, whole)
