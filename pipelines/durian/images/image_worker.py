"""The child process that decodes what could hang or crash: requests in, replies out.

Run by `image_process.py`. The kernel ends it when an image takes too long, whatever the decoder
does, and refuses it memory beyond what the pixels that the header promises could need.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

from durian.images.pixels import decode_image, image_size
from durian.samples import Failed

# Whether only the size is asked for, and whether RGB is; pixel limit; seconds; bytes that follow.
REQUEST = struct.Struct("<??QdQ")

MEMORY_BYTES = 512 << 20  # for one image, beyond what the process has before it
MEMORY_A_PIXEL = 64  # bytes more: planes of 32 bits, RGBA, white beneath it, RGB, and their copies


def main() -> None:
    """Say `"ready"`, then answer until standard input ends."""
    # What a library prints must not be taken for a reply.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _reply(replies, "ready", b"")
    while head := sys.stdin.buffer.read(REQUEST.size):
        size_only, keep, pixel_limit, seconds, length = REQUEST.unpack(head)
        data = sys.stdin.buffer.read(length)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _limit_memory(MEMORY_BYTES)
        message: Any = image_size(data)
        rgb = b""
        if not size_only:
            message, rgb = _decoded(data, message, pixel_limit, keep)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _reply(replies, message, rgb)


def _decoded(
    data: bytes, size: tuple[int, int] | None, pixel_limit: int, keep: bool
) -> tuple[Any, bytes]:
    pixels = size[0] * size[1] if size else 0
    if pixels <= pixel_limit:
        _limit_memory(MEMORY_BYTES + MEMORY_A_PIXEL * pixels)
    image = decode_image(data, pixel_limit=pixel_limit, keep=keep)
    if isinstance(image, Failed):
        return {"error": image.error}, b""
    rgb = image.rgb
    message = {
        "width": image.width,
        "height": image.height,
        "gray": image.gray_histogram.tolist(),
        "rgb": None if rgb is None else rgb.size,
    }
    return message, b"" if rgb is None else rgb.tobytes()


def _limit_memory(more: int) -> None:
    if sys.platform == "linux":  # elsewhere RLIMIT_AS is refused, or means nothing
        with open("/proc/self/statm") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = now + more
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _reply(replies: BinaryIO, message: object, rgb: bytes) -> None:
    replies.write(json.dumps([len(rgb), message]).encode() + b"\n")
    replies.write(rgb)
    replies.flush()


if __name__ == "__main__":
    main()
