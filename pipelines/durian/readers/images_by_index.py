"""Images of a .tsv file that rows name by another row's index, as VLMEvalKit writes them."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, BinaryIO

import numpy as np

from durian.places import Place

_LONGEST_INDEX = 64  # characters; VLMEvalKit takes a longer cell for an image itself


class ImagesByIndex:
    """Finds the image of one row by its index. The file is read through at the first question."""

    def __init__(self, path: Place) -> None:
        self._path = path
        self._found: tuple[Any, Any] | None = None  # hashes of indices, rising; where rows begin

    def whole(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row, with the image in place of an index of one; any other row as it is."""
        named = row.get("image")
        if not named or len(named) > _LONGEST_INDEX or "index" not in row:
            return row
        image = self._image(named)
        return row if image is None else {**row, "image": image}

    def _image(self, index: str) -> str | None:
        # An image that many questions share is stored with one of them. The rows in between may be
        # gigabytes, so of all rows with an image only the place in the file is kept, 16 bytes each,
        # and the one that is named is read again.
        hashes, places = self._found = self._found or self._places()
        wanted = _hash(index)
        for at in range(int(np.searchsorted(hashes, wanted)), len(hashes)):
            if hashes[at] != wanted:
                break
            with self._path.open("rb") as file:
                header = next(_records(file))[1]
                _, cells = next(_records(file, int(places[at])))
            row = dict(zip(header, cells, strict=False))
            if row["index"] == index:
                return row["image"]
        return None

    def _places(self) -> tuple[Any, Any]:
        hashes, places = array("q"), array("q")
        # What is wrong with the file is told by the reading of its rows, which goes on behind this.
        with suppress(csv.Error, UnicodeDecodeError), self._path.open("rb") as file:
            records = _records(file)
            header = next(records)[1]
            for place, cells in records:
                row = dict(zip(header, cells, strict=False))
                if "index" in row and len(row.get("image", "")) > _LONGEST_INDEX:
                    hashes.append(_hash(row["index"]))
                    places.append(place)
        order = np.argsort(np.asarray(hashes), kind="stable")
        return np.asarray(hashes)[order], np.asarray(places)[order]


def _hash(index: str) -> int:
    return int.from_bytes(blake2b(index.encode(), digest_size=8).digest(), signed=True)


def _records(file: BinaryIO, start: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The lines of cells from a place in the file on, each with the byte that it begins at."""
    file.seek(start)
    place = start

    def lines() -> Iterator[str]:
        nonlocal place
        for line in file:
            place += len(line)
            yield line.decode("utf-8-sig")

    reader = csv.reader(lines(), delimiter="\t")
    while True:
        begun = place  # the reader takes no line before it needs it
        cells = next(reader, None)
        if cells is None:
            return
        if cells:
            yield begun, cells
