"""One process at a time in a folder: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from weakref import WeakSet

from durian.errors import RunFolderError

_held: WeakSet[IO[str]] = WeakSet()


@contextmanager
def locked(file: Path, folder: Path, *, way_out: str) -> Iterator[None]:
    """Hold the lock file of a folder, made if it is not there.

    A file that a crash or another machine left behind holds nothing: it is taken over.

    Args:
        way_out: what to do where the file cannot be made or locked.
    Raises:
        RunFolderError: it cannot, another process holds it, or one has just finished.
    """
    try:
        lock = open(file, "a+")
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be written ({error.strerror}); {way_out}"
        ) from error
    with lock:
        _take(lock, folder, way_out)
        yield


def _take(lock: IO[str], folder: Path, way_out: str) -> None:
    # flock, not a file that means "locked": the kernel lets go when its holder dies, however.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        raise RunFolderError(f"{folder}: is in use by {holder}; wait for it, or stop it") from None
    except OSError as error:  # some network file systems have no locks
        raise RunFolderError(f"{folder}: cannot be locked ({error.strerror}); {way_out}") from error
    try:
        mine = os.fstat(lock.fileno()).st_ino == os.stat(lock.name).st_ino
    except FileNotFoundError:
        mine = False
    if not mine:  # its holder finished, and cleared it away, while this process opened it
        raise RunFolderError(f"{folder}: another process has just finished with it; try again")
    _held.add(lock)
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()


def _let_go() -> None:
    # An engine's forked process shares its parent's locks, and would hold them on when the parent
    # is killed. Not closed, which the file would do again later; the parent's lock stays.
    for lock in list(_held):
        if not lock.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, lock.fileno(), inheritable=False)
            os.close(nothing)


os.register_at_fork(after_in_child=_let_go)
