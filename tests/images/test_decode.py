"""Bytes to an image or one line why not, and the bounds that no image gets past."""

import io
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from durian.images import decode as decode_module
from durian.images.decode import MOST_SCANS, DecodedImage, decode, size
from durian.measures.pixel_entropy import pixel_entropy
from durian.samples import Failed
from tests.images.image_corpus import COLOR, GRAY, SIDE, encoded

LIMIT = 10**6
CANNOT = "cannot decode image: "
JPEG, PNG, GIF = encoded(COLOR, "JPEG"), encoded(COLOR, "PNG"), encoded(GRAY, "GIF")


def why_not(data: bytes, *, limit: int = LIMIT) -> str:
    found = decode(data, pixel_limit=limit, keep=True)
    assert isinstance(found, Failed), found
    return found.error


def is_decoded(data: bytes) -> bool:
    found = decode(data, pixel_limit=LIMIT, keep=True)
    return isinstance(found, DecodedImage) and (found.width, found.height) == (SIDE, SIDE)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A gray PNG without pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG[:8] + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def segment(kind: int, data: bytes) -> bytes:
    """One segment of a JPEG."""
    return bytes([0xFF, kind]) + struct.pack(">H", len(data) + 2) + data


# What is said


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (JPEG[:-400], CANNOT + "truncated file"),
        (PNG[:-400], CANNOT + "truncated file"),
        (PNG[:8], CANNOT + "damaged PNG, or of a kind that is not read"),
        (b"", CANNOT + "no data"),
        (b"this is text in a file named x.png", CANNOT + "not a known image format"),
        # Pillow says "decoder error -2", and nothing more.
        (encoded(COLOR, "TIFF", compression="tiff_lzw").replace(b"\x80", b"\x7f", 1),
         CANNOT + "damaged data"),
    ],
)  # fmt: skip
def test_data_that_is_no_whole_image_is_a_short_phrase(data, error):
    assert why_not(data).startswith(error)


def test_any_damage_gives_an_image_or_one_line_without_an_address():
    rng = np.random.default_rng(0)
    errors = set()
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF"):
        data = encoded(COLOR, kind)
        for _ in range(40):
            broken = bytearray(data)
            for place in rng.integers(0, len(data), 3):
                broken[place] = rng.integers(0, 256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's own, on odd TIFF tags
                image = decode(bytes(broken), pixel_limit=LIMIT, keep=True)
            if isinstance(image, Failed):
                errors.add(image.error)
    assert errors
    assert all(len(error) < 200 and "\n" not in error and "0x" not in error for error in errors)


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is HEIC; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "it is HEIC; convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "it is a video; give one of its frames"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is SVG"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "it is SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is EPS"),  # runs a program
        (b"%PDF-1.7\n", "it is PDF"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n", "it is Radiance HDR, whose pixels "),
        (b"PF\n2 2\n-1.0\n" + bytes(48), "it is PFM, whose pixels are floats; convert it to 8 or"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a Git LFS pointer"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html><title>404</title>", "it is an HTML page, not an image"),
        (encoded(COLOR, "JPEG2000"), "it is JPEG 2000; convert it to PNG or JPEG"),
        (encoded(COLOR, "JPEG2000", no_jp2=True), "it is JPEG 2000; convert it to PNG or JPEG"),
        (encoded(COLOR, "TGA"), "it is TGA; convert it to PNG or JPEG"),
        (encoded(COLOR, "ICO", sizes=[(16, 16)]), "it is ICO; convert it to PNG or JPEG"),
        (b"\xff\x0a\0\0", "it is JPEG XL; convert it to PNG or JPEG"),
        (b"PK\x03\x04", "it is a compressed archive; unpack it"),
    ],
)
def test_what_is_not_decoded_is_called_by_its_name(begins, says):
    assert why_not(begins).startswith(CANNOT + says)


