"""The parent's side of the decoding processes: starts them, asks them, ends one that hangs.

A thread can be neither ended nor kept from crashing the process that it is in; a process can.
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
from typing import Any

import numpy as np
from PIL import Image

from durian.errors import RunError
from durian.images.image_worker import REQUEST
from durian.images.pixels import DecodedImage
from durian.samples import Failed

SECONDS = 60.0  # for one image; a large one takes a few
_GRACE_SECONDS = 15.0  # the worker's own timer comes first
_START_SECONDS = 120.0  # importing numpy on a busy machine
_ROOT = Path(__file__).parents[2]  # holds the package


def too_long() -> str:
    """Why an image whose time was up has no measure."""
    return f"cannot decode image: its decoder took over {SECONDS:g} s"


class ImageProcesses:
    """Processes that decode one image each at a time, started at need. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_ImageProcess] = []
        self._all: set[_ImageProcess] = set()

    def decode(self, data: bytes, *, pixel_limit: int, keep: bool) -> DecodedImage | Failed:
        """As `images.decode_image`; an image that hangs or crashes its decoder is `Failed` too.

        Raises:
            RunError: no process can be started.
        """
        answer = self._ask(data, size_only=False, keep=keep, pixel_limit=pixel_limit)
        if isinstance(answer, Failed):
            return answer
        found, rgb = answer
        if "error" in found:
            return Failed(found["error"])
        return DecodedImage(
            width=found["width"],
            height=found["height"],
            gray_histogram=np.array(found["gray"], dtype=np.int64),
            rgb=Image.frombytes("RGB", tuple(found["rgb"]), rgb) if found["rgb"] else None,
        )

    def size(self, data: bytes) -> tuple[int, int] | None:
        """As `images.image_size`.

        Raises:
            RunError: no process can be started.
        """
        answer = self._ask(data, size_only=True, keep=False, pixel_limit=0)
        if isinstance(answer, Failed) or answer[0] is None:
            return None
        width, height = answer[0]
        return width, height

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._all]

    def close(self) -> None:
        """End all processes. The next image starts another."""
        with self._lock:
            processes, self._all, self._idle = self._all, set(), []
        for process in processes:
            process.end()

    def abandon(self) -> None:
        """Let go of processes that belong to this process's parent, without ending them."""
        for process in self._all:
            process.abandon()

    def _ask(
        self, data: bytes, *, size_only: bool, keep: bool, pixel_limit: int
    ) -> tuple[Any, bytes] | Failed:
        head = REQUEST.pack(size_only, keep, pixel_limit, SECONDS, len(data))
        code = 0
        for _ in range(2):  # again, if the process had been ended from outside
            process = self._take()
            try:
                answer = process.ask(head, data)
            except TimeoutError:
                self._end(process)
                return Failed(too_long())
            except (EOFError, OSError, ValueError):
                code = self._end(process)
                if code == -signal.SIGALRM:
                    return Failed(too_long())
            except BaseException:  # Ctrl-C: its answer must not be taken for the next one's
                self._end(process)
                raise
            else:
                with self._lock:
                    self._idle.append(process)
                return answer
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Failed(f"cannot decode image: its decoder died ({how})")

    def _take(self) -> _ImageProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()  # the latest, so that few are started
                if process.is_alive():
                    return process
                self._all.discard(process)
                process.end()
        process = _ImageProcess()
        with self._lock:
            self._all.add(process)
        return process

    def _end(self, process: _ImageProcess) -> int:
        with self._lock:
            self._all.discard(process)
        return process.end()


class _ImageProcess:
    def __init__(self) -> None:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-Wignore", "-m", "durian.images.image_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
        )
        self._unread = bytearray()
        try:
            started = self._read(_START_SECONDS)[0] == "ready"
        except (TimeoutError, EOFError, OSError, ValueError):
            started = False
        except BaseException:
            self.end()
            raise
        if not started:
            code = self.end()
            raise RunError(
                f"the process that decodes images apart does not start (exit code {code}); "
                "is there memory for it?"
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, head: bytes, data: bytes) -> tuple[Any, bytes]:
        assert self._process.stdin is not None
        for part in (head, data):
            left = memoryview(part)
            while left:
                left = left[self._process.stdin.write(left) or 0 :]
        return self._read(SECONDS + _GRACE_SECONDS)

    def _read(self, seconds: float) -> tuple[Any, bytes]:
        deadline = time.monotonic() + seconds
        while (end := self._unread.find(b"\n")) < 0:
            self._receive(deadline)
        length, message = json.loads(self._unread[:end])
        while len(self._unread) < end + 1 + length:
            self._receive(deadline)
        rgb = bytes(memoryview(self._unread)[end + 1 :])
        self._unread = bytearray()
        return message, rgb

    def _receive(self, deadline: float) -> None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise TimeoutError
        chunk = os.read(self._process.stdout.fileno(), 1 << 20)
        if not chunk:
            raise EOFError
        self._unread += chunk

    def end(self) -> int:
        self._process.kill()
        code = self._process.wait()
        self._close_pipes()
        return code

    def abandon(self) -> None:
        self._process.returncode = 0  # not ours to wait for, and no warning that it runs on
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class _Shared:
    processes = ImageProcesses()


def processes() -> ImageProcesses:
    """The decoding processes of this process."""
    return _Shared.processes


def _renew() -> None:
    # A forked child must not write into its parent's pipes, nor wait for a lock held over there.
    _Shared.processes.abandon()
    _Shared.processes = ImageProcesses()


atexit.register(lambda: _Shared.processes.close())
os.register_at_fork(after_in_child=_renew)
