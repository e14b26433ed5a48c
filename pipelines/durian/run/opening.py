"""Hold a run folder: begin it, resume it, or change it when complete; one process at a time.

Of a run in shards each process holds its own shard. The run itself is then held for moments only:
to begin a shard, and by the one process that completes the run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from durian.config import ProfileConfig, Shard
from durian.config.options import Config
from durian.errors import RunFolderError
from durian.records import JsonObject
from durian.run.files import find_json, sync_folder, write_json
from durian.run.folder import (
    LOCK_FILE,
    REPORT_FOLDER,
    RunFolder,
    check_same,
    check_usable,
)
from durian.run.lock import Held, InUse, locked

_WAY_OUT = "choose another --out"
SHARDS = "shards"  # of an unfinished run's identity: into how many it is cut
MOMENT = 10.0  # seconds to wait for another shard that begins, or ends
_EVERY = 0.05  # seconds between two looks while waiting


@contextmanager
def hold_run(
    path: Path,
    identity: JsonObject,
    *,
    fresh: bool = False,
    config: type[Config] = ProfileConfig,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[RunFolder]:
    """Hold a run folder: made if it is not there, resumed if it is of the same run.

    Args:
        identity: all that a run's numbers depend on, JSON values by key.
        fresh: throw unfinished parts away.
        config: what the run's options are declared in.
        say: told of a lock that is taken over from another process.
    Raises:
        RunFolderError: in use by another process, not a run folder, or a run of another identity.
    """
    check_usable(path)
    existed = path.exists()
    run = RunFolder(path)
    # A complete run is only read, so it is given without the lock, to several commands at a time.
    if not _is_complete(run, identity, config):
        with _begun(run) as held:
            _tell(held, say)
            # Asked again: another process may have finished it before the lock was free.
            if not _is_complete(run, identity, config):
                begun = not fresh and _is_begun(run, identity, config)
                _check_no_shards(run)
                try:
                    if not begun:
                        _clear(run)
                        write_json(run.identity, identity)
                    run.sweep()
                    yield replace(run, held=held)
                except BaseException:
                    # Wrong input that shows only now (a model that cannot be loaded) leaves
                    # nothing. A complete run has no parts either, and stays.
                    if run.manifest is None and not run.finished_parts():
                        shutil.rmtree(run.parts if existed else path, ignore_errors=True)
                    raise
                return
    if run.strays():
        try:
            with change_run(path):
                pass
        except RunFolderError:
            pass  # in use, so that they may be no strays, or not to be written
    yield run


@contextmanager
def hold_shard(
    path: Path,
    identity: JsonObject,
    shard: Shard,
    settings: JsonObject,
    *,
    fresh: bool = False,
    parts: int,
    say: Callable[[str], None],
) -> Iterator[RunFolder]:
    """Hold one shard of a run, whose others may be other processes'; begun or resumed.

    Args:
        identity: of the whole run, as `hold_run` takes it.
        settings: with which any process can complete the run.
        fresh: throw away what is unfinished of the shard; of another identity, all.
        parts: of the whole run.
        say: as `hold_run` takes it.
    Raises:
        RunFolderError: the shard is in use, the run is cut into another number of shards, or as
            `hold_run`.
    """
    check_usable(path)
    existed = path.exists()
    run = RunFolder(path)
    of_shards = {**identity, SHARDS: shard.count}
    with ExitStack() as stack:
        if not _is_complete(run, identity, ProfileConfig):
            with _begun(run, patience=MOMENT) as whole:
                _tell(whole, say)
                if not _is_complete(run, identity, ProfileConfig):
                    # What is begun is told before who works on it: so another N is told by name.
                    try:
                        begun = _is_begun(run, of_shards, ProfileConfig)
                    except RunFolderError:
                        if not fresh:
                            raise
                        begun = False
                    lock, what = run.shard_lock(shard.number), f"{path}: shard {shard}"
                    held = stack.enter_context(
                        locked(lock, path, what=what, way_out=_WAY_OUT, leases=True)
                    )
                    _tell(held, say)
                    if not begun:
                        _check_no_shards(run, but=shard.number)
                        _clear(run, but=shard.number)
                        write_json(run.settings, settings)
                        write_json(run.identity, of_shards)
                    elif fresh:
                        run.clear_parts_of(shard.parts(parts))
                    run = replace(run, held=held)
                else:
                    run.clear_parts()
        try:
            yield run
        except BaseException:
            with suppress(RunFolderError, OSError):
                _leave(run, shard, existed=existed)
            raise


@contextmanager
def complete_shards(run: RunFolder, say: Callable[[str], None]) -> Iterator[RunFolder]:
    """Hold a run in shards as a whole, to complete it; it may be complete by now.

    Raises:
        InUse: another process has held it for so long that it must be completing it.
    """
    if run.manifest is not None:
        yield run
        return
    with _begun(run, patience=MOMENT) as held:
        _tell(held, say)
        if run.manifest is None:
            run.sweep()
            yield replace(run, held=held)
        else:
            run.clear_parts()  # made anew by this wait
            yield run


def _leave(run: RunFolder, shard: Shard, *, existed: bool) -> None:
    """Remove a run that nobody has got anywhere with: wrong input leaves nothing."""
    with _begun(run, patience=MOMENT):
        alone = not set(run.shards_at_work()) - {shard.number}
        if run.manifest is None and not run.finished_parts() and alone:
            shutil.rmtree(run.parts if existed else run.path, ignore_errors=True)


@contextmanager
def _begun(run: RunFolder, *, patience: float = 0.0) -> Iterator[Held]:
    """Hold a run that is not complete; its folder is made if it is not there."""
    end = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                run.parts.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunFolderError(
                    f"{run.path}: cannot be written ({error.strerror}); {_WAY_OUT}"
                ) from error
            lock = locked(run.parts / LOCK_FILE, run.path, way_out=_WAY_OUT, leases=True)
            try:
                held = stack.enter_context(lock)
                break
            except InUse:
                if time.monotonic() >= end:
                    raise
                time.sleep(_EVERY)
        yield held


def _tell(held: Held, say: Callable[[str], None]) -> None:
    if held.lease is not None and held.lease.took_over is not None:
        say(f"taken over from {held.lease.took_over}")


def _check_no_shards(run: RunFolder, but: int | None = None) -> None:
    for number, holder in run.shards_at_work().items():
        if number != but:
            raise InUse(
                f"{run.path}: shard {number} is in use by {holder}; wait for it, or stop it"
            )


def _is_complete(run: RunFolder, identity: JsonObject, config: type[Config]) -> bool:
    if (manifest := run.manifest) is None:
        return False
    way_out = _WAY_OUT
    if config is ProfileConfig:
        way_out += " (durian group changes a finished run's groups)"
    check_same(run.path, manifest["identity"], identity, way_out, config=config)
    return True


def _is_begun(run: RunFolder, identity: JsonObject, config: type[Config]) -> bool:
    """Whether there is unfinished work, of the same identity."""
    if (known := find_json(run.identity, "pass --fresh")) is None:
        return False
    way_out = "repeat the old value, or pass --fresh"
    check_same(run.path, known, identity, way_out, config=config)
    return True


def _clear(run: RunFolder, but: int | None = None) -> None:
    """Remove unfinished work, of whatever identity; all but the lock of one shard."""
    # The identity first, and for good: parts without one are taken for no one's, so that none
    # outlives a --fresh that is cut short.
    run.identity.unlink(missing_ok=True)
    sync_folder(run.parts)
    kept = [LOCK_FILE] if but is None else [LOCK_FILE, run.shard_lock(but).name]
    for old in run.parts.iterdir():
        if not old.name.startswith(tuple(kept)):  # a lease stands beside its lock
            old.unlink()
    for old in run.path.glob("*.parquet"):
        old.unlink()
    shutil.rmtree(run.path / REPORT_FOLDER, ignore_errors=True)


@contextmanager
def change_run(path: Path) -> Iterator[RunFolder]:
    """Hold the folder of a complete run, to change what is in it; what a kill left is cleared.

    Raises:
        RunFolderError: not complete, not a run folder, not writable, or in use.
    """
    run = RunFolder(path)
    run.complete_manifest()
    with locked(path / LOCK_FILE, path, way_out="give a copy of it that can", leases=True) as held:
        try:
            run.clear_parts()
            run.sweep()
            yield replace(run, held=held)
        finally:
            # While it is held: see `locked`. Its own lease a process gives back by itself.
            for left in path.glob(f"{LOCK_FILE}*"):
                if left.suffix != ".lease":
                    left.unlink(missing_ok=True)
