"""Progress of a long piece of work, as it is told to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

Thing = TypeVar("Thing")


class Progress(Protocol):
    """Watches named stages; the command line draws them, a library call ignores them."""

    def start(self, stage: str, total: int | None, done: int = 0) -> None:
        """A stage begins; `total` steps in all if known, `done` of them from an earlier run."""

    def advance(self, stage: str, steps: int = 1) -> None:
        """Count some more steps of a stage as done."""

    def note(self, text: str) -> None:
        """Tell whoever watches one line of text."""


class Silent:
    """Nobody watches."""

    def start(self, stage: str, total: int | None, done: int = 0) -> None: ...

    def advance(self, stage: str, steps: int = 1) -> None: ...

    def note(self, text: str) -> None: ...


class Stopwatch:
    """Adds up wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0  # seconds of the blocks that ended within the one that is timed now

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Count the block's time towards `stage`, but for that of blocks timed within it."""
        before, self._within = self._within, 0.0
        begun = time.perf_counter()
        try:
            yield
        finally:
            whole = time.perf_counter() - begun
            self.add(stage, whole - self._within)
            self._within = before + whole

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere, such as by an interrupted run."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def lap(self) -> dict[str, float]:
        """The seconds since the last lap, by stage."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def timed(things: Iterable[Thing], stage: str, watch: Stopwatch) -> Iterator[Thing]:
    """Give things on, and count the time until each is there towards a stage."""
    coming = iter(things)
    while True:
        with watch.time(stage):
            try:
                thing = next(coming)
            except StopIteration:
                return
        yield thing
