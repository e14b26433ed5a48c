"""Files that appear whole or not at all: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import RunFolderError


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


def read_json(file: Path, way_out: str) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no file.

    Raises:
        RunFolderError: it is there and cannot be read.
    """
    try:
        value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file}: cannot be read ({error}); {way_out}") from error
    return value
