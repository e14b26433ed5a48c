"""Runs `durian` in forked children of one process that has imported it, and breaks them on order.

A profile imports for seconds and works for a fraction of one: forked, a hundred kills are cheap.
JSON lines in, JSON lines out (see `Order` in faulty.py). The durable operations of a child are
counted: the calls that write, rename, sync or remove a file. Number `at` of them is where it is
stopped: `before` it, or with half of a written file on the disk (`torn`).
"""

from __future__ import annotations

import errno
import fcntl
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.font_manager  # noqa: F401
import pandas  # noqa: F401 - pyarrow imports it at its first array
import pyarrow.parquet as pq

import durian.measuring.sampling  # noqa: F401
import durian.profile
import durian.regroup
import durian.rendering.page
import durian.rendering.training_page
import durian.report
import durian.shards
from durian.engines import scripted  # noqa: F401
from durian_cli.app import main


class Operations:
    """Counts a process's durable operations, and does as ordered at one of them."""

    def __init__(self, at: int | None, when: str, what: Callable[[], None]) -> None:
        self.names: list[str] = []
        self._at, self._when, self._what = at, when, what

    def run(self, name: str, path: object, operation: Callable[[], Any]) -> Any:
        """Do an operation on a file; the one that was ordered, with what was ordered."""
        number = len(self.names)
        if not isinstance(path, str | os.PathLike):  # an open file, as pandas gives
            path = str(getattr(path, "name", ""))
        self.names.append(f"{name} {os.path.basename(path)}")
        if number != self._at:
            return operation()
        if self._when == "before":
            self._what()
        result = operation()
        if self._when == "torn":
            if path:
                os.truncate(path, os.stat(path).st_size // 2)
            self._what()
        return result

    def watch(self) -> None:
        """From now on."""
        for name in ("unlink", "rmdir", "mkdir"):
            self._wrap(os, name, path=0)
        self._wrap(os, "replace", path=1)
        for kind in ("write_text", "write_bytes"):
            self._wrap(Path, kind, path=0)
        self._wrap(pq, "write_table", path=1)
        fsync, close, opened = os.fsync, pq.ParquetWriter.close, pq.ParquetWriter.__init__
        os.fsync = lambda handle: self.run("fsync", "", lambda: fsync(handle))

        def init(writer: Any, where: Any, *args: Any, **options: Any) -> None:
            writer.durian_where = where
            opened(writer, where, *args, **options)

        def closed(writer: Any) -> None:
            if writer.is_open:
                self.run("close", writer.durian_where, lambda: close(writer))

        pq.ParquetWriter.__init__, pq.ParquetWriter.close = init, closed

    def _wrap(self, owner: Any, name: str, *, path: int) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            return self.run(name, args[path], lambda: original(*args, **options))

        setattr(owner, name, wrapped)


def fault(order: dict[str, Any]) -> None:
    """A file or folder is gone, or a signal comes."""
    if order["vanishing"] is None:
        os.kill(os.getpid(), order["signal"])
    elif os.path.isdir(order["vanishing"]):
        shutil.rmtree(order["vanishing"])
    else:
        os.unlink(order["vanishing"])


def no_flock(kind: str) -> Callable[[object, int], None]:
    """flock of a file system that has none, or only says that it has."""

    def flock(file: object, operation: int) -> None:
        if kind == "refused":
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    return flock


def child(order: dict[str, Any]) -> None:
    """One `durian`; never returns."""
    code = 70
    try:
        for number, path in ((1, order["stdout"]), (2, order["stderr"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        # A shell's background jobs ignore SIGINT, and so would a child of a test run as one.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if order["plain_figures"]:
            durian.rendering.page.report_figures = lambda *_: []
            durian.rendering.page.encode_figure = lambda *_: b"figure"
        if order["module"]:
            code = int(importlib.import_module(order["module"]).main(order["argv"]))
            return
        if (file_size := order["file_size"]) is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
        if order["no_flock"]:
            fcntl.flock = no_flock(order["no_flock"])
        operations = Operations(order["at"], order["when"], lambda: fault(order))
        operations.watch()
        if order["after_seconds"] is not None:
            if order["signal"] != signal.SIGKILL:  # else the alarm itself ends it as suddenly
                signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), order["signal"]))
            signal.setitimer(signal.ITIMER_REAL, order["after_seconds"])
        sys.argv = ["durian", *order["argv"]]
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        with open(order["operations"], "w") as file:
            json.dump(operations.names, file)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if "training" in sys.argv:
        import durian.engines.transformers
        import durian.train
        import durian.training.trainer  # noqa: F401 - TRL: seconds in every child
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.argv = ["durian", "report", "/nowhere"]  # what the command line imports at its first use
    try:
        main()
    except SystemExit as end:
        print(end.code, file=replies, flush=True)
    gc.collect()
    gc.freeze()  # or each child's collections would go through, and copy, all that was imported
    for line in sys.stdin:
        pids = []
        for order in json.loads(line):  # all at once
            if (pid := os.fork()) == 0:
                child(order)
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), file=replies, flush=True)
