"""What every kind of data file gives: rows by position, the wanted ones only; and row to Sample."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from durian.readers.image_files import ImageFiles, without_surrogates
from durian.samples import Sample, sample_id

LONGEST_LABEL = 100  # characters; a longer text names no kind of sample


@dataclass(frozen=True)
class Wanted:
    """Which row positions to give; the others are skipped as cheaply as the file allows."""

    start: int = 0
    stop: int | None = None  # one past the last
    rows: Sequence[int] | None = None  # rising; None: all from start to stop
    offset: int = 0  # of the positions asked about

    def shifted(self, offset: int) -> Wanted:
        """The same rows, as seen by a file whose first row stands at `offset`."""
        return replace(self, offset=offset)

    def touches(self, first: int, end: int) -> bool:
        """Whether any of the positions `first` to `end - 1` is wanted."""
        first, end = max(first + self.offset, self.start), end + self.offset
        if self.stop is not None:
            end = min(end, self.stop)
        if self.rows is None:
            return first < end
        place = bisect_left(self.rows, first)
        return place < len(self.rows) and self.rows[place] < end

    def done(self, position: int) -> bool:
        """Whether nothing is wanted from `position` on."""
        position += self.offset
        if self.stop is not None and position >= self.stop:
            return True
        return self.rows is not None and (not self.rows or position > self.rows[-1])


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read at all."""

    error: str
    content: bytes  # what stands there, so that different bad rows have different ids


Rows = Generator[tuple[int, Mapping[str, Any] | BadRow], None, int]


class Source(Protocol):
    """One data file. Its rows have positions from 0."""

    name: str  # for messages
    folder: Path  # image paths are relative to it, unless the user names another

    def columns(self) -> list[str] | None:
        """Names of the columns, by the head of the file; None where it has no rows to tell."""

    def plain(self, columns: Sequence[str]) -> list[str]:
        """Those of its columns that may hold single numbers or texts, in order."""

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """Give the wanted rows in order, with at least those of `columns` that they have.

        Returns:
            The number of rows in the file, or a position past which nothing is wanted.
        Raises:
            DatasetError: the file is damaged.
        """


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what."""

    problem: str
    answer: str
    images: tuple[str, ...]  # the first one that a row has
    id: str | None
    further: tuple[str, ...] = ()  # plain columns that a report can hold against error

    @property
    def needed(self) -> list[str]:
        """Those that a sample is made of, each once."""
        names = [self.problem, self.answer, *self.images, *([self.id] if self.id else [])]
        return list(dict.fromkeys(names))

    @property
    def names(self) -> list[str]:
        """All that are read, each once."""
        return [*self.needed, *self.further]


@dataclass(frozen=True)
class _Field:
    value: Any
    key: Any  # what stands for the value in the sample id
    error: str | None = None


def to_sample(
    row: int, values: Mapping[str, Any] | BadRow, columns: Columns, files: ImageFiles
) -> Sample:
    """Make a sample of one row: read its image files, say what is wrong with it.

    A field that cannot be read goes into the sample id as what stands there (a missing image as
    its path), so that samples which differ are never taken for one.
    """
    if isinstance(values, BadRow):
        key = sample_id("", "", [values.content])
        return Sample(sample_id=key, row=row, problem="", answer="", error=values.error)
    problem = _text(values.get(columns.problem), "problem")
    answer = _text(values.get(columns.answer), "answer")
    images = [_image(image, files) for image in _listed(values, columns.images)]
    key = sample_id(problem.key, answer.key, [image.key for image in images])
    own_id = None if columns.id is None else _text(values.get(columns.id), "id")
    if own_id is not None and own_id.error is None:
        key = own_id.value
    fields = [problem, answer, *images, *([own_id] if own_id else [])]
    return Sample(
        sample_id=key,
        row=row,
        problem=problem.value,
        answer=answer.value,
        images=tuple(image.value for image in images),
        error="; ".join(field.error for field in fields if field.error) or None,
        columns={
            name: plain
            for name in columns.further
            if (plain := _plain(values.get(name))) is not None
        },
    )


def _plain(value: object) -> float | str | None:
    """A number (a flag is 0 or 1), a short text, or None for all else."""
    if isinstance(value, (bool, int, float, Decimal)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if isinstance(value, str) and 0 < len(value) <= LONGEST_LABEL:  # CSV has no null but ""
        return without_surrogates(value)
    return None


def _text(value: object, name: str) -> _Field:
    if value is None:
        return _Field("", "\0null", f"{name} is null")  # "\0": unlike any text, "" or "null"
    if isinstance(value, (bool, int, float, Decimal)):
        value = str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        return _Field("", f"\0{value!r}", f"{name} is of type {kind}, not text")
    clean = without_surrogates(value)
    return _Field(clean, value, None if clean == value else f"{name} is not valid Unicode")


def _listed(values: Mapping[str, Any], columns: Sequence[str]) -> list[object]:
    present = (values[name] for name in columns if values.get(name) is not None)
    images = next(present, None)
    if images is None or images == "":  # CSV has no other null
        return []
    if isinstance(images, dict) and images.get("bytes") is None and images.get("path") is None:
        return []
    return images if isinstance(images, list) else [images]


def _image(value: object, files: ImageFiles) -> _Field:
    """One image as its column holds it: bytes, a path, or both (the HF `Image` feature)."""
    if isinstance(value, dict):
        embedded = value.get("bytes")
        value = value.get("path") if embedded is None else embedded
    if isinstance(value, bytes):
        return _Field(value, value)
    if isinstance(value, str):
        return _image_file(value, files)
    kind = "null" if value is None else f"of type {type(value).__name__}, not bytes or a path"
    return _Field(b"", repr(value).encode(), f"image is {kind}")


def _image_file(path: str, files: ImageFiles) -> _Field:
    data = files.read(path)
    if isinstance(data, str):
        return _Field(b"", path.encode("utf-8", "surrogatepass"), data)
    return _Field(data, data)
