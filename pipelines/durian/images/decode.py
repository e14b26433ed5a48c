"""Decode one image where it does no harm: here, or in a process that can be ended.

Decoders that the whole world feeds with hostile data run in the caller's thread, which is fast. All
others, and images that have been at hand when a process died, are decoded apart.
"""

from __future__ import annotations

from durian.images.decoding import Slot
from durian.images.image_process import processes
from durian.images.pixels import DecodedImage, decode_tried, tried_size
from durian.samples import Failed


def decode(
    data: bytes, *, pixel_limit: int, keep: bool, slot: Slot | None = None, apart: bool = False
) -> DecodedImage | Failed:
    """As `images.decode_image`, and no decoder can hang or crash the caller for long.

    Args:
        slot: held while a decoder works in this thread.
        apart: let no decoder work in this thread.
    Raises:
        RunError: the process that decodes apart cannot be started.
    """
    if not apart:
        with slot or Slot():
            image = decode_tried(data, pixel_limit=pixel_limit, keep=keep)
        if image is not None:
            return image
    return processes().decode(data, pixel_limit=pixel_limit, keep=keep)


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone, in pixels; None where there is no readable header.

    Raises:
        RunError: the process that decodes apart cannot be started.
    """
    found = tried_size(data) if data else None
    return found or (processes().size(data) if data else None)
