"""Decode one image, or say why not, in the caller's thread: no data can hold it up for long.

A decoder cannot be ended from outside, so bounds stand before it: on bytes, on pixels, on the scans
of a JPEG, on how often and how much Pillow reads before it has a size, and on the pixels of those
encodings that Pillow decodes in Python. JPEG 2000 is left out because no bound is enough: 20 kB
that promise 65,535 quality layers keep OpenJPEG busy for minutes.

Images are opened by Pillow's format plugins rather than by `Image.open`: that one measures every
header against a process-wide limit and warns or raises on it, where ours is an argument.
Thread-safe.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, _imaging
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from durian.errors import one_line
from durian.images.formats import format_of, why_not
from durian.images.gray import FLOAT_PIXELS, flatten, upright
from durian.samples import Failed

# Both print what is wrong with a file on the terminal, unless they are told not to.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):
    ctypes.CDLL(str(_imaging.__file__)).TIFFSetErrorHandler(None)  # of libtiff

LARGEST_BYTES = 256 << 20  # of an encoded image
MOST_SCANS = 50  # of a progressive JPEG, which has 10; each goes over all pixels again
MOST_SLOW = 4 << 20  # bytes, and pixels, of an encoding that Pillow decodes in Python

# Of what Pillow reads before it knows the size: it puts some pieces together in quadratic time.
_HEADER_READS, _HEADER_BYTES = 10_000, 8 << 20
_READS = 30_000  # after that, and one more for each 2 kB: PNG comes in pieces, usually of 8 kB

# An MPO is a JPEG that others follow: as JPEG, it is its first frame.
_PLUGINS: dict[str, Callable[[BytesIO, str], ImageFile]] = {
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "PPM": PpmImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}
_WHOLE = ("AVIF", "WEBP")  # handed to a library in one piece

_SLOW = {
    "bmp_rle": "BMP with run-length compression",
    "ppm": "PPM of an unusual largest value",
    "ppm_plain": "PPM written as text",
}
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # of a segment with a length, or the end

_TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT = 322, 323, 339  # TIFF tags
MOST_TILE = 4 << 20  # pixels of a TIFF's tile, where the image has fewer: libtiff fills all of it
_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "jpeg",
                      "group3", "group4", "tiff_ccitt")  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImage:
    """The pixels of an image's first frame."""

    width: int  # pixels, as stored: before an Exif orientation is applied
    height: int
    gray_histogram: NDArray[np.int64]  # (256,) pixels of each gray level
    rgb: Image.Image | None  # upright, for the policy; None where it is not needed
    signature: bytes | None = None  # by which its near-duplicates are known, where asked for


