"""A lease file, where a file system has no flock that works: host, process and time, renewed.

Who holds one writes its time anew every few seconds. A lease is taken over where its holder is
known to be dead: a process of this machine that is gone, or one elsewhere that has not renewed it
for long. Ages are told by the file system's own clock, so that no two machines' clocks need agree.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from uuid import uuid4

from durian.errors import RunError, RunFolderError

RENEWED = 10.0  # seconds between two renewals
STALE = 120.0  # seconds without one after which its holder counts as dead
_LENGTH = 512  # bytes of the record, always: it is written over in place


def host_name() -> str:
    """The name of this machine, as others see it."""
    return socket.gethostname()


class Lease:
    """A lease that this process holds; a context that gives it back."""

    def __init__(
        self, file: Path, handle: int, took_over: str | None, *, renewed: bool = True
    ) -> None:
        """Write the lease into an open file, and begin to renew it if it is for long."""
        self._file, self._handle = file, handle
        self.took_over = took_over  # who had held it and is dead, as a text
        self._id = uuid4().hex[:12]
        self._ended = Event()
        self._write()
        self._renewer = Thread(target=self._renew, daemon=True)
        if renewed:
            self._renewer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._renewer.is_alive():
            self._renewer.join()
        if _read(self._file).get("id") == self._id:
            self._file.unlink(missing_ok=True)
        os.close(self._handle)

    def check(self) -> None:
        """Refuse to go on with a lease that another process may have taken over.

        Raises:
            RunError: it was not renewed in time.
        """
        # Half of the time: what is begun now must be over before the others may begin.
        late = time.monotonic() - self._renewed > STALE / 2
        if late or _read(self._file).get("id") != self._id:
            raise RunError(
                f"{self._file}: the lease was not renewed in time, so that another process may "
                "have taken over; what is finished is kept, and the same command resumes it"
            )

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            with suppress(OSError):  # tried again; `check` tells when it has been too long
                self._write()

    def _write(self) -> None:
        # In place, through the handle: where the file was replaced by another's lease, the write
        # goes to the file that nobody sees any more, and not over the other's.
        record = {
            **_here(),
            "id": self._id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.pwrite(self._handle, json.dumps(record).encode().ljust(_LENGTH), 0)
        os.fsync(self._handle)
        self._renewed = time.monotonic()


def take_lease(lock: Path, folder: Path, way_out: str) -> Lease | str:
    """Take the lease beside a lock file; gives its holder as a text where that is alive.

    Raises:
        RunFolderError: the file cannot be made.
    """
    try:
        return _take(_beside(lock))
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be written ({error.strerror}); {way_out}"
        ) from error


def _take(file: Path, *, renewed: bool = True) -> Lease | str:
    try:
        return Lease(file, _made(file), None, renewed=renewed)
    except FileExistsError:
        held = _read(file)
    if (dead := _dead(file, held)) is None:
        return _text(held)
    # Of several that find it dead one may take it over: who holds a lease that is named after the
    # dead one, and still finds that in its place.
    known = held.get("id", "unread")
    guard = _take(file.with_name(f"{file.name}.{known}"), renewed=False)
    if isinstance(guard, str):
        return guard
    with guard:
        if (now := _read(file)).get("id", "unread") != known:
            return _text(now)
        aside = file.with_name(f"{file.name}.{uuid4().hex}")
        handle = _made(aside)
        os.replace(aside, file)
        return Lease(file, handle, dead, renewed=renewed)


def _made(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def live_holder(lock: Path) -> str | None:
    """Who holds the lease beside a lock file and is not known to be dead, as a text."""
    file = _beside(lock)
    held = _read(file)
    return _text(held) if file.exists() and _dead(file, held) is None else None


def _beside(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.lease")


def _dead(file: Path, held: dict[str, Any]) -> str | None:
    """The holder of a lease as a text, with how it is known to be dead; None where it is not."""
    here = _here()
    same = all(held.get(name) == here[name] for name in ("host", "boot", "processes"))
    if same and here["began"] is not None:
        if _began(int(held["process"])) == held.get("began"):
            return None
        return f"{_text(held)}, which is gone"
    age = _age(file)
    return f"{_text(held)}, last renewed {age:.0f} seconds ago" if age > STALE else None


def _age(file: Path) -> float:
    """Seconds since a file was written, by the file system's clock."""
    # A file that is written now tells that clock.
    now = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        now.touch()
        with open(file) as opened:  # opened: a network file system asks its server then
            return now.stat().st_mtime - os.fstat(opened.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0  # given back meanwhile
    finally:
        now.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    """The record in a lease file; nothing where it is being written, or is not there."""
    try:
        record = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _text(held: dict[str, Any]) -> str:
    if not held:
        return "another process"
    return f"process {held['process']} on {held['host']} (by a lease of {held['time']})"


def _here() -> dict[str, Any]:
    """This process, so that another one of the same machine can tell whether it lives."""
    process = os.getpid()
    return {
        "host": host_name(),
        "boot": _line(Path("/proc/sys/kernel/random/boot_id")),
        "processes": _link(Path("/proc/self/ns/pid")),  # a container has its own
        "process": process,
        "began": _began(process),
    }


def _began(process: int) -> str | None:
    """When a process began, in ticks: another of the same number began later; None: it is gone."""
    stat = _line(Path(f"/proc/{process}/stat"))
    if stat is None:
        return None
    # Behind the command's name in brackets, which may hold anything; the 3rd and 22nd of all.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _line(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _link(file: Path) -> str | None:
    try:
        return os.readlink(file)
    except OSError:
        return None
