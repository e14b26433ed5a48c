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
from durian.progress import Progress
from durian.samples import Sample

# Bounds of one chunk. Decoded pixels cost 3 bytes, and several times that once a policy's
# processor has them; still enough samples of a megapixel to keep an engine's batch full.
ENCODED_BYTES = 128 * 1024**2
DECODED_PIXELS = 256 * 1024**2


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
    one = partial(look, pixel_limit=pixel_limit, keep=keep)
    # Threads that decode end before the one that waits for them: whoever stops early, as by
    # Ctrl-C, waits for the images in hand, not for a whole chunk.
    with _threads(1) as ahead, _threads(workers or os.cpu_count() or 1) as threads:
        chunks = _decoded(samples, parts, partial(threads.submit, one), keep=keep)
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
        chunk.looks = list(
            threads.map(partial(look, pixel_limit=pixel_limit, keep=keep), chunk.samples)
        )
    chunk.seconds += time.perf_counter() - begun


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once the context ends."""
    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def _decoded(
    samples: Iterable[Sample],
    parts: Iterable[tuple[int, range]],
    submit: Callable[[Sample], Future[Look]],
    *,
    keep: bool,
) -> Iterator[Chunk]:
    looks: list[Future[Look]] = []

    def taken(sample: Sample) -> None:
        looks.append(submit(sample))

    for chunk in cut_chunks(samples, parts, keep=keep, taken=taken):
        begun = time.perf_counter()
        chunk.looks = [seen.result() for seen in looks]
        looks.clear()
        chunk.seconds += time.perf_counter() - begun
        yield chunk


def _pixels(sample: Sample) -> int:
    sizes = [size(data) for data in sample.images]
    return sum(width * height for width, height in filter(None, sizes))
