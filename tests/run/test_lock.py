"""One process at a time, by real processes: none waits for a holder that is dead or elsewhere."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from durian.errors import RunFolderError
from durian.run.lock import locked
from durian.run.opening import change_run, hold_run

HOLD = (
    "import sys; from pathlib import Path; from durian.run.opening import {call}\n"
    "with {call}(Path(sys.argv[1]){more}): print('held', flush=True); sys.stdin.read()"
)
# As an engine may: a child that is forked while the run is held, and outlives a kill of its parent.
FORK = (
    "import os, sys; from pathlib import Path; from durian.run.opening import hold_run\n"
    "with hold_run(Path(sys.argv[1]), {}):\n"
    "    if os.fork(): print('held', flush=True)\n"
    "    sys.stdin.read()"
)


def start(code: str, run: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def complete(run: Path) -> Path:
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"identity": {}}))
    return run


def test_a_run_that_is_changed_is_refused_to_others_until_its_holder_is_killed(tmp_path):
    run = complete(tmp_path / "run")
    holder = start(HOLD.format(call="change_run", more=""), run)
    with pytest.raises(RunFolderError, match=f"is in use by process {holder.pid} on .*; wait"):
        with change_run(run):
            pass
    # A profile of it only tells what it holds, and leaves the holder's files alone.
    (run / "manifest.json.tmp").touch()
    with hold_run(run, {}) as told:
        assert told.manifest == {"identity": {}}
    assert {path.name for path in run.iterdir()} == {"manifest.json", "manifest.json.tmp", "lock"}
    holder.kill()
    holder.communicate()
    assert (run / "lock").exists()  # as a crash leaves it
    with change_run(run):
        pass
    assert [path.name for path in run.iterdir()] == ["manifest.json"]


def test_a_lock_that_another_host_left_is_taken_over(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "lock").write_text(f"process {os.getpid()} on another-host")
    with hold_run(tmp_path, {}):
        text = (tmp_path / "parts" / "lock").read_text()
        assert text.startswith(f"process {os.getpid()} on ") and "another-host" not in text


def test_a_child_that_outlives_a_killed_holder_does_not_hold_its_lock(tmp_path):
    holder = start(FORK, tmp_path)
    with pytest.raises(RunFolderError, match="is in use"):  # forking has not let go of it
        with hold_run(tmp_path, {}):
            pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert holder.stdout is not None
    with hold_run(tmp_path, {}) as run:
        assert run.finished_parts() == []
    holder.communicate()  # its child ends with its standard input


def test_a_run_that_was_finished_before_the_lock_was_free_is_not_begun_again(tmp_path, monkeypatch):
    # The other process finishes between this one's look for a manifest and its lock.
    def finished_first(lock: object, operation: int) -> None:
        (tmp_path / "manifest.json").write_text(json.dumps({"identity": {"seed": 0}}))
        monkeypatch.undo()
        fcntl.flock(lock, operation)  # type: ignore[arg-type]

    monkeypatch.setattr("durian.run.lock.fcntl.flock", finished_first)
    with hold_run(tmp_path, {"seed": 0}) as run:
        assert run.manifest == {"identity": {"seed": 0}}
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_file_system_without_locks_is_said_to_have_none(tmp_path, monkeypatch):
    def no_locks(lock: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("durian.run.lock.fcntl.flock", no_locks)
    with pytest.raises(RunFolderError) as caught, locked(tmp_path / "lock", tmp_path, way_out="go"):
        pass
    expected = f"{tmp_path}: cannot be locked ({os.strerror(errno.ENOLCK)}); go"
    assert str(caught.value) == expected


def test_an_error_after_the_manifest_keeps_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_run(tmp_path / "run", {}) as run:
        run.finish({"identity": {}})
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]
