"""Small valid images of every format that is decoded, and seeded mutations of them."""

import io
import random
import warnings

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIDE = 16
_RNG = np.random.default_rng(5)
COLOR = Image.fromarray(_RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
GRAY = COLOR.convert("L")
RAW = GRAY.tobytes()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Pillow will drop IM
        # A copy: Pillow leaves settings of its JPEG encoder on what it saved, and stumbles on them.
        image.copy().save(file, kind, **options)
    return file.getvalue()


def bmp_rle(data: bytes) -> bytes:
    """A BMP of a palette, its pixels as runs: each of length 1, as a pair of bytes."""
    start = int.from_bytes(data[10:14], "little")
    rows = [data[at : at + SIDE] for at in range(start, len(data), SIDE)]
    runs = b"".join(b"".join(b"\1%c" % pixel for pixel in row) + b"\0\0" for row in rows) + b"\0\1"
    head = bytearray(data[:start])
    head[30:34], head[34:38] = (1).to_bytes(4, "little"), len(runs).to_bytes(4, "little")
    return bytes(head) + runs


def valid() -> dict[str, bytes]:
    """Files by a name, in the modes and compressions that take a decoder of their own."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "text " * 50, zip=True)
    text.add_itxt("more", "text " * 50, zip=True)
    frames = [COLOR.rotate(90 * turn) for turn in range(3)]
    moving = {"save_all": True, "append_images": frames}
    pages = {"save_all": True, "append_images": [frame.copy() for frame in frames]}
    deep = Image.fromarray(_RNG.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16))
    alpha, palette, bits = COLOR.convert("RGBA"), COLOR.convert("P"), GRAY.convert("1")
    files = {
        "png": encoded(COLOR, "PNG", pnginfo=text, icc_profile=profile, exif=exif),
        "png 16": encoded(deep, "PNG"),
        "png palette": encoded(palette, "PNG", transparency=bytes([0, 128])),
        "png 1": encoded(bits, "PNG"),
        "apng": encoded(alpha, "PNG", **moving),
        "jpeg": encoded(COLOR, "JPEG", icc_profile=profile, exif=exif, comment=b"hello"),
        "jpeg progressive": encoded(COLOR, "JPEG", progressive=True),
        "jpeg cmyk": encoded(COLOR.convert("CMYK"), "JPEG"),
        "mpo": encoded(COLOR, "MPO", **moving),
        "gif": encoded(palette, "GIF", transparency=3, comment=b"hello"),
        "gif moving": encoded(palette, "GIF", **moving),
        "webp": encoded(COLOR, "WEBP", icc_profile=profile, exif=exif),
        "webp lossless": encoded(alpha, "WEBP", lossless=True),
        "webp moving": encoded(alpha, "WEBP", **moving),
        "tiff float": encoded(GRAY.convert("F"), "TIFF"),
        "tiff cmyk": encoded(COLOR.convert("CMYK"), "TIFF"),
        "tiff group4": encoded(bits, "TIFF", compression="group4"),
        "tiff pages": encoded(COLOR, "TIFF", **pages),
        "ppm 1": encoded(bits, "PPM"),
        "ppm text": b"P3 16 16 255\n" + b" ".join(b"%d" % value for value in COLOR.tobytes()),
        "ppm of 100": b"P6 16 16 100\n" + COLOR.point(lambda value: value * 100 // 255).tobytes(),
        "pgm": encoded(GRAY, "PPM"),
        "bmp palette": encoded(palette, "BMP"),
        "bmp rle": bmp_rle(encoded(palette, "BMP")),
    }
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        files[f"tiff {compression}"] = encoded(COLOR, "TIFF", compression=compression)
    for kind in ("BMP", "PPM", "AVIF"):
        files[kind.lower()] = encoded(COLOR, kind)
    return files


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One file, damaged: bits, fields, ends, pieces of itself or of another."""
    work = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3))):
        # Half of the damage to the header, where decisions are made.
        near = min(len(work), rng.choice((32, 256, 1 << 30, 1 << 30)))
        at = rng.randrange(near) if near else 0
        match rng.randrange(7):
            case 0 if work:
                for _ in range(rng.randrange(1, 9)):
                    work[rng.randrange(near)] ^= 1 << rng.randrange(8)
            case 1:
                width = rng.choice((1, 2, 4, 8))
                high = (1 << (8 * width)) - 1
                value = rng.choice((0, 1, high, high >> 1, (high >> 1) + 1, 30_000 & high))
                work[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
            case 2:
                del work[at:]
            case 3:
                del work[at : at + rng.randrange(1, 65)]
            case 4:
                start = rng.randrange(len(data))
                work[at:at] = data[start : start + rng.randrange(1, 257)]
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                piece = other[start : start + rng.randrange(1, 257)]
                work[at : at + len(piece)] = piece
            case _:
                work[at:at] = bytes([rng.randrange(256)]) * rng.choice((1, 16, 4096))
    return bytes(work)
