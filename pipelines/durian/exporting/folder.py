"""A folder that appears whole or not at all: written beside its place, renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from durian.errors import RunFolderError
from durian.run.files import sync_folder
from durian.run.lock import locked

EXPORT_FILE = "export.json"  # what tells the folder of an export from any other
_LOCK = "lock"


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but an export, which is replaced whole.

    Raises:
        RunFolderError: it does, or is no folder.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise RunFolderError(f"{out}: is no folder; choose another --out")
    if any(out.iterdir()) and not (out / EXPORT_FILE).exists():
        raise RunFolderError(f"{out}: holds other files and no export; choose another --out")


@contextmanager
def folder_aside(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` to write to; on success it takes `out`'s place.

    What a kill left of an earlier attempt is removed.

    Raises:
        RunFolderError: another process writes the same export, or it cannot be written.
    """
    out = Path(os.path.abspath(out))  # "." has no name to put another beside
    made = [folder for folder in out.parents if not folder.exists()]
    aside = out.with_name(f".{out.name}.unfinished")
    before = out.with_name(f".{out.name}.replaced")
    try:
        aside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{out}: cannot be written ({error.strerror}); choose another --out"
        ) from error
    with locked(aside / _LOCK, out, way_out="choose another --out"):
        try:
            for left in aside.iterdir():
                if left.name != _LOCK:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            if before.exists() and not out.exists():
                os.rename(before, out)  # a kill came between the two renames below
            shutil.rmtree(before, ignore_errors=True)
            yield aside
            (aside / _LOCK).unlink()
            _sync(aside)
            if out.exists():
                os.rename(out, before)
            os.rename(aside, out)
            sync_folder(out.parent)
            shutil.rmtree(before, ignore_errors=True)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            for folder in made:  # the innermost first
                with suppress(OSError):
                    folder.rmdir()
            raise


def _sync(folder: Path) -> None:
    """Make all files of a folder last."""
    for path in folder.rglob("*"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sync_folder(folder)
