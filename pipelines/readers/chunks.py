"""Samples with their images decoded, in chunks that fit in memory, one chunk ahead of the work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from pipelines.progress import Progress
from pipelines.readers.images import image_size
from pipelines.readers.look import Look, look
from pipelines.samples import Sample

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
    pool, ahead = ThreadPoolExecutor(workers or os.cpu_count()), ThreadPoolExecutor(1)
    chunks = _decoded(samples, parts, pool, keep=keep, pixel_limit=pixel_limit)
    try:
        # The next chunk is made in a thread while the caller works on this one.
        coming: Future[Chunk | None] = ahead.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = ahead.submit(next, chunks, None)
            progress.advance("images", len(chunk.samples))
            yield chunk
    finally:
        # Whoever stops early, as by Ctrl-C, waits for the images in hand, not for a whole chunk.
        pool.shutdown(cancel_futures=True)
        ahead.shutdown()


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
    with ThreadPoolExecutor(workers) as pool:
        looked = partial(look, pixel_limit=pixel_limit, keep=keep)
        chunk.looks = list(pool.map(looked, chunk.samples))
    chunk.seconds += time.perf_counter() - begun


def _decoded(
    samples: Iterable[Sample],
    parts: Iterable[tuple[int, range]],
    pool: ThreadPoolExecutor,
    *,
    keep: bool,
    pixel_limit: int,
) -> Iterator[Chunk]:
    looks: list[Future[Look]] = []

    def submit(sample: Sample) -> None:
        looks.append(pool.submit(look, sample, pixel_limit=pixel_limit, keep=keep))

    for chunk in cut_chunks(samples, parts, keep=keep, taken=submit):
        begun = time.perf_counter()
        chunk.looks = [future.result() for future in looks]
        looks.clear()
        chunk.seconds += time.perf_counter() - begun
        yield chunk


def _pixels(sample: Sample) -> int:
    sizes = [image_size(data) for data in sample.images]
    return sum(width * height for width, height in filter(None, sizes))
