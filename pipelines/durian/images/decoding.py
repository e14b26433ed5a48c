"""What is being decoded at this moment: for who watches the time, and for the next attempt.

A decoder that crashes takes the process with it, and nobody is left to say whose fault it was. So
each thread notes the row of its sample in a file that is mapped into memory: a store of 8 bytes,
which the kernel keeps whatever becomes of the process.
"""

from __future__ import annotations

import time
from array import array
from mmap import mmap
from pathlib import Path

from durian.run.files import written_aside

_SLOTS = 1024  # more than threads


class Slot:
    """One thread's place; a context, entered for as long as a decoder works."""

    def __init__(self, notes: memoryview | None = None, place: int = 0) -> None:
        """Args: `notes`, `place`: where to note the row; nowhere by default."""
        self.row = 0  # of the sample in hand
        self.where = ""  # which of its images, for a message
        self.since: float | None = None  # by time.monotonic; None: no decoder works
        self._notes, self._place = notes, place

    def __enter__(self) -> None:
        if self._notes is not None:
            self._notes[self._place] = self.row + 1
        self.since = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self.since = None
        if self._notes is not None:
            self._notes[self._place] = 0


class Notes:
    """The file of what is being decoded, and what earlier attempts left in it.

    64-bit integers: a row plus 1 for each slot, 0 where none, and then the suspects.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or begin one."""
        old = array("q")
        if path.exists():
            data = path.read_bytes()
            old.frombytes(data[: len(data) // 8 * 8])
        self.suspects = frozenset(row - 1 for row in old if row > 0)  # rows
        with written_aside(path) as aside:
            kept = sorted(row + 1 for row in self.suspects)
            aside.write_bytes(array("q", [0] * _SLOTS + kept).tobytes())
        with path.open("r+b") as file:
            self._view = memoryview(mmap(file.fileno(), _SLOTS * 8)).cast("q")
        self._next = 0

    def slot(self) -> Slot:
        """A place for one more thread."""
        place, self._next = self._next % _SLOTS, self._next + 1
        return Slot(self._view, place)
