"""Calls that wait for a server, several at a time, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AT_A_TIME = 16  # requests
AHEAD_BYTES = 64 << 20  # of results that wait for their turn, before nothing more is asked for

Result = TypeVar("Result")
End = TypeVar("End")


def side_by_side(
    calls: Generator[Callable[[], Result], None, End], weigh: Callable[[Result], int]
) -> Generator[Result, None, End]:
    """Make the calls in threads, and give their results in the order of the calls.

    Args:
        weigh: bytes of a result.
    Returns:
        What `calls` returns.
    """
    waiting = deque[Future[Result]]()
    end: list[End] = []
    pool = ThreadPoolExecutor(AT_A_TIME, "durian-images")
    try:
        while True:
            while not end and len(waiting) < AT_A_TIME and _held(waiting, weigh) < AHEAD_BYTES:
                try:
                    waiting.append(pool.submit(next(calls)))
                except StopIteration as ended:
                    end.append(ended.value)
            if not waiting:
                return end[0]
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        calls.close()


def _held(waiting: deque[Future[Result]], weigh: Callable[[Result], int]) -> int:
    return sum(weigh(one.result()) for one in waiting if one.done() and not one.exception())
