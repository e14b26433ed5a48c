"""Rows set down on the disk in the order they come, to be taken up in any other.

An order, a split and the types of columns are known only at the end, and rows hold images: what
is kept in memory is 8 bytes a row.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import msgspec


class Spool:
    """A file of records, by number."""

    def __init__(self, path: Path) -> None:
        """Open a new file."""
        self._file = path.open("w+b")
        self._ends = array("q", [0])
        self._encode, self._decode = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()

    def __len__(self) -> int:
        """Count the records."""
        return len(self._ends) - 1

    def add(self, record: Any) -> int:
        """Set a record down behind the others; its number."""
        text = self._encode.encode(record)
        self._file.seek(self._ends[-1])
        self._file.write(text)
        self._ends.append(self._ends[-1] + len(text))
        return len(self) - 1

    def __getitem__(self, number: int) -> Any:
        """Take a record up."""
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        return self._decode.decode(self._file.read(end - start))

    def close(self) -> None:
        """Close the file, and remove it."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)
