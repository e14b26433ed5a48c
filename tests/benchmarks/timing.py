"""Two or more ways of one piece of work, timed in turn, so that a slow spell hits all alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each way, one a round, after a round that does not count.

    `time.process_time` as the clock leaves out what other processes take of a shared core.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, work in ways.items():
            begun = clock()
            work()
            if number:
                seconds[name].append(clock() - begun)
    return seconds


def ratio(of: list[float], to: list[float]) -> float:
    """Median over the rounds of how much faster `of` is than `to`."""
    return median(t / o for o, t in zip(of, to, strict=True))
