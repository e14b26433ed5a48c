"""Threads that look at samples. One that hangs is left behind, and another takes its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Self

from durian.images import image_process
from durian.images.decoding import Notes, Slot
from durian.measuring.look import Look, look
from durian.samples import Sample

_CHECK_SECONDS = 0.5  # between two looks at the time
_END_SECONDS = 5.0  # for the images in hand, once nobody waits for them


@dataclass(eq=False)
class _Post:
    slot: Slot
    future: Future[Look] | None = None  # of the sample in hand
    left: bool = False  # the thread hung, and its sample has its answer
    thread: threading.Thread | None = None


class DecodingThreads:
    """A pool of threads; a context that ends them.

    A thread cannot be ended from outside, so one whose decoder takes too long goes on in vain. All
    are daemons: none keeps the process from ending.
    """

    def __init__(
        self, workers: int, *, pixel_limit: int, keep: bool, notes: Notes | None = None
    ) -> None:
        """Args: `notes`: where to note what is decoded; its suspects are decoded apart."""
        self._pixel_limit, self._keep, self._notes = pixel_limit, keep, notes
        self._suspects = notes.suspects if notes else frozenset()
        self._queue: SimpleQueue[tuple[Sample, Future[Look]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._posts: list[_Post] = []
        self._cancelled = False
        for _ in range(workers):
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.cancel()
        for _ in self._posts:
            self._queue.put(None)
        deadline = time.monotonic() + _END_SECONDS
        for post in self._posts:
            if post.thread is not None:
                post.thread.join(max(0.0, deadline - time.monotonic()))

    def submit(self, sample: Sample) -> Future[Look]:
        """Look at a sample as soon as a thread is free.

        Raises:
            CancelledError: after `cancel`.
        """
        future: Future[Look] = Future()
        with self._lock:
            if self._cancelled:
                raise CancelledError
            self._queue.put((sample, future))
        return future

    def cancel(self) -> None:
        """Look at no more samples than those in hand; whoever waits for others is told."""
        with self._lock:
            self._cancelled = True
        with suppress(Empty):
            while task := self._queue.get_nowait():
                task[1].cancel()

    def results(self, futures: Iterable[Future[Look]]) -> list[Look]:
        """Wait for samples, and give up those whose decoder hangs.

        Raises:
            CancelledError: `cancel` was called, and something is not done yet.
            RunError: the process that decodes apart cannot be started.
        """
        looks = []
        for future in futures:
            while not future.done():
                if self._cancelled:
                    raise CancelledError
                wait((future,), _CHECK_SECONDS)
                self._leave_hung()
            looks.append(future.result())
        return looks

    def _start(self) -> None:
        post = _Post(self._notes.slot() if self._notes else Slot())
        post.thread = threading.Thread(target=self._work, args=(post,), daemon=True)
        self._posts.append(post)
        post.thread.start()

    def _work(self, post: _Post) -> None:
        while task := self._queue.get():
            sample, future = task
            post.future = future
            outcome = self._look(sample, post.slot)
            with self._lock:
                if post.left:
                    return
                post.future = None
            if isinstance(outcome, Look):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

    def _look(self, sample: Sample, slot: Slot) -> Look | BaseException:
        try:
            return look(
                sample,
                pixel_limit=self._pixel_limit,
                keep=self._keep,
                slot=slot,
                apart=sample.row in self._suspects,
            )
        except BaseException as error:  # for whoever waits
            return error

    def _leave_hung(self) -> None:
        for post in list(self._posts):
            with self._lock:
                since, future = post.slot.since, post.future
                if since is None or future is None:
                    continue
                post.left = time.monotonic() - since > image_process.SECONDS
            if post.left:
                self._posts.remove(post)
                self._start()
                error = post.slot.where + image_process.too_long()
                future.set_result(Look(error=error))
