"""WebDataset shards: a sample is a run of members that share a key, `KEY.png` and `KEY.json`."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, zip_longest
from pathlib import PurePosixPath
from typing import Any

from durian.errors import DatasetError
from durian.places import Place
from durian.readers.head import HEAD, Head
from durian.readers.json_shapes import KeyTwice, once
from durian.readers.rows import BadRow, Rows, Wanted, first_rows

# What cannot be decoded is an image too: its row says so, rather than be asked without it.
_IMAGES = {
    "avif", "bmp", "eps", "exr", "gif", "hdr", "heic", "heif", "jfif", "jp2", "jpe", "jpeg", "jpg",
    "jxl", "pdf", "png", "ppm", "psd", "svg", "tga", "tif", "tiff", "webp",
}  # fmt: skip

_Member = tuple[str, tarfile.TarInfo]  # its key and itself
_Order = list[tuple[str, int, str]]


class WebDatasetSource:
    """A .tar file, read from front to back.

    `KEY.json` gives the columns, `KEY.NAME.txt` the column NAME, and all images of a key
    (`KEY.jpg`, or `KEY.0.png`, `KEY.1.png` by number) the images column. Members are read where
    they lie, nothing is unpacked; links, devices and sparse files are passed over.
    """

    def __init__(self, path: Place, images_column: str) -> None:
        self.name, self.folder = str(path), path.parent
        self.path, self._images_column = path, images_column

    def columns(self) -> list[str] | None:
        """The columns of the first sample that can be read."""
        with closing(self.rows([], Wanted())) as rows:
            good = (values for _, values in rows if not isinstance(values, BadRow))
            first = next(good, None)
        return None if first is None else list(first)

    def head(self) -> Head:
        """See `Source.head`."""
        return Head(self.columns() or [], first_rows(self.rows([], Wanted(stop=HEAD))))

    def light(self, columns: Sequence[str]) -> list[str]:
        """Give all columns, since a sample's members are read whole."""
        return list(columns)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """See `light`."""
        return list(columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`."""
        del columns
        position = 0
        try:
            with self.path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                end = self.path.stat().st_size
                # Members of a sample stand side by side in a shard, so `groupby` needs no more than
                # one sample in memory. A key that comes again later is a new sample, as the format
                # has it.
                for key, members in groupby(_members(tar, end), key=lambda member: member[0]):
                    if wanted.done(position):
                        break
                    if wanted.touches(position, position + 1):
                        yield position, self._values(tar, key, members)
                    position += 1
        except (tarfile.TarError, OSError, EOFError, ValueError, MemoryError) as error:
            # ValueError, MemoryError: headers of impossible sizes
            raise DatasetError(f"{self.name}: cannot be read as tar: {error}") from error
        return position

    def _values(
        self, tar: tarfile.TarFile, key: str, members: Iterator[_Member]
    ) -> Mapping[str, Any] | BadRow:
        values: dict[str, Any] = {}
        images: list[tuple[_Order, bytes]] = []
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
                if kind == "txt":
                    content = data.decode()
                else:
                    content = json.loads(data, object_pairs_hook=once)
            except KeyTwice as error:
                bad = BadRow(f"{member.name} has the key {error} twice", data)
                continue
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


def _members(tar: tarfile.TarFile, end: int) -> Iterator[_Member]:
    while (member := tar.next()) is not None:
        # Or tarfile would keep every member it has passed, and a shard has many.
        tar.members = []  # type: ignore[attr-defined]
        path = PurePosixPath(member.name)
        # A sparse member's size is a promise without data: memory for nothing.
        if not member.isfile() or member.issparse() or path.name.startswith("."):
            continue
        if member.offset_data + member.size > end:
            raise tarfile.ReadError(f"{member.name} reaches beyond the end of the file")
        yield str(path.parent / path.name.partition(".")[0]), member


def _field(member: tarfile.TarInfo) -> str:
    """Return the part of a member's name after the key: `0.png` of `folder/KEY.0.png`."""
    return PurePosixPath(member.name).name.partition(".")[2].lower()


def _natural(name: str) -> _Order:
    """Make a key that sorts `2` before `10`."""
    # Text and digits in turn; a number is compared by its count of digits first, then by the
    # digits.
    parts = re.split(r"(\d+)", name)
    digits = (part.lstrip("0") for part in parts[1::2])  # not int(): it refuses very long ones
    return [(part, len(n), n) for part, n in zip_longest(parts[::2], digits, fillvalue="")]
