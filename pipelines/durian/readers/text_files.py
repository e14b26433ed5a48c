"""JSON lines, JSON arrays and CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from durian.errors import DatasetError
from durian.readers.rows import BadRow, Rows, Wanted

HEAD = 100  # rows that are looked at to learn the columns


class JsonSource:
    """A .jsonl or .json file: one object a line, or one array of objects (held in memory)."""

    def __init__(self, path: Path) -> None:
        self.name, self.folder = str(path), path.parent
        self._path = path

    def columns(self) -> list[str] | None:
        """All keys of the first rows."""
        with closing(self.rows([], Wanted(stop=HEAD))) as rows:
            head = [values for _, values in rows]
        good = [values for values in head if not isinstance(values, BadRow)]
        if head and not good:
            raise DatasetError(f"{self.name}: neither one JSON object a line nor an array of them")
        return list(dict.fromkeys(key for values in good for key in values)) if head else None

    def plain(self, columns: Sequence[str]) -> list[str]:
        """All: an object is parsed whole."""
        return list(columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`. A damaged line is a bad row, and the next line is read."""
        del columns  # an object is parsed whole
        position = 0
        for place, item in self._items():
            if wanted.done(position):
                break
            if wanted.touches(position, position + 1):
                yield position, _object(place, item)
            position += 1
        return position

    def _items(self) -> Iterator[tuple[str, Any]]:
        """Lines not yet parsed, or items of the array, each with its place."""
        try:
            if self._is_array():
                items = json.loads(self._path.read_bytes())
                yield from ((f"item {n}", item) for n, item in enumerate(items, start=1))
                return
            with self._path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", line
        except (OSError, ValueError, RecursionError) as error:
            raise DatasetError(f"{self.name}: cannot be read as JSON: {error}") from error

    def _is_array(self) -> bool:
        if self._path.suffix == ".jsonl":
            return False
        with self._path.open("rb") as file:
            return file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _object(place: str, item: Any) -> Mapping[str, Any] | BadRow:
    line = item if isinstance(item, bytes) else json.dumps(item).encode()
    if isinstance(item, bytes):
        try:
            item = json.loads(item)
        except UnicodeDecodeError:
            return BadRow(f"{place} is not UTF-8", line)
        except (ValueError, RecursionError):
            return BadRow(f"{place} is not JSON", line)
    if not isinstance(item, dict):
        return BadRow(f"{place} is not a JSON object", line)
    return item


class CsvSource:
    """A .csv file with a header line."""

    def __init__(self, path: Path) -> None:
        self.name, self.folder = str(path), path.parent
        self._path = path
        csv.field_size_limit(sys.maxsize)  # its default refuses a long problem

    def columns(self) -> list[str]:
        """The header."""
        return next(self._lines(), [])

    def plain(self, columns: Sequence[str]) -> list[str]:
        """All: a line is read whole."""
        return list(columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`. A field that a line is too short for is null."""
        del columns
        lines = self._lines()
        header = next(lines, [])
        position = 0
        for line in lines:
            if wanted.done(position):
                break
            if wanted.touches(position, position + 1):
                yield position, dict(zip(header, line, strict=False))
            position += 1
        return position

    def _lines(self) -> Iterator[list[str]]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                yield from (line for line in csv.reader(file) if line)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{self.name}: cannot be read as CSV: {error}") from error
