"""Small valid images of every format that Pillow reads, and seeded mutations of them."""

import io
import random
import struct
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


def written() -> dict[str, bytes]:
    """What Pillow writes, in the modes and compressions that take a decoder of their own."""
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
        "icns": encoded(alpha.resize((64, 64)), "ICNS"),
        "ico png": encoded(alpha, "ICO", sizes=[(16, 16)]),
        "ico bmp": encoded(alpha, "ICO", sizes=[(16, 16)], bitmap_format="bmp"),
        "jp2": encoded(COLOR, "JPEG2000"),
        "j2k": encoded(COLOR, "JPEG2000", no_jp2=True),
        "dds dxt5": encoded(alpha, "DDS", pixel_format="DXT5"),
        "tga rle": encoded(COLOR, "TGA", compression="tga_rle"),
        "spider": encoded(GRAY.convert("F"), "SPIDER"),
        "xbm": encoded(bits, "XBM"),
        "msp": encoded(bits, "MSP"),
        "ppm 1": encoded(bits, "PPM"),
        "pgm": encoded(GRAY, "PPM"),
        "pfm": encoded(GRAY.convert("F"), "PPM"),
        "blp": encoded(palette, "BLP"),
        "bmp palette": encoded(palette, "BMP"),
    }
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        files[f"tiff {compression}"] = encoded(COLOR, "TIFF", compression=compression)
    for kind in ("BMP", "DIB", "PPM", "TGA", "PCX", "SGI", "IM", "QOI", "DDS", "AVIF"):
        files[kind.lower()] = encoded(COLOR, kind)
    return files


def by_hand(files: dict[str, bytes]) -> dict[str, bytes]:
    """What Pillow reads and does not write."""
    fits = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {SIDE}", f"NAXIS2  = {SIDE}")
    cards = "".join(f"{card:<80}" for card in (*fits, "END")).encode()
    frame = struct.pack("<IH", 6 + len(RAW), 16) + RAW  # FLI_COPY
    frame = struct.pack("<IHH8x", 16 + len(frame), 0xF1FA, 1) + frame
    fli = struct.pack("<IHHHHHHI", 128 + len(frame), 0xAF12, 1, SIDE, SIDE, 8, 3, 70)
    mcidas = [0] * 64  # words of an area file, from 1 in its description
    mcidas[1], mcidas[8], mcidas[9], mcidas[10], mcidas[13] = 4, SIDE, SIDE, 1, 1
    mcidas[33] = 256
    pixar = bytearray(1024)
    pixar[:4] = b"\x80\xe8\0\0"
    struct.pack_into("<HH", pixar, 416, SIDE, SIDE)
    struct.pack_into("<HH", pixar, 424, 14, 2)
    xpm = [f"{SIDE} {SIDE} 2 1", "a c #ff0000", "b c #00ff00", *["ab" * (SIDE // 2)] * SIDE]
    planes = b"".join(plane.tobytes() for plane in COLOR.split())
    return {
        "cur": b"\0\0\2\0" + files["ico bmp"][4:],
        "dcx": struct.pack("<III", 0x3ADE68B1, 12, 0) + files["pcx"],
        "fits": cards.ljust(2880) + RAW,
        "fli": fli.ljust(128, b"\0") + frame,
        "ftex": b"FTEX" + struct.pack("<iiiiiii", 1, SIDE, SIDE, 1, 1, 1, 32)
        + struct.pack("<i", len(planes)) + COLOR.tobytes(),
        "gbr": struct.pack(">IIIII4sI", 32, 2, SIDE, SIDE, 1, b"GIMP", 10) + b"dry\0" + RAW,
        "imt": f"width {SIDE}\nheight {SIDE}\npixel n8\n\x0c".encode() + RAW + b" " * 100,
        "mcidas": struct.pack(">64i", *mcidas) + RAW,
        "pcd": b"\0" * 2048 + b"PCD_".ljust(96 * 2048 - 2048, b"\0") + b"\x80" * (768 * 768),
        "pixar": bytes(pixar) + COLOR.tobytes(),
        "psd": b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, SIDE, SIDE, 8, 3)
        + struct.pack(">IIIH", 0, 0, 0, 0) + planes,
        "sun": struct.pack(">8I", 0x59A66A95, SIDE, SIDE, 8, len(RAW), 1, 0, 0) + RAW,
        "xpm": ("/* XPM */\nstatic char *x[] = {\n" + ",\n".join(f'"{row}"' for row in xpm)
                + "\n};\n").encode(),
        "xvthumb": f"P7 332\n#END_OF_COMMENTS\n{SIDE} {SIDE} 255\n".encode() + RAW,
    }  # fmt: skip


# Formats of which Pillow reads the header alone: it needs a program that is not there, or has none.
HEADERS_ALONE = {
    "mpeg": b"\0\0\1\xb3\x01\x00\x10" + b"\0" * 64,
    "grib": b"GRIB\0\0\0\1" + b"\0" * 64,
    "bufr": b"BUFR\0\0\0\1" + b"\0" * 64,
    "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
    "wmf": struct.pack("<IHhhhhHIH", 0x9AC6CDD7, 0, 0, 0, 160, 160, 1440, 0, 0)
    + b"\x01\0\x09\0" + b"\0" * 64,
    "iptc": b"\x1c\x03\x3c\0\2\0\1\x1c\x03\x14\0\1\x10\x1c\x03\x1e\0\1\x10\x1c\x08\x0a\0\4" + RAW,
}  # fmt: skip


def valid() -> dict[str, bytes]:
    """Files that are decoded, by a name."""
    files = written()
    return files | by_hand(files)


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
