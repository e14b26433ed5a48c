"""Grader processes, one a core: they judge while the engine decodes, and never in its process.

Answers are given in and verdicts taken out later. A pair that was judged before is not judged
again. References that are compared letter by letter (choices, names, codes, text) cost
microseconds and are judged at once, so that a dataset of words starts no process.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from durian.errors import RunError
from durian.rewards.formula import TOLERANCE
from durian.rewards.grade import Reference, answer_kind, grade

_AT_ONCE = frozenset(("choice", "name", "code", "text", "time"))
_BATCH = 32  # pairs a message: short, so that both cores end at the same time
_KEPT = 200_000  # verdicts


class Pair(NamedTuple):
    """An answer and what it is compared to."""

    answer: str
    reference: Reference
    question: str = ""
    tolerance: float = TOLERANCE


class Graders:
    """A pool of grader processes, started at the first pair that needs one. Thread-safe."""

    def __init__(self, workers: int | None = None) -> None:
        """Make a pool.

        Args:
            workers: processes; None for a core each, shared with the other processes of a launch.
        """
        self._workers = workers or max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        self._lock = threading.Lock()
        self._known: OrderedDict[Pair, Future[bool]] = OrderedDict()
        self._threads: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._started: list[_Process] = []

    def limit(self, workers: int) -> None:
        """Start no more than so many processes from now on."""
        self._workers = min(self._workers, workers)

    def submit(self, pairs: Sequence[Pair]) -> list[Future[bool]]:
        """Begin to judge pairs; each future gives whether its answer is right, or RunError."""
        futures: list[Future[bool]] = []
        waiting: list[tuple[Pair, Future[bool]]] = []  # none was begun
        # A pair is known from the moment it is asked, not only once it is judged: eight rollouts of
        # one answer that come in together wait for one verdict. The verdicts are made outside of
        # the lock.
        with self._lock:
            for pair in pairs:
                future = self._known.get(pair)
                if future is None:
                    future = self._known[pair] = Future()
                    waiting.append((pair, future))
                self._known.move_to_end(pair)
                futures.append(future)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        asked = []
        for pair, future in waiting:
            if answer_kind(pair.reference) in _AT_ONCE and not pair.reference.options:
                judged(pair, future)
            else:
                asked.append((pair, future))
        for start in range(0, len(asked), _BATCH):
            self._pool().submit(self._judge, asked[start : start + _BATCH])
        return futures

    def close(self) -> None:
        """End the processes. The next pair starts others."""
        with self._lock:
            threads, self._threads = self._threads, None
            started, self._started = self._started, []
            self._known.clear()
        for process in started:
            process.close()
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def abandon(self) -> None:
        """Let go of processes that belong to this process's parent, without ending them."""
        for process in self._started:
            process.abandon()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._own = threading.local()
                self._threads = ThreadPoolExecutor(self._workers, "durian-grader")
            return self._threads

    def _judge(self, asked: list[tuple[Pair, Future[bool]]]) -> None:
        try:
            verdicts = self._process().ask([pair for pair, _ in asked])
            for (_, future), right in zip(asked, verdicts, strict=True):
                future.set_result(right)
        except BaseException as error:
            for pair, future in asked:
                if not future.done():
                    with self._lock:
                        self._known.pop(pair, None)  # it may be asked again
                    future.set_exception(error)

    def _process(self) -> _Process:
        process: _Process | None = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = _Process()
            with self._lock:
                self._started.append(process)
        return process


class _Process:
    """One grader process, of one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def ask(self, pairs: Sequence[Pair]) -> list[bool]:
        """The verdicts on some pairs. Raises: RunError."""
        line = json.dumps(
            [(p.answer, p.reference.accepted, p.reference.options, *p[2:]) for p in pairs]
        )
        for _ in range(2):  # again, if the process had been ended from outside
            if self._closed:
                raise RunError("the grader processes were ended while they judged")
            process = self._process or self._start()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                reply = json.loads(process.stdout.readline() or "null")
            except (OSError, ValueError):
                reply = None
            if isinstance(reply, list):
                return [bool(right) for right in reply]
            if isinstance(reply, str):
                raise RunError(reply)
            self._end()
        raise RunError("a grader process ended twice while it judged the same answers (memory?)")

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            _close(process)

    def abandon(self) -> None:
        """Let go of the process without ending it."""
        process, self._process = self._process, None
        if process is not None:
            process.returncode = 0  # not ours to wait for, and no warning that it runs on
            _close(process)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            # -P: the folder that it runs in holds names that must not hide other modules.
            [sys.executable, "-P", "-Wignore", "-m", "durian.rewards.grader_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which then ends it
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != '"ready"\n':
            self._end()
            raise RunError("a grader process does not start; is this Durian whole?")
        return self._process


def judged(pair: Pair, future: Future[bool] | None = None) -> Future[bool]:
    """A pair's verdict, made here and now. Raises: RunError."""
    future = Future() if future is None else future
    verdict = grade(pair.answer, pair.reference, question=pair.question, tolerance=pair.tolerance)
    future.set_result(verdict.right)
    return future


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


class _Shared:
    graders = Graders()


def graders() -> Graders:
    """The one pool of graders of this process."""
    return _Shared.graders


def _renew() -> None:
    # A forked child must not write into its parent's pipes.
    _Shared.graders.abandon()
    _Shared.graders = Graders()


atexit.register(lambda: _Shared.graders.close())
os.register_at_fork(after_in_child=_renew)
