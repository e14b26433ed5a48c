"""Two or more ways of one piece of work, timed in turn, so that a slow spell hits all alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, one a round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, work in ways.items():
            begun = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratio(of: list[float], to: list[float]) -> float:
    """Median over the rounds of how much faster `of` is than `to`."""
    return median(t / o for o, t in zip(of, to, strict=True))
