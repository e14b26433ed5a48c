"""One dataset of every kind of damage: a reason for each row, and the rows between unharmed."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from durian.measuring.decoding import decoded
from durian.measuring.look import Look
from durian.run.progress import Silent
from durian.samples import Sample
from tests.images.image_corpus import COLOR, GRAY, encoded

LIMIT = 10**6
CANNOT = "cannot decode image: "
PNG, JPEG, GIF = encoded(GRAY, "PNG"), encoded(COLOR, "JPEG"), encoded(GRAY, "GIF")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """The gray PNG with a chunk after its header, which is 8 + 25 bytes long."""
    return PNG[:33] + chunk(kind, data) + PNG[33:]


def png_header(width: int, height: int) -> bytes:
    """The gray PNG, its header promising another size."""
    return PNG[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + PNG[24:29]) + PNG[33:]


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    """A little-endian TIFF of (tag, type, count, value) alone, and 64 bytes of data."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 68


def with_exif(exif: bytes) -> bytes:
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]


ZEROS = zlib.compress(bytes(200 << 20), 9)  # 200 MiB in 200 KiB
SIZE = [(256, 4, 1, 8), (257, 4, 1, 8)]  # width and height: 8 x 8

# What is wrong with the image, and how its error begins: None where the pixels are good.
DAMAGED = {
    "no bytes": (b"", CANNOT + "no data"),
    "zero bytes": (bytes(1000), CANNOT + "not a known image format"),
    "text named .png": (b"version https://git-lfs.github.com/spec/v1\n", CANNOT + "it is a Git"),
    "a web page": (b"<!DOCTYPE html><title>404</title>", CANNOT + "it is an HTML page"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", CANNOT + "it is SVG"),
    "an EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", CANNOT + "it is EPS"),
    "signature alone": (PNG[:8], CANNOT),
    "truncated PNG": (PNG[: len(PNG) // 2], CANNOT + "truncated file"),
    "truncated JPEG": (JPEG[:-50], CANNOT + "truncated file"),
    "truncated GIF": (GIF[: len(GIF) // 2], CANNOT),
    "0 x 0": (png_header(0, 0), CANNOT),
    "0 x 0 GIF": (GIF[:6] + bytes(4) + GIF[10:], None),  # its frame says 16 x 16, and is shown
    "30,000 x 30,000": (
        png_header(30_000, 30_000),
        "image has 900000000 pixels (30000 x 30000), more than the limit of 1000000",
    ),
    "the largest header": (png_header(2**31 - 1, 2**31 - 1), "image has 46116860141"),
    "more pixels than the limit": (encoded(Image.new("1", (1001, 1000)), "PNG"), "image has 1001"),
    "GIF frame beyond its screen": (
        GIF[: GIF.index(b",")] + b"," + struct.pack("<HHHH", 0, 0, 5_000, 5_000)
        + GIF[GIF.index(b",") + 9 :],
        "image has 25000000 pixels (5000 x 5000)",
    ),
    "float": (encoded(GRAY.convert("F"), "TIFF"), CANNOT + "float pixels have no gray levels"),
    "zTXt bomb": (with_chunk(b"zTXt", b"x\0\0" + ZEROS), CANNOT),
    "iTXt bomb": (with_chunk(b"iTXt", b"x\0\1\0\0\0" + ZEROS), CANNOT),
    "ICC bomb": (with_chunk(b"iCCP", b"x\0\0" + ZEROS), CANNOT),
    "pixel data bomb": (
        PNG[:33] + chunk(b"IDAT", ZEROS) + chunk(b"IEND", b""), None,  # what fits is taken
    ),
    "TIFF tag of 4 billion values": (tiff(*SIZE, (273, 4, 2**32 - 1, 8)), CANNOT),
    "TIFF that is its own next page": (
        tiff(*SIZE)[:34] + struct.pack("<I", 8) + bytes(64), CANNOT,
    ),
    "EXIF that ends early": (with_exif(b"Exif\0\0II*\0\xff\xff\xff\xff"), CANNOT + "Corrupt EXIF"),
    "EXIF that is noise": (with_exif(b"Exif\0\0noise noise noise"), None),
    "EXIF of nothing": (with_exif(b"Exif\0\0"), None),
    "bad ICC": (encoded(COLOR, "PNG", icc_profile=b"no profile"), None),
    "6 MB of comments": (JPEG[:2] + (b"\xff\xfe\xff\xff" + b"a" * 65533) * 100 + JPEG[2:], None),
    "1 x 1": (encoded(Image.new("L", (1, 1), 7), "PNG"), None),
    "16-bit": (encoded(Image.fromarray(np.full((4, 4), 4660, np.uint16)), "PNG"), None),
    "CMYK": (encoded(COLOR.convert("CMYK"), "JPEG"), None),
    "animated": (encoded(GRAY, "GIF", save_all=True, append_images=[GRAY.rotate(90)] * 3), None),
    "more after its end": (PNG + b"PK\x03\x04" * 100, None),
}  # fmt: skip


@pytest.fixture(scope="module")
def looks() -> dict[str, Look]:
    """What was seen of all the damaged images, a good one after each."""
    images = {}
    for name, (data, _) in DAMAGED.items():
        images |= {name: data, f"after {name}": PNG}
    samples = [
        Sample(sample_id=name, row=row, problem="", answer="", images=(data,))
        for row, (name, data) in enumerate(images.items())
    ]
    found = decoded(samples, keep=True, pixel_limit=LIMIT, workers=2, progress=Silent())
    seen = [look for _, look in found]
    return dict(zip(images, seen, strict=True))


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_a_reason_of_its_row_alone(looks, name):
    _, error = DAMAGED[name]
    seen = looks[name]
    if error is None:
        assert seen.error is None and len(seen.decoded) == 1
    else:
        assert seen.error is not None and seen.error.startswith(error)
        assert not seen.decoded and len(seen.error) < 200
    after = looks[f"after {name}"]
    assert after.error is None and (after.width, after.height) == (16, 16)


def test_the_good_among_them_show_what_was_planted(looks):
    one, deep = looks["1 x 1"], looks["16-bit"]
    assert (one.width, one.height, one.decoded[0].gray_histogram[7]) == (1, 1, 1)
    assert one.images[0].getpixel((0, 0)) == (7, 7, 7)
    assert deep.images[0].getpixel((0, 0)) == (18, 18, 18)  # 4660 >> 8
    first = looks["animated"].images[0].convert("L")
    assert np.array_equal(np.asarray(first), np.asarray(GRAY))  # of four frames
