"""Images as a form has them: bytes in the row, data URLs, or files beside it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from durian.exporters.base import Form
from durian.places import Place
from durian.samples import sample_id

FOLDER = "images"
_ENDINGS = (
    (b"\xff\xd8\xff", "jpg", "jpeg"),
    (b"\x89PNG", "png", "png"),
    (b"GIF8", "gif", "gif"),
    (b"BM", "bmp", "bmp"),
    (b"II", "tif", "tiff"),
    (b"MM", "tif", "tiff"),
)


class Pictures:
    """Gives each image of a row its cell, and writes the file where it is to be one."""

    def __init__(self, form: Form, *, paths: bool, folder: Path, final: Place) -> None:
        """Write to `folder`, which is renamed to `final` in the end."""
        self._form, self._paths, self._folder = form, paths, folder
        self._base = "" if form.relative else f"{final}/"
        if paths:
            (folder / FOLDER).mkdir()

    def cell(self, image: bytes) -> Any:
        """What stands in the row for an image."""
        ending, kind = _kind(image)
        if not self._paths:
            if not self._form.texts or self._form.ending == "parquet":
                return {"bytes": image, "path": None}
            return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
        # By its content: an image that many samples show is one file.
        inner = f"{FOLDER}/{sample_id('', '', [image])}.{ending}"
        if not (file := self._folder / inner).exists():
            file.write_bytes(image)
        path = f"{self._base}{inner}"
        return path if self._form.texts else {"bytes": None, "path": path}


def _kind(image: bytes) -> tuple[str, str]:
    """The ending of an image's file, and its name in a data URL."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp", "webp"
    if image[4:8] == b"ftyp":
        return "avif", "avif"
    found = ((ending, kind) for begins, ending, kind in _ENDINGS if image.startswith(begins))
    return next(found, ("img", "png"))
