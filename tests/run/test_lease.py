"""A lease in place of a flock: refused while its holder may live, taken over once it cannot."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from durian.errors import RunError, RunFolderError
from durian.run.lease import STALE
from durian.run.lock import InUse, holder_of, locked

HOLD = (
    "import fcntl, sys; fcntl.flock = lambda *_: None\n"
    "from pathlib import Path; from durian.run.lock import locked\n"
    "with locked(Path(sys.argv[1]) / 'lock', Path(sys.argv[1]), way_out='', leases=True):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True, params=["refused", "pretended"])
def no_flock(request, monkeypatch):
    """A file system whose flock is an error, or keeps nobody out."""

    def flock(lock: object, operation: int) -> None:
        if request.param == "refused":
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


def lease(folder: Path):
    return locked(folder / "lock", folder, way_out="", leases=True)


def elsewhere(folder: Path, *, seconds: float) -> Path:
    """The lease of a process of another machine, renewed so long ago."""
    file = folder / "lock.lease"
    with lease(folder):
        record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "host": "node7", "process": 12, "time": "T"}))
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))
    return file


def test_a_lease_names_host_process_and_time_and_is_given_back(tmp_path):
    with lease(tmp_path) as held:
        assert held.lease is not None and held.lease.took_over is None
        record = json.loads((tmp_path / "lock.lease").read_text())
        assert record["process"] == os.getpid() and record["host"] == os.uname().nodename
        assert record["time"].endswith("+00:00")
        held.check()
        with pytest.raises(InUse, match=rf"in use by process {os.getpid()} on .* \(by a lease of "):
            with lease(tmp_path):
                pass
        assert str(holder_of(tmp_path / "lock")).startswith(f"process {os.getpid()} on ")
    assert not (tmp_path / "lock.lease").exists() and holder_of(tmp_path / "lock") is None


def test_a_killed_process_of_this_machine_is_taken_over_from_at_once(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError, match=f"in use by process {holder.pid}"), lease(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with lease(tmp_path) as held:
        assert held.lease is not None and held.lease.took_over is not None
        assert held.lease.took_over.startswith(f"process {holder.pid} on ")
        assert held.lease.took_over.endswith(", which is gone")


def test_a_lease_of_another_machine_is_taken_over_only_when_it_is_stale(tmp_path):
    elsewhere(tmp_path, seconds=STALE - 10)
    with pytest.raises(InUse, match=r"is in use by process 12 on node7 \(by a lease of T\)"):
        with lease(tmp_path):
            pass
    file = tmp_path / "lock.lease"
    then = file.stat().st_mtime - 20  # 130 seconds in all
    os.utime(file, (then, then))
    with lease(tmp_path) as held:
        assert held.lease is not None
        told = "process 12 on node7 (by a lease of T), last renewed 130 seconds ago"
        assert held.lease.took_over == told


def test_of_two_that_find_a_lease_stale_one_has_it(tmp_path):
    file = elsewhere(tmp_path, seconds=2 * STALE)
    stale = json.loads(file.read_text())
    # The other one, of node 8, is at it: it holds the lease that is named after the stale one.
    guard = tmp_path / f"lock.lease.{stale['id']}"
    guard.write_text(json.dumps({**stale, "host": "node8", "id": "other"}))
    with pytest.raises(InUse, match="is in use by process 12 on node8"), lease(tmp_path):
        pass
    assert json.loads(file.read_text()) == stale
    # It died of it: that is taken over in its turn, and nothing of all this stays.
    then = guard.stat().st_mtime - 2 * STALE
    os.utime(guard, (then, then))
    with lease(tmp_path) as held:
        assert held.lease is not None and "process 12 on node7" in str(held.lease.took_over)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_holder_that_woke_too_late_goes_no_further(tmp_path):
    with lease(tmp_path) as held:
        record = json.loads((tmp_path / "lock.lease").read_text())
        (tmp_path / "lock.lease").unlink()
        (tmp_path / "lock.lease").write_text(json.dumps({**record, "id": "another's"}))
        with pytest.raises(RunError, match="another process may have taken over"):
            held.check()
    assert (tmp_path / "lock.lease").exists()  # which is not this one's to remove