def decode(
    data: bytes,
    *,
    pixel_limit: int,
    keep: bool,
    sign: Callable[[Image.Image], bytes] | None = None,
) -> DecodedImage | Failed:
    """Decode the first frame, at full size, to a gray histogram and, if `keep`, to RGB.

    Both follow the rules of `images.gray`; RGB follows the Exif orientation too, as
    `datasets.Image` does, and the histogram does not depend on it.

    Args:
        data: an encoded image; b"" for one that could not be read.
        pixel_limit: an image whose header promises more pixels is not decoded.
        keep: whether the policy will need the image.
        sign: makes the signature of the RGB image.
    Returns:
        `Failed` with a short phrase where the data cannot be decoded. Bad data never raises.
    """
    try:
        image = _open(data)
        if isinstance(image, Failed):
            return image
        if refused := _refused(image, data, pixel_limit):
            return Failed(refused)
        width, height = image.size
        flat = flatten(image)
        if isinstance(flat, Failed):
            return flat
        histogram = np.array(flat.convert("L").histogram(), dtype=np.int64)
        rgb = upright(flat.convert("RGB"), image) if keep or sign else None
        signature = sign(rgb) if sign and rgb else None
    except Exception as error:  # a damaged file can raise anything, by format and by place
        return Failed(f"cannot decode image: {_phrase(error)}")
    return DecodedImage(
        width=width,
        height=height,
        gray_histogram=histogram,
        rgb=rgb if keep else None,
        signature=signature,
    )


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone, in pixels; None where there is no readable header."""
    try:
        image = _open(data)
    except Exception:  # as in `decode`, which will say why
        return None
    return None if isinstance(image, Failed) else image.size


class _EndlessHeader(Exception):
    pass


class _Bounded(BytesIO):
    """A file in memory that bounds how often and how much is read of it."""

    # Pillow's header parsers loop for as long as a file tells them to: a TIFF of endless
    # directories, or a PNG of a million empty text chunks, would keep a thread for good. Each step
    # of such a loop reads, so a count of reads and bytes ends it where a clock could not.
    reads_left: float = _HEADER_READS
    bytes_left: float = _HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.reads_left -= 1
        self.bytes_left -= len(found)
        if self.reads_left < 0 or self.bytes_left < 0:
            raise _EndlessHeader("too much beside its pixels, or in too many pieces")
        return found


def _open(data: bytes) -> ImageFile | Failed:
    """Open an image by its header, or say why it cannot be."""
    if not data:
        return Failed("cannot decode image: no data")
    if len(data) > LARGEST_BYTES:
        return Failed(
            f"image has {len(data)} bytes, more than the limit of {LARGEST_BYTES}; "
            "save it compressed or smaller"
        )
    kind = format_of(data)
    if kind is None:
        return Failed(f"cannot decode image: {why_not(data)}")
    file = _Bounded(data)
    if kind in _WHOLE:
        file.bytes_left = LARGEST_BYTES
    try:
        # Until the size is known both counts are small. A format that is handed to its library in
        # one piece reads all its bytes at once, before that, so only its reads are bounded.
        image = _PLUGINS[kind](file, "")
    except SyntaxError as error:  # Pillow's way to say "not this format after all"
        if kind == "TIFF" and _is_float_tiff(data):
            return Failed(FLOAT_PIXELS)
        return Failed(
            f"cannot decode image: damaged {kind}, or of a kind that is not read ({_phrase(error)})"
        )
    # From here on the pixel limit bounds the work, since `_refused` comes before any pixel. Bytes
    # are free then; reads stay bounded by the length of the data, loosely for the decoders in
    # Python, which take as little as one byte at a time.
    slow = bool(image.tile) and image.tile[0][0] in _SLOW
    file.reads_left = len(data) if slow else _READS + len(data) // 2048
    file.bytes_left = float("inf")
    return image


def _refused(image: ImageFile, data: bytes, pixel_limit: int) -> str | None:
    """Give the reason why an image is not decoded though its header was read; None to decode it."""
    width, height = image.size
    pixels = width * height
    if pixels > pixel_limit:
        return (
            f"image has {pixels} pixels ({width} x {height}), more than the limit of "
            f"{pixel_limit}; raise it with --pixel-limit"
        )
    codec = image.tile[0][0] if image.tile else ""
    if codec in _SLOW and max(pixels, len(data)) > MOST_SLOW:
        return f"cannot decode image: {_SLOW[codec]}, too large for it; convert it to PNG"
    if codec == "jpeg" and _has_many_scans(data):
        return f"cannot decode image: JPEG of over {MOST_SCANS} scans; convert it to PNG"
    if isinstance(image, TiffImageFile):
        return _refused_tiff(image, pixels)
    return None


def _has_many_scans(data: bytes) -> bool:
    # A progressive JPEG is sent in scans, each of which may touch every pixel. Ten make a usual
    # picture; a few kB of empty scans over a large canvas make thousands of passes, which no limit
    # on pixels or bytes sees. So the scans are counted before anything is decoded.
    start = b"\xff\xda"
    if data.count(start) <= MOST_SCANS:  # fast, and never less than there are
        return False
    # What follows the image, such as the film of a phone's moving picture, may hold any bytes.
    # So the markers are walked as a decoder does: over each segment by its own length, over coded
    # pixels to the next marker (in these 0xff is followed by 0 or a restart, which `_MARKER` leaves
    # out), up to the end of the image.
    scans, place = 0, 2
    while (found := _MARKER.search(data, place)) and found[0] != b"\xff\xd9":
        scans += found[0] == start
        if scans > MOST_SCANS:
            return True
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


def _refused_tiff(image: TiffImageFile, pixels: int) -> str | None:
    compression = image.info.get("compression")
    if compression not in _TIFF_COMPRESSIONS:
        return f"cannot decode image: TIFF with {compression} compression; convert it to PNG"
    width, height = (image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    if width * height > max(pixels, MOST_TILE):
        return "cannot decode image: TIFF with tiles far larger than the image; convert it to PNG"
    return None


def _is_float_tiff(data: bytes) -> bool:
    """Whether the pixels of a TIFF that Pillow does not know are floats."""
    file = _Bounded(data)
    try:
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return bool(3 in tags.get(_SAMPLE_FORMAT, ()))
    except Exception:  # damaged: no more can be told
        return False


def _phrase(error: Exception) -> str:
    """Put an error into one short line without addresses, so that equal data give equal words."""
    text = one_line(re.sub(r"<[^>]*>", "", str(error)), longest=100)
    if "truncated" in text.lower():
        return "truncated file"
    if re.fullmatch(r"(decoder error )?-?\d+( when .*)?", text):
        return "damaged data"  # Pillow knows no more than the number of an error, or of a tag
    return text or type(error).__name__