def test_a_float_tiff_says_that_its_pixels_are_floats():
    one = encoded(GRAY.convert("F"), "TIFF")
    # Three channels of 32 bits, which Pillow does not know: its own RGB file, relabelled.
    three = bytearray(encoded(COLOR, "TIFF"))
    tags = struct.unpack_from("<I", three, 4)[0]
    place = tags + 2 + 12 * struct.unpack_from("<H", three, tags)[0]
    for at in range(tags + 2, place, 12):
        if struct.unpack_from("<H", three, at)[0] == 278:  # rows a strip, which one strip can lack
            three[at : at + 12] = struct.pack("<HHIHH", 339, 3, 1, 3, 0)  # sample format: float
    for data in (one, bytes(three)):
        assert why_not(data) == (
            CANNOT + "float pixels have no gray levels; convert it to 8 or 16 bits a channel"
        )


# Formats


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("MPO", {"save_all": True, "append_images": [COLOR.rotate(90)]}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 100}),
        ("TIFF", {}),
        *(("TIFF", {"compression": f"tiff_{name}"}) for name in ("lzw", "deflate")),
        *(("TIFF", {"compression": name}) for name in ("packbits", "tiff_adobe_deflate", "jpeg")),
    ],
)
def test_the_formats_of_datasets_are_decoded_as_pillow_decodes_them(kind, options):
    data = encoded(COLOR, kind, **options)
    found = decode(data, pixel_limit=LIMIT, keep=True)
    assert isinstance(found, DecodedImage) and found.rgb is not None
    with Image.open(io.BytesIO(data)) as peer:
        assert found.rgb.tobytes() == peer.convert("RGB").tobytes()
        assert found.gray_histogram.tolist() == peer.convert("L").histogram()
    assert (found.width, found.height) == size(data) == (SIDE, SIDE)


def test_a_tiff_of_another_compression_is_refused_by_the_name_of_it():
    assert why_not(encoded(COLOR, "TIFF", compression="zstd")) == (
        CANNOT + "TIFF with zstd compression; convert it to PNG"
    )


