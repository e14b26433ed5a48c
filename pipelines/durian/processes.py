"""Processes beside this one, each with a pipe to it; they end with it, however it ends.

Not multiprocessing's: a script that calls Durian without `if __name__ == "__main__"` would run
again in each of those.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from threading import Thread
from typing import Any

from durian.errors import RunError


class Beside:
    """One process that runs a function of ours, to which its end of the pipe is given."""

    def __init__(self, function: str, name: str, cores: int | None = None) -> None:
        """Start it.

        Args:
            function: `module:function`; it takes a `Connection`, and returns where that ends.
            name: by which a failure names it.
            cores: on which libraries of arrays may work in it; None for all.
        """
        self._name = name
        self.pipe, there = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if cores is not None:
            environment["OMP_NUM_THREADS"] = str(cores)
        with there:  # closed here, else its death would not show as the pipe's end
            self._process = subprocess.Popen(
                # -P: the folder that it runs in holds names that must not hide other modules.
                [sys.executable, "-P", "-m", __name__, str(there.fileno()), function],
                stdin=subprocess.PIPE,  # its end is this process's
                pass_fds=(there.fileno(),),
                start_new_session=True,  # Ctrl-C is for the parent, which then ends it
                env=environment,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def died(self) -> RunError:
        """What to tell where its pipe has ended, though it was not closed here."""
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return RunError(
            f"{self._name} died ({how}); what is finished is kept, and the same command resumes it"
        )

    def close(self) -> None:
        """End it, whatever it does: it keeps nothing."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def _main(pipe: int, function: str) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    run: Callable[[Connection], Any] = resolve_name(function)
    # Whoever started it has closed the pipe, or is gone.
    with Connection(pipe) as ours, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        run(ours)


def _end_with_parent() -> None:
    with suppress(OSError):
        os.read(0, 1)  # nothing is ever written: it ends
    os._exit(1)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])
