"""One shard of a profile: which of several processes, and the parts that are its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from durian.errors import ConfigError

_ARRAY = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]


@dataclass(frozen=True)
class Shard:
    """One of several processes that share a run folder; written I/N, counted from 1."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(
                f"shard is {self}; shards count from 1: of four they are 1/4, 2/4, 3/4 and 4/4"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def parts(self, total: int) -> range:
        """Numbers of the parts that are its own, of `total`: neighbours, so that it reads on."""
        return range(total * (self.number - 1) // self.count, total * self.number // self.count)


def read_shard(text: str) -> Shard:
    """The shard that `I/N` names, or that the Slurm array around this process has for it.

    Raises:
        ValueError: it is neither.
        ConfigError: no such shard; or there is no array, or none of a regular range.
    """
    if text == "slurm":
        return slurm_shard(os.environ)
    if (found := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)) is None:
        raise ValueError(text)
    return Shard(int(found[1]), int(found[2]))


def slurm_shard(environment: Mapping[str, str]) -> Shard:
    """The shard of a task of a Slurm array, wherever its numbers start and however they step.

    Raises:
        ConfigError: not in an array, or its numbers are no regular range.
    """
    if missing := [name for name in _ARRAY if not environment.get(name, "").isdecimal()]:
        names = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(
            f"shard is slurm, and {names} {verb} not set: submit with sbatch --array=1-4, or write "
            "the shard as I/N"
        )
    task, first, last, step, count = (int(environment[name]) for name in _ARRAY)
    # Of a list like 1,5,7 Slurm gives the least, the greatest and a step of 1, from which no task
    # could tell its place.
    if count != (last - first) // max(step, 1) + 1:
        raise ConfigError(
            f"shard is slurm, and the array's {count} numbers are no range from {first} to {last}: "
            f"submit with sbatch --array=1-{count}, or write the shard as I/N"
        )
    return Shard((task - first) // max(step, 1) + 1, count)
