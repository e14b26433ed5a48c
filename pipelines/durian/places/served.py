"""A file read by ranges: small ones where it is read here and there, longer ones where in order."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

BLOCK = 1 << 18  # bytes; the least that is asked for
LONGEST = 32  # blocks by one request
HELD = 32 << 20  # bytes in memory, those on their way too


@dataclass(frozen=True, eq=False)
class _Span:
    """Blocks that one request brings."""

    first: int
    blocks: int
    data: Future[bytes]

    @property
    def end(self) -> int:
        return self.first + self.blocks


class Served(io.RawIOBase):
    """The content of a file of known size, at most `HELD` bytes of it in memory."""

    def __init__(
        self, fetch: Callable[[int, int], bytes], size: int, end: Callable[[], None]
    ) -> None:
        """Hold what is needed to read; nothing is fetched yet.

        Args:
            fetch: gives the bytes from one place up to another.
            size: bytes.
            end: called when the file is closed.
        """
        self._fetch, self._size, self._end = fetch, size, end
        self._at = 0
        self._spans = OrderedDict[int, _Span]()  # by first block; the longest unused first
        self._of_block: dict[int, _Span] = {}
        # One thread fetches all: what is read ahead comes while what was read is decoded.
        self._fetching = ThreadPoolExecutor(1, "durian-read-ahead")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} is before the file's beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size or not len(buffer):
            return 0
        span = self._span(self._at // BLOCK)
        data, place = span.data.result(), self._at - span.first * BLOCK
        count = min(len(buffer), len(data) - place)
        buffer[:count] = memoryview(data)[place : place + count]
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._end()
            self._fetching.shutdown(wait=False, cancel_futures=True)
            self._spans.clear()
            self._of_block.clear()
        super().close()

    def _span(self, block: int) -> _Span:
        """The blocks that hold one block, which is the last used now."""
        # Each request behind another is twice as long: a footer or a single row costs a block, a
        # file that is read through soon comes in long requests. Columns of one row group are read
        # in turns, each in order, so what counts is the block before and not the last read.
        span = self._of_block.get(block)
        if span is None:
            before = self._of_block.get(block - 1)
            span = self._ask(block, 2 * before.blocks if before else 1)
        self._spans.move_to_end(span.first)
        if span.blocks > 1 and span.end * BLOCK < self._size and span.end not in self._of_block:
            self._ask(span.end, 2 * span.blocks)
            self._spans.move_to_end(span.first)
        return span

    def _ask(self, first: int, blocks: int) -> _Span:
        end = min(first + min(blocks, LONGEST), -(-self._size // BLOCK))
        end = next((block for block in range(first, end) if block in self._of_block), end)
        data = self._fetching.submit(self._fetch, first * BLOCK, min(end * BLOCK, self._size))
        span = _Span(first, end - first, data)
        self._spans[first] = span
        self._of_block.update(dict.fromkeys(range(first, end), span))
        while sum(held.blocks for held in self._spans.values()) * BLOCK > HELD:
            _, old = self._spans.popitem(last=False)
            for block in range(old.first, old.end):
                del self._of_block[block]
        return span
