"""WebDataset shards: a sample is a run of members that share a key, `KEY.png` and `KEY.json`."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import DatasetError
from pipelines.readers.rows import BadRow, Rows, Wanted

_IMAGES = {"avif", "bmp", "gif", "jp2", "jpeg", "jpg", "png", "ppm", "tif", "tiff", "webp"}

_Member = tuple[str, tarfile.TarInfo]  # its key and itself


class WebDatasetSource:
    """A .tar file, read from front to back.

    `KEY.json` gives the columns, `KEY.NAME.txt` the column NAME, and all images of a key
    (`KEY.jpg`, or `KEY.0.png`, `KEY.1.png` by number) the images column.
    """

    def __init__(self, path: Path, images_column: str) -> None:
        self.name, self.folder = str(path), path.parent
        self._path, self._images_column = path, images_column

    def columns(self) -> list[str] | None:
        """Those of the first sample that can be read."""
        with closing(self.rows([], Wanted())) as rows:
            good = (values for _, values in rows if not isinstance(values, BadRow))
            first = next(good, None)
        return None if first is None else list(first)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """All: a sample's members are read whole."""
        return list(columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`."""
        del columns
        position = 0
        try:
            with tarfile.open(self._path, "r:") as tar:
                for key, members in groupby(_members(tar), key=lambda member: member[0]):
                    if wanted.done(position):
                        break
                    if wanted.touches(position, position + 1):
                        yield position, self._values(tar, key, members)
                    position += 1
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DatasetError(f"{self.name}: cannot be read as tar: {error}") from error
        return position

    def _values(
        self, tar: tarfile.TarFile, key: str, members: Iterator[_Member]
    ) -> Mapping[str, Any] | BadRow:
        values: dict[str, Any] = {}
        images: list[tuple[list[Any], bytes]] = []
        bad = None
        for _, member in members:
            name, _, kind = _field(member).rpartition(".")
            if kind not in _IMAGES and kind not in ("json", "txt"):
                continue
            file = tar.extractfile(member)
            data = b"" if file is None else file.read()
            if kind in _IMAGES:
                images.append((_natural(name), data))
                continue
            try:
                content = data.decode() if kind == "txt" else json.loads(data)
            except (ValueError, RecursionError):
                what = "UTF-8" if kind == "txt" else "JSON"
                bad = BadRow(f"{member.name} is not {what}", data)
                continue
            if kind == "json" and not name and isinstance(content, dict):
                values.update(content)
            else:
                values[name or kind] = content
        if images:
            images.sort(key=lambda image: image[0])
            values[self._images_column] = [data for _, data in images]
        return bad or values


def _members(tar: tarfile.TarFile) -> Iterator[_Member]:
    while (member := tar.next()) is not None:
        # Or tarfile would keep every member it has passed, and a shard has many.
        tar.members = []  # type: ignore[attr-defined]
        path = PurePosixPath(member.name)
        if member.isfile() and not path.name.startswith("."):
            yield str(path.parent / path.name.partition(".")[0]), member


def _field(member: tarfile.TarInfo) -> str:
    """What follows the key: `0.png` of `folder/KEY.0.png`."""
    return PurePosixPath(member.name).name.partition(".")[2].lower()


def _natural(name: str) -> list[Any]:
    """Sorts `2` before `10`: numbers by their length, then by their digits, however many."""
    parts = re.split(r"([0-9]+)", name)  # texts and numbers by turns
    numbers = (part.lstrip("0") for part in parts[1::2])
    parts[1::2] = [(len(digits), digits) for digits in numbers]
    return parts
