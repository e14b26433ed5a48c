"""Hold a run folder: begin it, resume it, or change it when complete; one process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from durian.config import ProfileConfig
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
from durian.run.lock import locked


@contextmanager
def hold_run(
    path: Path,
    identity: JsonObject,
    *,
    fresh: bool = False,
    config: type[Config] = ProfileConfig,
) -> Iterator[RunFolder]:
    """Hold a run folder: made if it is not there, resumed if it is of the same run.

    Args:
        identity: all that a run's numbers depend on, JSON values by key.
        fresh: throw unfinished parts away.
        config: what the run's options are declared in.
    Raises:
        RunFolderError: in use by another process, not a run folder, or a run of another identity.
    """
    check_usable(path)
    existed = path.exists()
    run = RunFolder(path)
    # A complete run is only read, so it is given without the lock, to several commands at a time.
    if not _is_complete(run, identity, config):
        way_out = "choose another --out"
        try:
            run.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({error.strerror}); {way_out}"
            ) from error
        with locked(run.parts / LOCK_FILE, path, way_out=way_out):
            # Asked again: another process may have finished it before the lock was free.
            if not _is_complete(run, identity, config):
                begun = not fresh and _is_begun(run, identity, config)
                try:
                    if not begun:
                        _clear(run)
                        write_json(run.identity, identity)
                    run.sweep()
                    yield run
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


def _is_complete(run: RunFolder, identity: JsonObject, config: type[Config]) -> bool:
    if (manifest := run.manifest) is None:
        return False
    way_out = "choose another --out"
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


def _clear(run: RunFolder) -> None:
    """Remove unfinished work, of whatever identity."""
    # The identity first, and for good: parts without one are taken for no one's, so that none
    # outlives a --fresh that is cut short.
    run.identity.unlink(missing_ok=True)
    sync_folder(run.parts)
    for old in run.parts.iterdir():
        if old.name != LOCK_FILE:
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
    with locked(path / LOCK_FILE, path, way_out="give a copy of it that can"):
        try:
            run.clear_parts()
            run.sweep()
            yield run
        finally:
            (path / LOCK_FILE).unlink(missing_ok=True)  # while it is held: see `locked`
