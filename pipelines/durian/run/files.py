"""Files that appear whole or not at all: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from durian.errors import RunFolderError, one_line


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it takes `path`'s place, for good.

    The file and its folder are synced, so that after a power cut `path` holds all or nothing.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:  # a write that finds no room does not say where
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON object, whole or not at all."""
    with written_aside(path) as aside:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        # A lone surrogate in a name has no UTF-8: write its escape.
        aside.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def find_json(path: Path, way_out: str) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no file.

    Args:
        way_out: what to do where it cannot be read.
    Raises:
        RunFolderError: it cannot be read, is no object, or holds what JSON does not have (NaN).
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: cannot be read ({one_line(error)}); {way_out}") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}: cannot be read (it holds no JSON object); {way_out}")
    return value


def read_json(path: Path, way_out: str) -> dict[str, Any]:
    """As `find_json`, of a file that must be there.

    Raises:
        RunFolderError: it is not there, or as `find_json`.
    """
    if (value := find_json(path, way_out)) is None:
        raise RunFolderError(f"{path}: is not there; {way_out}")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
