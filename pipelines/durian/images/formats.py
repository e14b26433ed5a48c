"""The kind of an image by its first bytes: a format that is decoded, or the name of what it is."""

from __future__ import annotations

import re

# How files of each format that is decoded begin. The other formats of Pillow are rare in datasets,
# and their decoders little used: some run programs, loop in Python, or can be made to hang.
_DECODED = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\0\*|MM\*\0|II\+\0|MM\0\+",
    "AVIF": rb"....ftyp(?:avif|avis|(?:mif1|msf1).{4}(?:....)*?avi[fs])",
    "PPM": rb"P[1-6]\s",
}

_CONVERT = "convert it to PNG or JPEG"
_FLOAT = "convert it to 8 or 16 bits a channel"

# How other files begin, what they are, and the way out. The first that fits is named, so special
# beginnings stand before general ones: HEIC before all else that is `ftyp` and thus a video.
_OTHERS = (
    (rb"version https://git-lfs\.github\.com/", "a Git LFS pointer in place of the image",
     "fetch that with `git lfs pull`"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head)",
     "an HTML page, not an image", "download the image again"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?)?<(?:!doctype svg|svg)", "SVG, which is a drawing",
     _CONVERT),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS, which is a program", _CONVERT),
    (rb"%PDF-", "PDF", _CONVERT),
    (rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", "HEIC", _CONVERT),
    (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video", "give one of its frames as an image"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", _CONVERT),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", _CONVERT),
    (rb"#\?RADIANCE|#\?RGBE", "Radiance HDR, whose pixels are floats", _FLOAT),
    (rb"P[Ff]\s", "PFM, whose pixels are floats", _FLOAT),
    (rb"\x76\x2f\x31\x01", "OpenEXR, whose pixels are floats", _FLOAT),
    (rb"\x93NUMPY", "a NumPy array", _CONVERT),
    (rb".{128}DICM", "DICOM", _CONVERT),
    (rb"SIMPLE  =", "FITS", _CONVERT),
    (rb"P7\s", "PAM", _CONVERT),
    (rb"8BPS", "PSD", _CONVERT),
    (rb"\0\0[\x01\x02]\0", "ICO", _CONVERT),
    (rb"icns", "ICNS", _CONVERT),
    (rb"qoif", "QOI", _CONVERT),
    (rb"DDS ", "DDS", _CONVERT),
    (rb"\x01\xda[\0\x01][\x01\x02]", "SGI", _CONVERT),
    (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "PCX", _CONVERT),
    (rb"/\* XPM \*/", "XPM", _CONVERT),
    (rb"\s*#define \w+_width", "XBM", _CONVERT),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "WMF or EMF, which are drawings", _CONVERT),
    (rb"PK\x03\x04|\x1f\x8b|\x28\xb5\x2f\xfd", "a compressed archive", "unpack it"),
)  # fmt: skip

_HEAD_BYTES = 1024  # looked at
_DECODED_RE = re.compile(
    b"|".join(b"(?P<%s>%s)" % (name.encode(), begins) for name, begins in _DECODED.items()),
    re.DOTALL,
)
_OTHERS_RE = [
    (re.compile(begins, re.DOTALL | re.IGNORECASE), f"it is {name}; {way_out}")
    for begins, name, way_out in _OTHERS
]


def format_of(data: bytes) -> str | None:
    """Pillow's name of the format, if it is one that is decoded."""
    found = _DECODED_RE.match(data[:_HEAD_BYTES])
    return found.lastgroup if found else None


def why_not(data: bytes) -> str:
    """Name the format of data that is not decoded, and the way out, in a short phrase."""
    if data[-18:].startswith(b"TRUEVISION-XFILE"):  # before what begins with a few zeros
        return f"it is TGA; {_CONVERT}"
    head = data[:_HEAD_BYTES]
    for begins, phrase in _OTHERS_RE:
        if begins.match(head):
            return phrase
    return "not a known image format"
