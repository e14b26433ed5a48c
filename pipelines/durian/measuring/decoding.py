"""Samples with their images decoded, on all cores, some way ahead of whoever takes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Condition

from PIL import Image

from durian.engines.resizing import Resizing
from durian.images.decode import size
from durian.measuring.look import Look, look, within
from durian.run.progress import Progress
from durian.samples import Sample

# Bounds of what is read and decoded ahead.
AHEAD_BYTES = 512 * 1024**2  # of images, encoded and, where they are kept, decoded
AHEAD_SAMPLES = 1024

# Bounds of what a thread is given at a time: a small image costs less than handing it over.
_BATCH_SAMPLES, _BATCH_BYTES = 32, 1024**2


@dataclass(frozen=True, kw_only=True)
class _Batch:
    samples: list[Sample]
    looks: Future[list[Look]]
    share: float  # of the room ahead


def decoded(
    samples: Iterable[Sample],
    *,
    keep: bool,
    pixel_limit: int,
    workers: int | None,
    progress: Progress,
    bounds: Resizing | None = None,
    sign: Callable[[Image.Image], bytes] | None = None,
) -> Generator[tuple[Sample, Look], None, None]:
    """Decode samples and give each with what its images show, in order.

    A thread reads ahead and deals them out to others, which decode, while the caller is at work:
    as far as `AHEAD_BYTES` and `AHEAD_SAMPLES` allow.

    Args:
        keep: keep the decoded images for the policy.
        workers: threads that decode; None for one a core.
        bounds: to which the images for the policy are brought, by those threads too.
        sign: makes the signatures of images, in those threads, where they are wanted.
    """
    room, coming = _Room(), SimpleQueue[_Batch | BaseException | None]()

    def see(batch: list[Sample]) -> list[Look]:
        looks = [look(sample, keep=keep, pixel_limit=pixel_limit, sign=sign) for sample in batch]
        if bounds is None:
            return looks
        return [replace(seen, bounded=within(bounds, seen.images)) for seen in looks]

    def read() -> None:
        try:
            for batch in _batches(samples):
                share = sum(_share(sample, keep=keep, bounds=bounds) for sample in batch)
                if not room.take(share):
                    return  # the caller has gone
                looks = threads.submit(see, batch)
                coming.put(_Batch(samples=batch, looks=looks, share=share))
            coming.put(None)
        except BaseException as error:  # of the dataset: for the caller, in its place
            coming.put(error)

    with _threads(workers or os.cpu_count() or 1) as threads, _threads(1) as reader:
        reader.submit(read)
        try:
            while (batch := coming.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                looks = batch.looks.result()
                progress.advance("images", len(looks))
                yield from zip(batch.samples, looks, strict=True)
                room.give(batch.share)
        finally:
            # Before the reader is waited for: whoever stops early waits for the images in hand.
            threads.shutdown(wait=False, cancel_futures=True)
            room.close()


class _Room:
    """Room for what is ahead, as shares of the whole."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._taken = 0.0
        self._closed = False

    def take(self, share: float) -> bool:
        """Wait until a share fits, or nothing else is there; False once the room is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._taken <= 0 or self._taken + share <= 1
            )
            self._taken += share
            return not self._closed

    def give(self, share: float) -> None:
        with self._changed:
            self._taken -= share
            if self._taken < 1e-9:
                self._taken = 0.0  # of rounding
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once the context ends: the images in hand are waited for."""
    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    # To hand a task to a thread costs more than to decode a small image, so small ones go
    # together; a large one is a batch by itself, so that it keeps one thread busy and the
    # others go on.
    batch: list[Sample] = []
    encoded = 0
    for sample in samples:
        batch.append(sample)
        encoded += sum(map(len, sample.images))
        if len(batch) == _BATCH_SAMPLES or encoded >= _BATCH_BYTES:
            yield batch
            batch, encoded = [], 0
    if batch:
        yield batch


def _share(sample: Sample, *, keep: bool, bounds: Resizing | None) -> float:
    """The part of the room ahead that a sample takes, by what its images' headers promise."""
    sizes = list(filter(None, map(size, sample.images))) if keep else []
    if bounds is not None:
        sizes += [bounds.of(each) or each for each in sizes]
    pixels = sum(width * height for width, height in sizes)
    bytes_ahead = sum(map(len, sample.images)) + 3 * pixels
    return max(1 / AHEAD_SAMPLES, bytes_ahead / AHEAD_BYTES)
