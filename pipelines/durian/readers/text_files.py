"""JSON lines, JSON arrays and objects, CSV and TSV; compressed or not."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from durian.errors import DatasetError
from durian.places import Place
from durian.readers.head import HEAD, Head
from durian.readers.images_by_index import ImagesByIndex
from durian.readers.json_shapes import KeyTwice, lists_of, once, rows_of_object
from durian.readers.opened import kind_of, open_bytes
from durian.readers.rows import BadRow, Rows, Wanted, first_rows

LOOKED_AT = 100  # rows that are looked at to learn the columns


class JsonSource:
    """A .jsonl or .json file: one object a line, or rows in one array or object (in memory)."""

    def __init__(self, path: Place, split: str) -> None:
        """Name the file; `split` chooses among lists of rows under several keys."""
        self.name, self.folder = str(path), path.parent
        self.path, self._split = path, split

    def columns(self) -> list[str] | None:
        """All keys of the first rows."""
        head = self.head()
        return list(head.columns) or None

    def head(self) -> Head:
        """See `Source.head`; the columns are all keys of some more rows."""
        good = first_rows(self.rows([], Wanted(stop=LOOKED_AT)))
        if not good and any(True for _ in self._items()):
            raise DatasetError(f"{self.name}: neither one JSON object a line nor an array of them")
        return Head(list(dict.fromkeys(key for row in good for key in row)), good[:HEAD])

    def splits(self) -> list[str]:
        """The keys that rows stand under, of a file that is one object."""
        try:
            content = json.loads(self._text())
        except (OSError, EOFError, ValueError, RecursionError):  # lines; or damage, said later
            return []
        return lists_of(content) if isinstance(content, dict) else []

    def light(self, columns: Sequence[str]) -> list[str]:
        """Give all columns, since an object is parsed whole."""
        return list(columns)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """See `light`."""
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
        """Lines not yet parsed, or items of the array or object, each with its place."""
        try:
            if (items := self._parsed()) is not None:
                yield from ((f"item {n}", item) for n, item in enumerate(items, start=1))
                return
            with open_bytes(self.path) as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", line
        except KeyTwice as error:
            raise DatasetError(
                f"{self.name}: an object has the key {error} twice; remove one"
            ) from error
        except (OSError, EOFError, ValueError, RecursionError) as error:
            raise DatasetError(f"{self.name}: cannot be read as JSON: {error}") from error

    def _parsed(self) -> list[Any] | None:
        """The rows of a file that is one array or object; None for lines."""
        # The ending .json says little: it may be an array, one object of rows, or lines after all.
        # The first character decides, and for `{` whether a second line follows a first one that is
        # whole by itself. Lines are streamed; only the other two are held in memory.
        if kind_of(self.path) == ".jsonl":
            return None
        with open_bytes(self.path) as file:
            first = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
        if first.startswith(b"["):
            return list(json.loads(self._text(), object_pairs_hook=once))
        if not first.startswith(b"{") or self._has_lines():
            return None
        try:
            content = json.loads(self._text(), object_pairs_hook=once)
        except KeyTwice:
            raise
        except ValueError:
            return None  # lines, the first of them damaged
        return rows_of_object(content, self._split, self.name)

    def _has_lines(self) -> bool:
        """Whether the first line is an object by itself, and another line follows it."""
        with open_bytes(self.path) as file:
            lines = (line for line in file if line.strip())
            first = next(lines, b"")
            if next(lines, None) is None:
                return False
        try:
            return isinstance(json.loads(first.removeprefix(b"\xef\xbb\xbf")), dict)
        except (ValueError, RecursionError):
            return False

    def _text(self) -> bytes:
        with open_bytes(self.path) as file:
            return file.read().removeprefix(b"\xef\xbb\xbf")


def _object(place: str, item: Any) -> Mapping[str, Any] | BadRow:
    line = item if isinstance(item, bytes) else json.dumps(item).encode()
    if isinstance(item, bytes):
        try:
            item = json.loads(item, object_pairs_hook=once)
        except UnicodeDecodeError:
            return BadRow(f"{place} is not UTF-8", line)
        except KeyTwice as error:
            return BadRow(f"{place} has the key {error} twice", line)
        except (ValueError, RecursionError):
            return BadRow(f"{place} is not JSON", line)
    if not isinstance(item, dict):
        return BadRow(f"{place} is not a JSON object", line)
    return item


class CsvSource:
    """A .csv or .tsv file with a header line."""

    def __init__(self, path: Place) -> None:
        self.name, self.folder = str(path), path.parent
        self.path = path
        self._delimiter = "\t" if kind_of(path) == ".tsv" else ","
        csv.field_size_limit(sys.maxsize)  # its default refuses a long problem
        # VLMEvalKit writes plain .tsv files alone, and a packed one has no places to go to.
        self._images = ImagesByIndex(path) if path.suffix == ".tsv" else None

    def columns(self) -> list[str]:
        """The names in the file's header line."""
        header = next(self._lines(), [])
        if twice := [name for name, count in Counter(header).items() if count > 1]:
            raise DatasetError(
                f"{self.name}: column '{twice[0]}' stands there twice; rename one of them"
            )
        if len(header) == 1 and header[0].count(";") > 0:
            raise DatasetError(
                f"{self.name}: its columns are separated by ';'; save it with commas, or with tabs "
                "as .tsv"
            )
        return header

    def head(self) -> Head:
        """See `Source.head`."""
        return Head(self.columns(), first_rows(self.rows([], Wanted(stop=HEAD))))

    def light(self, columns: Sequence[str]) -> list[str]:
        """Give all columns, since a line is read whole."""
        return list(columns)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """See `light`."""
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
                row = dict(zip(header, line, strict=False))
                yield position, row if self._images is None else self._images.whole(row)
            position += 1
        return position

    def _lines(self) -> Iterator[list[str]]:
        try:
            with (
                open_bytes(self.path) as file,
                io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
            ):
                lines = csv.reader(text, delimiter=self._delimiter)
                yield from (line for line in lines if line)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            kind = kind_of(self.path)[1:].upper()
            raise DatasetError(f"{self.name}: cannot be read as {kind}: {error}") from error
