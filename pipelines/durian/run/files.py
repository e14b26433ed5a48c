"""Files that appear whole or not at all: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from durian.errors import RunFolderError, one_line
from durian.records import JsonObject, as_json


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it takes `path`'s place, for good.

    The file and its folder are synced, so that after a power cut `path` holds all or nothing.
    """
    aside = path.with_name(path.name + ".tmp")
    # Content to the disk, then the name, then the folder that holds the name. Renamed before it is
    # synced, a file can be there by name and empty after a power cut, and a resumed run would take
    # it for finished.
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


def write_json(path: Path, value: object) -> None:
    """Write one JSON object, a record or a mapping, whole or not at all."""
    with written_aside(path) as aside:
        text = json.dumps(as_json(value), indent=2, ensure_ascii=False, allow_nan=False)
        # A lone surrogate in a name has no UTF-8: write its escape.
        aside.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def find_json(path: Path, way_out: str) -> JsonObject | None:
    """The JSON object in a file, or None where there is no file.

    Args:
        way_out: what to do where it cannot be read.
    Raises:
        RunFolderError: it cannot be read, is no object, or holds what JSON does not have (NaN).
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: cannot be read ({one_line(error)}); {way_out}") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path}: cannot be read (it holds no JSON object); {way_out}")
    return value


def read_json(path: Path, way_out: str) -> JsonObject:
    """Read a JSON object as `find_json` does, from a file that must be there.

    Raises:
        RunFolderError: it is not there, or as `find_json`.
    """
    if (value := find_json(path, way_out)) is None:
        raise RunFolderError(f"{path}: is not there; {way_out}")
    return value


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, whose numbers are finite.

    Raises:
        ValueError: it is no JSON, or holds NaN or a number that is none in binary (1e999).
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number