def test_what_a_library_says_of_damage_is_not_printed(tmp_path):
    lzw = encoded(COLOR, "TIFF", compression="tiff_lzw").replace(b"\x80", b"\x7f", 1)
    script = (
        "import sys\n"
        "from durian.images.decode import decode\n"
        "print(decode(sys.stdin.buffer.read(), pixel_limit=1000, keep=False))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], input=lzw, capture_output=True)
    assert ran.stdout.startswith(b"Failed(") and ran.stderr == b""


# Bounds


@pytest.mark.parametrize("sides", [(30_000, 30_000), (13_500, 13_500), (1001, 1000)])
def test_a_bomb_is_refused_by_its_header(sides):
    # 30,000 x 30,000 is where Pillow's own check raises, 13,500 x 13,500 where it warns.
    width, height = sides
    bomb = png_header(width, height)
    assert why_not(bomb) == (
        f"image has {width * height} pixels ({width} x {height}), more than the limit of 1000000; "
        "raise it with --pixel-limit"
    )
    assert size(bomb) == sides


def test_an_image_of_just_the_limit_is_decoded():
    data = encoded(Image.new("L", (1000, 1000)), "PNG")
    found = decode(data, pixel_limit=LIMIT, keep=False)
    assert isinstance(found, DecodedImage) and found.gray_histogram[0] == 10**6


def test_a_file_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(decode_module, "LARGEST_BYTES", len(PNG))
    assert is_decoded(PNG)
    assert why_not(PNG + b"\0") == (
        f"image has {len(PNG) + 1} bytes, more than the limit of {len(PNG)}; save it compressed or "
        "smaller"
    )


def test_a_jpeg_of_many_scans_is_refused_and_a_film_that_follows_is_not_counted():
    data = encoded(COLOR, "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    few, many = (data[:-2] + scan * more + data[-2:] for more in (20, MOST_SCANS))
    assert is_decoded(few)
    assert why_not(many) == CANNOT + "JPEG of over 50 scans; convert it to PNG"
    for image in (data, JPEG):
        assert is_decoded(image + b"\xff\xda" * 100)  # a phone's moving picture
    comment = segment(0xFE, b"\xff\xda" * 100)
    assert is_decoded(JPEG[:2] + comment + JPEG[2:])
    # Not progressive, but in scans all the same.
    baseline = JPEG[:-2] + JPEG[JPEG.rindex(b"\xff\xda") : -2] * MOST_SCANS + JPEG[-2:]
    assert why_not(baseline) == CANNOT + "JPEG of over 50 scans; convert it to PNG"


def test_a_header_in_countless_pieces_is_refused():
    # Each Exif segment is put together with those before it: quadratic, were it read to the end.
    short = segment(0xE1, b"Exif\0\0" + b"x")
    assert is_decoded(JPEG[:2] + short * 1000 + JPEG[2:])
    reason = CANNOT + "too much beside its pixels, or in too many pieces"
    assert why_not(JPEG[:2] + short * 100_000 + JPEG[2:]) == reason
    long = segment(0xFE, bytes(65_533))
    assert is_decoded(JPEG[:2] + long * 100 + JPEG[2:])  # 6.5 MB
    assert why_not(JPEG[:2] + long * 200 + JPEG[2:]) == reason
    comments = b"\x21\xfe\x01x\0" * 100_000
    assert why_not(GIF[: GIF.index(b",")] + comments + GIF[GIF.index(b",") :]) == reason


def overlapping_tags(count: int, width: int) -> bytes:
    """TIFF tags with values that are all the same bytes, those after the tags."""
    start = 8 + 2 + 12 * count + 4
    tags = b"".join(struct.pack("<HHII", 1000 + n, 1, width, start) for n in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + tags + bytes(4) + bytes(width)


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "WEBP", "PNG"])
def test_tags_whose_values_overlap_do_not_fill_the_memory(kind):
    # 40,000 tags of 4 MB each: 160 GB, were they all read. Pillow bounds them, from 13 on.
    exif = overlapping_tags(40_000, 4 << 20)
    if kind == "TIFF":
        why_not(exif)
    elif kind == "JPEG":
        pieces = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
        data = b"".join(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)
        assert is_decoded(JPEG[:2] + data + JPEG[2:])
    else:
        assert is_decoded(encoded(COLOR, kind, exif=exif))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20  # KiB


def test_tiles_that_are_far_larger_than_their_image_are_refused():
    data = bytearray(encoded(COLOR, "TIFF", compression="tiff_lzw"))
    tags = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, tags)[0]
    entries = [bytes(data[at : at + 12]) for at in range(tags + 2, tags + 2 + 12 * count, 12)]
    for tag in (322, 323):
        entries.append(struct.pack("<HHII", tag, 4, 1, 1 << 14))
    offset = next(e[8:] for e in entries if struct.unpack_from("<H", e)[0] == 273)
    length = next(e[8:] for e in entries if struct.unpack_from("<H", e)[0] == 279)
    entries += [struct.pack("<HHI", 324, 4, 1) + offset, struct.pack("<HHI", 325, 4, 1) + length]
    body = b"".join(sorted(entries, key=lambda entry: struct.unpack_from("<H", entry)[0]))
    tiled = data[:4] + struct.pack("<I", len(data)) + data[8:]
    tiled += struct.pack("<H", len(entries)) + body + bytes(4)
    assert why_not(bytes(tiled)) == (
        CANNOT + "TIFF with tiles far larger than the image; convert it to PNG"
    )


def test_what_pillow_decodes_in_python_has_a_bound_of_its_own(monkeypatch):
    text = b"P2 16 16 255 " + b"7 " * 256
    odd = b"P5 16 16 100 " + bytes(256)
    rle = encoded(GRAY, "BMP")
    rle = rle[:30] + (1).to_bytes(4, "little") + rle[34:]  # BI_RLE8
    assert is_decoded(text) and is_decoded(odd)
    monkeypatch.setattr(decode_module, "MOST_SLOW", 255)
    for data, name in (
        (text, "PPM written as text"),
        (odd, "PPM of an unusual largest value"),
        (rle, "BMP with run-length compression"),
    ):
        assert why_not(data) == f"{CANNOT}{name}, too large for it; convert it to PNG"


def test_size_by_the_header_alone():
    assert size(encoded(COLOR.resize((30, 40)), "JPEG")[:700]) == (30, 40)
    assert size(b"no image") is size(b"") is size(PNG[:8]) is None


# Threads


def test_threads_give_what_one_gives():
    data = [JPEG, PNG, PNG[:-400], b""] * 50

    def entropy(item: bytes) -> float | str:
        image = decode(item, pixel_limit=LIMIT, keep=True)
        return image.error if isinstance(image, Failed) else pixel_entropy(image.gray_histogram)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(entropy, data)) == [entropy(item) for item in data]
