"""Waiting for what another process writes, without taking the core that it needs."""

import subprocess
import time
from collections.abc import Callable


def wait_until(process: subprocess.Popen, holds: Callable[[], bool]) -> None:
    """Look a hundred times a second; the process must be running until it holds."""
    while not holds():
        assert process.poll() is None
        time.sleep(0.01)
