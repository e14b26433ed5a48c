"""Samples with their images decoded, in chunks that fit in memory, one chunk ahead of the work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from durian.images.decode import size
from durian.measuring.look import Look, look
from durian.run.progress import Progress
from durian.samples import Sample

# Bounds of one chunk. Decoded pixels cost 3 bytes, and several times that once a policy's
# processor has them; still enough samples of a megapixel to keep an engine's batch full.
ENCODED_BYTES = 128 * 1024**2
DECODED_PIXELS = 256 * 1024**2

# Bounds of what a thread is given at a time: a small image costs less than handing it over.
_BATCH_SAMPLES, _BATCH_BYTES = 32, 1024**2


@dataclass(kw_only=True)
class Chunk:
    """Consecutive samples of one part."""

    part: int
    first: int  # number of its first sample in the dataset index
    samples: list[Sample] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    seconds: float = 0.0  # spent on reading and decoding


def decoded_chunks(
    samples: Iterable[Sample],
    parts: Iterable[tuple[int, range]],
    *,
    keep: bool,
    pixel_limit: int,
    workers: int | None,
    progress: Progress,
) -> Iterator[Chunk]:
    """Decode samples on all cores and give them chunk by chunk; a chunk never spans two parts.

    Args:
        samples: those of `parts`, in order.
        parts: part number and the numbers of its samples, rising.
        keep: keep the decoded images for the policy.
    """
    # Threads that decode end before the one that waits for them: whoever stops early, as by
    # Ctrl-C, waits for the images in hand, not for a whole chunk.
    with _threads(1) as ahead, _threads(workers or os.cpu_count() or 1) as threads:
        chunks = _decoded(samples, parts, threads, keep=keep, pixel_limit=pixel_limit)
        # The next chunk is made in a thread while the caller works on this one.
        coming: Future[Chunk | None] = ahead.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = ahead.submit(next, chunks, None)
            progress.advance("images", len(chunk.samples))
            yield chunk


def cut_chunks(
    samples: Iterable[Sample],
    parts: Iterable[tuple[int, range]],
    *,
    keep: bool,
    taken: Callable[[Sample], None] = lambda sample: None,
) -> Iterator[Chunk]:
    """The chunks of `decoded_chunks` with nothing decoded yet, for those who decode elsewhere.

    Args:
        keep: whether the decoded images will be kept, which bounds a chunk's pixels.
        taken: told of each sample as soon as it is read, before its chunk is whole.
    """
    # Where a chunk ends depends on the samples alone: their bytes, the pixels that their headers
    # promise, and the part. It must not depend on time or on free memory, because a chunk is seeded
    # by its first sample and drawn as one batch: cut elsewhere, a resumed run would draw other
    # completions than an uninterrupted one.
    stream = iter(samples)
    for part, numbers in parts:
        begun, chunk = time.perf_counter(), Chunk(part=part, first=numbers.start)
        encoded, pixels = 0, 0
        for number in numbers:
            sample = next(stream)
            chunk.samples.append(sample)
            taken(sample)
            encoded += sum(map(len, sample.images))
            pixels += _pixels(sample) if keep else 0
            if encoded >= ENCODED_BYTES or pixels >= DECODED_PIXELS or number == numbers[-1]:
                chunk.seconds = time.perf_counter() - begun
                yield chunk
                begun, chunk = time.perf_counter(), Chunk(part=part, first=number + 1)
                encoded, pixels = 0, 0


def decode_chunk(chunk: Chunk, *, keep: bool, pixel_limit: int, workers: int) -> None:
    """Decode the images of a chunk that was cut elsewhere."""
    begun = time.perf_counter()
    with _threads(workers) as threads:
        batches = _Batches(threads, keep=keep, pixel_limit=pixel_limit)
        for sample in chunk.samples:
            batches.add(sample)
        chunk.looks = batches.results()
    chunk.seconds += time.perf_counter() - begun


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once the context ends."""
    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


class _Batches:
    """Samples on their way through the threads, a few small ones or one large one at a time."""

    def __init__(self, threads: ThreadPoolExecutor, *, keep: bool, pixel_limit: int) -> None:
        self._threads = threads
        self._look = partial(look, keep=keep, pixel_limit=pixel_limit)
        self._waiting: list[Sample] = []  # for their batch to be full
        self._bytes = 0
        self._begun: list[Future[list[Look]]] = []

    def add(self, sample: Sample) -> None:
        """Take one more sample."""
        # To hand a task to a thread costs more than to decode a small image, so small ones go
        # together; a large one is a batch by itself, so that it keeps one thread busy and the
        # others go on.
        self._waiting.append(sample)
        self._bytes += sum(map(len, sample.images))
        if len(self._waiting) == _BATCH_SAMPLES or self._bytes >= _BATCH_BYTES:
            self._begin()

    def results(self) -> list[Look]:
        """Return the images' looks of all samples since the last call, in their order."""
        self._begin()
        looks = [seen for batch in self._begun for seen in batch.result()]
        self._begun.clear()
        return looks

    def _begin(self) -> None:
        batch, self._waiting, self._bytes = self._waiting, [], 0
        self._begun.append(self._threads.submit(lambda: list(map(self._look, batch))))


def _decoded(
    samples: Iterable[Sample],
    parts: Iterable[tuple[int, range]],
    threads: ThreadPoolExecutor,
    *,
    keep: bool,
    pixel_limit: int,
) -> Iterator[Chunk]:
    batches = _Batches(threads, keep=keep, pixel_limit=pixel_limit)
    for chunk in cut_chunks(samples, parts, keep=keep, taken=batches.add):
        begun = time.perf_counter()
        chunk.looks = batches.results()
        chunk.seconds += time.perf_counter() - begun
        yield chunk


def _pixels(sample: Sample) -> int:
    sizes = [size(data) for data in sample.images]
    return sum(width * height for width, height in filter(None, sizes))
