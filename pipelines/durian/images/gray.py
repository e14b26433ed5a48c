"""The gray rules: a decoded image as 8 bits a channel, opaque, with no other change.

Gray is Pillow's `convert("L")` (ITU-R 601) of what `flatten` gives: 16-bit values are shifted right
by 8, for Pillow alone clips them to white; 32-bit integers count as 16-bit while they fit; palettes
are expanded; where there is transparency the image is laid over opaque white.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from durian.samples import Failed

FLOAT_PIXELS = (
    "cannot decode image: float pixels have no gray levels; convert it to 8 or 16 bits a channel"
)

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


def flatten(image: Image.Image) -> Image.Image | Failed:
    """8 bits a channel and nothing transparent, in a mode that converts to both L and RGB."""
    tiles = image.tile if isinstance(image, ImageFile) else ()
    raw_mode = str(tiles[0][3]) if tiles else ""  # as stored; unknown once loaded
    image.load()
    if image.mode == "F":
        return Failed(FLOAT_PIXELS)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "LAB":
        return image.convert("RGB")
    if image.mode == "La":
        return _over_white(image.convert("LA"))
    if not image.has_transparency_data:
        return image
    # A PNG may name one gray or colour as see-through, at its own bit depth. Pillow brings the
    # pixels to 8 bits but leaves that value as it was, so it would match no pixel, or the wrong
    # ones, and the image would keep a background that nobody sees.
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
    # Compared at 16 bits: several 16-bit grays become one 8-bit gray, and only one of them is
    # see-through.
    gray = (values >> 8).astype(np.uint8)
    if (transparent := image.info.get("transparency")) is not None:
        gray[values == transparent] = 255
    return Image.fromarray(gray)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA"))


def upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    """The image turned as the Exif data of its source say."""
    try:
        orientation = source.getexif().get(_ORIENTATION)
    except Exception:  # damaged Exif beside good pixels: show them as stored
        return rgb
    turn = _UPRIGHT.get(orientation or 1)
    return rgb if turn is None else rgb.transpose(turn)
