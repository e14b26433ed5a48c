"""Decode one image in this process, or say why not. Thread-safe; changes no state of Pillow.

`decode.py` decides which images are decoded in which process. Images are opened by Pillow's format
plugins rather than by `Image.open`: that one measures every header against a process-wide limit
and warns or raises on it, where ours is an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from struct import error as StructError

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from durian.samples import Failed

Image.preinit()  # first, for Pillow's own order of plugins: the common formats before the rare
Image.init()

# Formats whose decoders the whole world feeds with hostile data, and those decoders by Pillow's
# names. The others of Pillow are rare, or slow loops in Python (plain PPM, RLE in BMP).
_TRIED = ("BMP", "DIB", "GIF", "JPEG", "PPM", "PNG", "TIFF", "WEBP")
_TRIED_DECODERS = {"raw", "jpeg", "zip", "gif"}  # WebP names none before it is loaded
_TRIED_BYTES = 32 << 20  # a header of millions of comments takes half a second a megabyte
_TRIED_SCANS = 50  # of a progressive JPEG, which has 10; each goes over all pixels again

# Not EPS: reading it runs Ghostscript, a program, on data from the net.
_FORMATS = (*_TRIED, *(name for name in Image.ID if name not in (*_TRIED, "EPS")))

_ORIENTATION = 0x0112  # Exif tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImage:
    """What the first frame of an image shows."""

    width: int  # pixels, as stored: before an Exif orientation is applied
    height: int
    gray_histogram: NDArray[np.int64]  # (256,) pixels of each gray level
    rgb: Image.Image | None  # upright, for the policy; None where it is not needed


def decode_image(data: bytes, *, pixel_limit: int, keep: bool) -> DecodedImage | Failed:
    """Decode the first frame, at full size, to a gray histogram and, if `keep`, to RGB.

    Gray is Pillow's `convert("L")` (ITU-R 601). Before it: 16-bit values are shifted right by 8;
    32-bit integers count as 16-bit while they fit; palettes are expanded; where there is
    transparency the image is laid over opaque white. RGB follows the same rules and then the Exif
    orientation, as `datasets.Image` does; the gray histogram does not depend on it.

    Args:
        data: an encoded image; b"" for one that could not be read.
        pixel_limit: an image whose header promises more pixels is not decoded.
        keep: whether the policy will need the image.
    Returns:
        `Failed` with a short phrase where the data cannot be decoded. Bad data never raises.
    """
    image = _decode(data, pixel_limit, keep, tried_only=False)
    return Failed("cannot decode image: not a known image format") if image is None else image


def decode_tried(data: bytes, *, pixel_limit: int, keep: bool) -> DecodedImage | Failed | None:
    """As `decode_image`, with decoders that can be trusted to end and not to crash.

    Returns:
        None for an image that needs another decoder, or is of no known format.
    """
    return _decode(data, pixel_limit, keep, tried_only=True)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone, in pixels; None where there is no readable header."""
    return _size(data, _FORMATS)


def tried_size(data: bytes) -> tuple[int, int] | None:
    """As `image_size`; None too for an image that `decode_tried` leaves to others."""
    return None if len(data) > _TRIED_BYTES else _size(data, _TRIED)


def _decode(
    data: bytes, pixel_limit: int, keep: bool, *, tried_only: bool
) -> DecodedImage | Failed | None:
    if not data:
        return Failed("cannot decode image: no data")
    if tried_only and len(data) > _TRIED_BYTES:
        return None
    try:
        image = _open(data, _TRIED if tried_only else _FORMATS)
        if image is None:
            return None
        width, height = image.size
        if width * height > pixel_limit:
            return Failed(
                f"image has {width * height} pixels ({width} x {height}), "
                f"more than the limit of {pixel_limit}"
            )
        if tried_only and not _is_tried(image, data):
            return None
        flat = _flatten(image)
        if isinstance(flat, Failed):
            return flat
        histogram = np.array(flat.convert("L").histogram(), dtype=np.int64)
        rgb = _upright(flat.convert("RGB"), image) if keep else None
    except Exception as error:  # a damaged file can raise anything, by format and by place
        return Failed(f"cannot decode image: {_phrase(error)}")
    return DecodedImage(width=width, height=height, gray_histogram=histogram, rgb=rgb)


def _size(data: bytes, formats: tuple[str, ...]) -> tuple[int, int] | None:
    try:
        image = _open(data, formats)
    except Exception:  # as in _decode, which will say why
        return None
    return None if image is None else image.size


def _is_tried(image: ImageFile, data: bytes) -> bool:
    if any(tile[0] not in _TRIED_DECODERS for tile in image.tile):
        return False
    return "progressive" not in image.info or data.count(b"\xff\xda") <= _TRIED_SCANS


def _open(data: bytes, formats: tuple[str, ...]) -> ImageFile | None:
    """Read the header with the first plugin that knows it."""
    for name in formats:
        factory, accepts = Image.OPEN[name]
        try:
            known = accepts is None or accepts(data[:16])
            if known and not isinstance(known, str):  # a text says what Pillow lacks for it
                return factory(BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, StructError):
            continue  # Pillow's way to say "not this format after all"
    return None


def _flatten(image: ImageFile) -> Image.Image | Failed:
    """8 bits a channel and nothing transparent, in a mode that converts to both L and RGB."""
    raw_mode = str(image.tile[0][3]) if image.tile else ""  # as stored; unknown once loaded
    image.load()
    if image.mode == "F":
        return Failed("cannot decode image: float pixels have no gray levels")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "LAB":
        return image.convert("RGB")
    if image.mode == "La":
        return _over_white(image.convert("LA"))
    if not image.has_transparency_data:
        return image
    transparent = image.info.get("transparency")
    if raw_mode in ("L;2", "L;4") and isinstance(transparent, int):
        # Pillow spreads 2- and 4-bit grays over 0 to 255, but not the gray that is transparent.
        image.info["transparency"] = transparent * {"L;2": 85, "L;4": 17}[raw_mode]
    elif raw_mode == "RGB;16B" and isinstance(transparent, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return _over_white(image)


def _from_16_bit(image: Image.Image) -> Image.Image | Failed:
    values = np.asarray(image)  # (height, width)
    if values.size and values.min() < 0:
        return Failed("cannot decode image: 32-bit pixels with negative values")
    if values.size and values.max() >= 1 << 16:
        return Failed("cannot decode image: 32-bit pixels with values above 65535")
    gray = (values >> 8).astype(np.uint8)
    if (transparent := image.info.get("transparency")) is not None:
        gray[values == transparent] = 255
    return Image.fromarray(gray)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA"))


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(_ORIENTATION)
    except Exception:  # damaged Exif beside good pixels: show them as stored
        return rgb
    turn = _UPRIGHT.get(orientation or 1)
    return rgb if turn is None else rgb.transpose(turn)


def _phrase(error: Exception) -> str:
    """One short line without addresses in memory, so that equal data give equal words."""
    text = re.sub(r"<[^>]*>", "", str(error))
    text = " ".join(text.split())[:100]
    if "truncated" in text.lower():
        return "truncated file"
    return text or type(error).__name__
