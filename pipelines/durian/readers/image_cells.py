"""Cells that hold images: bytes, base64, data URIs, paths, and dicts and lists of those."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from durian.readers.cells import Field, parsed
from durian.readers.image_files import ImageFiles

_KEYS = ("bytes", "path", "image", "image_url", "url", "base64")  # of a dict, the first that it has
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{16,}={0,2}\s*", re.ASCII)
_FEWEST_BYTES = 16  # of any image file
_SIGNATURES = (
    b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ",
)  # fmt: skip


def image_cells(cell: object) -> list[object]:
    """The images of one cell, each as it stands there; none where the cell is empty."""
    if isinstance(cell, str):
        if not cell.strip():  # CSV has no other null
            return []
        inner = parsed(cell)
        cell = cell if inner is None else inner
    if isinstance(cell, dict) and _is_empty(cell):
        return []
    if cell is None:
        return []
    if isinstance(cell, list) and not _is_bytes(cell):
        return cell
    return [cell]


def read_image(value: object, files: ImageFiles) -> Field:
    """One image as a cell holds it, encoded; its file is read where it is a path."""
    if isinstance(value, dict):
        inner = next((value[key] for key in _KEYS if value.get(key) is not None), None)
        if inner is None:
            named = ", ".join(sorted(map(str, value)))[:80]
            what = "holds nothing" if _is_empty(value) else "needs bytes, path, image or url"
            return _unread(value, f"image is a dict of {named}; it {what}")
        return read_image(inner, files)
    if isinstance(value, list) and _is_bytes(value):
        try:
            return _encoded(bytes(value))
        except (ValueError, TypeError):
            return _unread(value, "image is a list of numbers that are no bytes")
    if isinstance(value, bytes):
        return _from_bytes(value)
    if isinstance(value, str):
        return _from_text(value, files)
    kind = "null" if value is None else f"of type {type(value).__name__}, not bytes or a path"
    return _unread(value, f"image is {kind}")


def looks_like_image(cell: object) -> bool:
    """Whether a cell holds an image by its content, wherever it stands; a mere path does not."""
    # To find a column of images among others, so it must not be fooled by text: a path may be the
    # path of anything, and a column `source_file` of paths would be taken for images. Only bytes,
    # base64 and data URIs that begin as an image does, and the exact struct of `datasets`, count.
    for value in image_cells(cell):
        if isinstance(value, dict):
            inner = [value[key] for key in _KEYS if value.get(key) is not None]
            if set(value) == {"bytes", "path"} and inner:  # the Image feature of `datasets`
                return True
            value = inner[0] if inner else None
        if isinstance(value, list) and _is_bytes(value):
            head = value[:16]
            value = bytes(head) if all(isinstance(n, int) and 0 <= n < 256 for n in head) else None
        if isinstance(value, bytes) and (_is_image(value) or _from_ascii(value) is not None):
            return True
        if isinstance(value, str) and (
            value.startswith("data:image/") or _decoded(value) is not None
        ):
            return True
    return False


def _is_empty(cell: dict[Any, Any]) -> bool:
    return all(value is None for value in cell.values())


def _is_bytes(cell: Sequence[object]) -> bool:
    """Whether a list is an image's bytes, as `list<uint8>` gives them."""
    # A list is several images, unless it is the bytes of one, spelled as numbers. No image file is
    # shorter than 16 bytes; a shorter list of numbers is several bad images, and says so.
    return len(cell) >= _FEWEST_BYTES and type(cell[0]) is int


def _unread(value: object, error: str) -> Field:
    return Field(b"", repr(value).encode("utf-8", "surrogatepass"), error)


def _encoded(data: bytes) -> Field:
    return Field(data, data)


def _from_bytes(data: bytes) -> Field:
    if _is_image(data):
        return _encoded(data)
    text = _from_ascii(data)
    if text is None:
        return _encoded(data)  # whatever it is, the decoder says so
    return _from_uri(text) if text.startswith("data:") else _encoded(_decoded(text) or data)


def _from_ascii(data: bytes) -> str | None:
    """The base64 or data URI that bytes spell."""
    if not data.startswith(b"data:") and not _BASE64.match(data[:64].decode("latin-1")):
        return None
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if text.startswith("data:") or _decoded(text) is not None else None


def _from_text(text: str, files: ImageFiles) -> Field:
    if text[:5].lower() == "data:":
        return _from_uri(text)
    if (data := _decoded(text)) is not None:
        return _encoded(data)
    found = files.read(text)
    if isinstance(found, str):
        return Field(b"", text.encode("utf-8", "surrogatepass"), found)
    return _encoded(found)


def _from_uri(uri: str) -> Field:
    head, comma, body = uri.partition(",")
    try:
        if not comma:
            raise ValueError
        if head.rstrip().lower().endswith(";base64"):
            return _encoded(base64.b64decode("".join(body.split()), validate=True))
        return _encoded(unquote_to_bytes(body))
    except (ValueError, binascii.Error):
        return _unread(uri, "image is a data URI that cannot be decoded")


def _decoded(text: str) -> bytes | None:
    """The image that a text of base64 spells; None for a path or any other text."""
    # A path like images/abcdefghijklmnop is made of base64's characters too, so they prove nothing:
    # the first ones must decode to the beginning of an image. The head comes first also because a
    # long text is not searched whole only to find that it is none.
    if len(text) < 24 or not _BASE64.match(text[:64]):
        return None
    head = _head(text)
    if not _is_image(head) and not head.startswith((b"<svg", b"<?xml")):
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return None


def _head(text: str) -> bytes:
    start = "".join(text[:64].split())
    try:
        return base64.b64decode(start[: len(start) // 4 * 4])
    except (ValueError, binascii.Error):
        return b""


def _is_image(data: bytes) -> bool:
    """Whether bytes begin as a known kind of image file does."""
    if data.startswith(_SIGNATURES):
        return True
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    if data[:2] == b"BM":
        return data[6:10] == b"\0\0\0\0"  # reserved
    return data[4:8] == b"ftyp"  # AVIF, HEIC
