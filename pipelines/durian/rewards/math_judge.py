"""The parent's side of the mathematics process: starts it, asks it, ends it when it hangs.

math-verify's own timeout is a signal, which works in the main thread only and cannot stop a
long computation inside C. A process can be ended whatever it does.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from durian.errors import RunError, way_out

_WORKER = Path(__file__).with_name("math_worker.py")
_WALL_SECONDS = 30.0  # for one comparison; the worker's own bound of processor time comes first
_START_SECONDS = 180.0  # importing sympy on a busy machine


class MathJudge:
    """One process that compares mathematics, started at the first question. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def equal(self, answer: str, reference: str) -> bool:
        """Whether two LaTeX texts mean the same; False where that takes too long to find out."""
        return self.ask(answer, reference) is True

    def ask(self, answer: str, reference: str) -> bool | None:
        """As `equal`, but None where it takes too long to find out.

        Raises:
            RunError: the process cannot be started, so nothing could ever be found equal.
        """
        # One question at a time, whole, under the lock: the pipe has no other way to tell whose
        # answer comes. A worker that ends itself by SIGPROF has used up its time, and its silence
        # is the verdict "not equal"; one that is gone otherwise is started again, once.
        question = json.dumps([answer, reference]).encode() + b"\n"
        with self._lock:
            for _ in range(2):  # again, if the process had been ended from outside
                process = self._process or self._start()
                try:
                    assert process.stdin is not None
                    process.stdin.write(question)
                    return self._read(process, _WALL_SECONDS) is True
                except TimeoutError:
                    self._end(process)
                    return None
                except (EOFError, OSError, ValueError):  # gone, or closed by another thread
                    if self._end(process) == -signal.SIGPROF:  # its bound of processor time
                        return None
                except BaseException:  # Ctrl-C: its answer must not be taken for the next one's
                    self._end(process)
                    raise
            return None

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None while there is none."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process. The next question starts another."""
        if self._process is not None:  # no lock: a thread may be waiting for an answer
            self._end(self._process)

    def abandon(self) -> None:
        """Let go of a process that belongs to this process's parent, without ending it."""
        if self._process is not None:
            self._process.returncode = 0  # not ours to wait for, and no warning that it runs on
            _close_pipes(self._process)
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            # -P: the script's own folder holds names that must not hide other modules.
            [sys.executable, "-P", "-Wignore", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
        )
        self._process, self._unread = process, b""
        try:
            said = self._read(process, _START_SECONDS)
        except (EOFError, OSError, ValueError):
            said = "it does not start"
        except BaseException:
            self._end(process)
            raise
        if said != "ready":
            self._end(process)
            raise RunError(
                f"math-verify, which compares mathematical answers, failed: {said}; "
                f"{way_out('math_verify')}"
            )
        return process

    def _read(self, process: subprocess.Popen[bytes], seconds: float) -> object:
        assert process.stdout is not None
        # Read by hand rather than by `readline`, which a worker that hangs in the middle of a line
        # would block for good.
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimeoutError
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    raise EOFError
                self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return json.loads(line)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        process.kill()
        code = process.wait()
        _close_pipes(process)
        if self._process is process:
            self._process = None
        return code


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


class _Shared:
    judge = MathJudge()


def judge() -> MathJudge:
    """The one judge of mathematics of this process."""
    return _Shared.judge


def _renew() -> None:
    # A forked child must not write into its parent's pipes, nor wait for a lock held over there.
    _Shared.judge.abandon()
    _Shared.judge = MathJudge()


atexit.register(lambda: _Shared.judge.close())
os.register_at_fork(after_in_child=_renew)
