"""One process at a time in a folder: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from weakref import WeakSet

from durian.errors import RunFolderError
from durian.run.lease import Lease, host_name, live_holder, take_lease

_held: WeakSet[IO[str]] = WeakSet()


class InUse(RunFolderError):
    """Another process holds the lock, or has just finished and cleared it away."""


@dataclass(frozen=True)
class Held:
    """A lock that this process holds."""

    lease: Lease | None = None  # in place of a flock, where the file system has none that works

    def check(self) -> None:
        """Refuse to go on where others may have taken over; the kernel lets nobody.

        Raises:
            RunError: the lease was not renewed in time.
        """
        if self.lease is not None:
            self.lease.check()


@contextmanager
def locked(
    file: Path,
    folder: Path,
    *,
    way_out: str,
    what: str | None = None,
    leases: bool = False,
) -> Iterator[Held]:
    """Hold the lock file of a folder, made if it is not there.

    A file that a crash or another machine left behind holds nothing: it is taken over.

    Args:
        way_out: what to do where the file cannot be made or locked.
        what: what is held, as a refusal names it; None for the folder.
        leases: hold a lease file beside it where the file system has no flock that works.
    Raises:
        RunFolderError: it cannot.
        InUse: another process holds it, or has just finished.
    """
    with _taken(file, folder, what or str(folder), way_out, leases=leases) as taken:
        yield Held(taken if isinstance(taken, Lease) else None)


def holder_of(file: Path) -> str | None:
    """Who holds a lock file, as a text; None where nobody does, or there is no such file."""
    if (held := live_holder(file)) is not None:
        return held
    try:
        with open(file, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(file)
    except OSError:
        pass
    return None


def _taken(file: Path, folder: Path, what: str, way_out: str, *, leases: bool) -> IO[str] | Lease:
    try:
        lock = open(file, "a+")
    except FileNotFoundError:
        raise _just_finished(what) from None
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be written ({error.strerror}); {way_out}"
        ) from error
    try:
        if _locked(lock, folder, what, way_out, leases=leases):
            _held.add(lock)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {host_name()}")
            lock.flush()
            return lock
    except BaseException:
        lock.close()
        raise
    lock.close()
    lease = take_lease(file, folder, way_out)
    if isinstance(lease, str):
        raise InUse(f"{what}: is in use by {lease}; wait for it, or stop it")
    return lease


def _locked(lock: IO[str], folder: Path, what: str, way_out: str, *, leases: bool) -> bool:
    """Take the flock; False where the file system has none that works, and a lease will do."""
    # flock, not a file that means "locked": the kernel lets go when its holder dies, however.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(
            f"{what}: is in use by {_holder(Path(lock.name))}; wait for it, or stop it"
        ) from None
    except OSError as error:  # some network file systems have no locks
        if leases:
            return False
        raise RunFolderError(f"{folder}: cannot be locked ({error.strerror}); {way_out}") from error
    try:
        mine = os.fstat(lock.fileno()).st_ino == os.stat(lock.name).st_ino
    except FileNotFoundError:
        mine = False
    if not mine:  # its holder finished, and cleared it away, while this process opened it
        raise _just_finished(what)
    return not leases or _excludes(lock)


def _excludes(lock: IO[str]) -> bool:
    """Whether the flock that is held keeps another opener out; some file systems only say so."""
    with open(lock.name) as again:
        try:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _just_finished(what: str) -> InUse:
    return InUse(f"{what}: another process has just finished with it; try again")


def _holder(file: Path) -> str:
    return file.read_text().strip() or "another process"


def _let_go() -> None:
    # An engine's forked process shares its parent's locks, and would hold them on when the parent
    # is killed. Not closed, which the file would do again later; the parent's lock stays.
    for lock in list(_held):
        if not lock.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, lock.fileno(), inheritable=False)
            os.close(nothing)


os.register_at_fork(after_in_child=_let_go)
