"""Runs `durian` in forked children of one process that has imported it, and breaks them on order.

A profile imports for seconds and works for a fraction of one: forked, a hundred kills are cheap.
JSON lines in, JSON lines out (see `Order` in faulty.py). The durable operations of a child are
counted: the calls that make, rename, sync or remove a file. Number `at` of them is where it is
stopped: `before` it, `after` it, or with half of a written file on the disk (`torn`).
"""

from __future__ import annotations

import builtins
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

import pipelines.profile
import pipelines.regroup
import pipelines.rendering.page
import pipelines.report
import pipelines.sampling  # noqa: F401
from durian_cli.app import main
from pipelines.engines import scripted  # noqa: F401

# Of a folder's entries only; what is read is not counted.
NAMED = ("replace", "rename", "fsync", "unlink", "remove", "rmdir", "mkdir")


class Operations:
    """Counts a process's durable operations, and does as ordered at one of them."""

    def __init__(self, at: int | None, when: str, what: Callable[[str], None]) -> None:
        self.names: list[str] = []
        self._at, self._when, self._what = at, when, what

    def run(self, name: str, operation: Callable[[], Any], written: Path | None = None) -> Any:
        number = len(self.names)
        self.names.append(name)
        if number != self._at:
            return operation()
        if self._when == "before":
            self._what(name)
        result = operation()
        if self._when == "torn" and written is not None and written.exists():
            os.truncate(written, written.stat().st_size // 2)
        if self._when in ("after", "torn"):
            self._what(name)
        return result

    def watch(self) -> None:
        """From now on."""
        for name in NAMED:
            self._wrap(os, name, written=False)
        for kind in ("write_text", "write_bytes"):
            self._wrap(Path, kind, written=True)
        original = pq.write_table

        def write_table(table: Any, where: Any, **options: Any) -> Any:
            return self.run("write_table", lambda: original(table, where, **options), Path(where))

        pq.write_table = write_table
        close, opened = pq.ParquetWriter.close, pq.ParquetWriter.__init__

        def init(writer: Any, where: Any, *args: Any, **options: Any) -> None:
            writer.durian_where = Path(where)
            opened(writer, where, *args, **options)

        def closed(writer: Any) -> None:
            if writer.is_open:
                self.run("ParquetWriter.close", lambda: close(writer), writer.durian_where)

        pq.ParquetWriter.__init__, pq.ParquetWriter.close = init, closed

    def _wrap(self, owner: Any, name: str, *, written: bool) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            target = args[0] if written else None
            return self.run(name, lambda: original(*args, **options), target)

        setattr(owner, name, wrapped)


def child(order: dict[str, Any]) -> None:
    """One `durian`; never returns."""
    code = 70
    try:
        for number, path in ((1, os.devnull), (2, order["stderr"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        # A shell's background jobs ignore SIGINT, and so would a child of a test run as one.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if order["plain_figures"]:
            pipelines.rendering.page.report_figures = lambda *_: []
        if (file_size := order["file_size"]) is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
        if order["vanishing"] is not None:
            vanish, stop = Path(order["vanishing"]), None
        else:
            vanish, stop = None, order["signal"]

        def what(name: str) -> None:
            if vanish is None:
                os.kill(os.getpid(), stop)
            elif vanish.is_dir():
                shutil.rmtree(vanish)
            else:
                vanish.unlink()

        operations = Operations(order["at"], order["when"], what)
        operations.watch()
        if order["after_seconds"] is not None:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), order["signal"]))
            signal.setitimer(signal.ITIMER_REAL, order["after_seconds"])
        sys.argv = ["durian", *order["argv"]]
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        names = operations.names
        with builtins.open(order["operations"], "w") as file:
            json.dump(names, file)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threads = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 1
    print(json.dumps(threads), file=replies, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        _, status, _ = os.wait4(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), file=replies, flush=True)
