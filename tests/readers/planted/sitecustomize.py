"""Decoders that do harm, for a Python that is started with this folder in PYTHONPATH.

`PLANTED:what` is an image in a format of its own; a PNG with the text `plant` does harm as well.
"""

import ctypes
import os
import signal
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin


def harm(what: str) -> None:
    """Crash, run for ever in Python or in C, or fill the memory."""
    if what == "crash":
        ctypes.string_at(0)  # os.kill would be noticed by any thread, at any time
    if what == "abort":
        os.abort()
    if what == "deaf":  # to its own timer
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while what in ("loop", "deaf"):
        pass
    if what == "sleep in C":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        signal.sigwait([signal.SIGUSR2])
    if what == "memory":
        bytearray(4 << 30)


class Planted(ImageFile.ImageFile):
    """A gray image of 2 x 2, once the harm is done."""

    format = "PLANTED"

    def _open(self) -> None:
        self._mode, self._size = "L", (2, 2)
        self.what = self.fp.read().removeprefix(b"PLANTED:").decode()

    def load(self) -> Any:
        harm(self.what)
        self.im = Image.core.fill("L", self._size, 255)
        self.tile = []
        return super().load()


Image.register_open("PLANTED", Planted, lambda prefix: prefix.startswith(b"PLANTED:"))

load_png = PngImagePlugin.PngImageFile.load


def load(self: Any) -> Any:
    harm(self.info.get("plant", ""))
    return load_png(self)


PngImagePlugin.PngImageFile.load = load
