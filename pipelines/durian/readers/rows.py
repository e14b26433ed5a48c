"""The promise of every kind of data file: rows by position, the wanted ones only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from durian.places import Place
from durian.readers.head import Head


@dataclass(frozen=True)
class Wanted:
    """The row positions to give; the others are skipped as cheaply as the file allows."""

    start: int = 0
    stop: int | None = None  # one past the last
    rows: Sequence[int] | None = None  # rising; None: all from start to stop
    offset: int = 0  # of the positions asked about

    def shifted(self, offset: int) -> Wanted:
        """The same rows, as seen by a file whose first row stands at `offset`."""
        return replace(self, offset=offset)

    def touches(self, first: int, end: int) -> bool:
        """Whether any of the positions `first` to `end - 1` is wanted."""
        # A file counts its rows from 0, the wish is in rows of the whole dataset: `offset` is where
        # the file begins. A reader asks about a whole row group before it reads it, so that a
        # resumed run skips what it has done without decoding it.
        first, end = max(first + self.offset, self.start), end + self.offset
        if self.stop is not None:
            end = min(end, self.stop)
        if self.rows is None:
            return first < end
        place = bisect_left(self.rows, first)
        return place < len(self.rows) and self.rows[place] < end

    def covers(self, first: int, end: int) -> bool:
        """Whether no position of `first` to `end - 1` stands before `start` or after `stop`."""
        first, end = first + self.offset, end + self.offset
        return self.start <= first and (self.stop is None or end <= self.stop)

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
    path: Place
    folder: Place  # image paths are relative to it, unless the user names another

    def columns(self) -> list[str] | None:
        """Names of the columns, by the head of the file; None where it has no rows to tell."""

    def head(self) -> Head:
        """The first rows of the file, whole, images and all."""

    def light(self, columns: Sequence[str]) -> list[str]:
        """The columns that can be read at no cost, since they hold no images, in order."""

    def plain(self, columns: Sequence[str]) -> list[str]:
        """The columns that may hold single numbers or texts, in order."""

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """Give the wanted rows in order, with at least those of `columns` that they have.

        Returns:
            The number of rows in the file, or a position past which nothing is wanted.
        Raises:
            DatasetError: the file is damaged.
        """


def first_rows(rows: Rows) -> list[Mapping[str, Any]]:
    """The rows that can be read; what gives them is closed."""
    with closing(rows):
        return [values for _, values in rows if not isinstance(values, BadRow)]
