"""The first rows of a dataset: what its columns hold, before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from durian.readers.cells import reach
from durian.readers.messages import messages_of

HEAD = 16  # rows that are kept whole, images and all


@dataclass(frozen=True)
class Head:
    """Names of the columns, and the first rows that could be read."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    typed: Sequence[str] = ()  # columns that are of images by their type, whatever the rows hold

    def has(self, path: str) -> bool:
        """Whether there is such a column, or a field `a.b` of a struct that is not null."""
        return path in self.columns or bool(self.values(path))

    def present(self, *paths: str) -> tuple[str, ...]:
        """The columns that the first rows have."""
        return tuple(path for path in paths if self.has(path))

    def values(self, path: str) -> list[Any]:
        """The values of a column in the first rows, nulls left out."""
        return [cell for row in self.rows if (cell := reach(row, path)) is not None]

    def holds_messages(self, path: str) -> bool:
        """Whether its cells are lists of messages; one that is not is an error of its row."""
        return any(messages_of(cell) is not None for cell in self.values(path))

    def holds_text(self, path: str) -> bool:
        """Whether all its cells are texts."""
        cells = self.values(path)
        return bool(cells) and all(isinstance(cell, str) for cell in cells)
