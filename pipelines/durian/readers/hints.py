"""Look around once for images that the first rows name, and suggest the option to pass."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from durian.places import Place
from durian.readers.cells import reach
from durian.readers.columns import Columns, unread_images
from durian.readers.head import Head
from durian.readers.image_cells import image_cells
from durian.readers.image_files import ImageFiles

_MOST_FOLDERS = 200  # that are looked into, nearby


def image_hint(head: Head, columns: Columns, files: ImageFiles, folder: Place) -> str:
    """Say in which folder the images were sought, and the option that finds them, if one does.

    Args:
        folder: of the data file.
    """
    if others := unread_images(head, columns):
        return f"pass --images-column {others[0]}, which holds images"
    cells = list(_cells(head, columns))
    path = next(_paths(cells), None)
    there = path is not None and os.path.isfile(os.path.join(files.base, path))
    if None in cells and (there or path is None):
        return "leave out of each list of images what is null"
    if path is None:
        return "pass --images-column with the column that holds them"
    if "://" in path:
        return "name the folder that they lie in with --image-root, as in s3://bucket/images"
    looked = f"looked in {files.base}"
    if os.path.isabs(path):
        place = os.path.dirname(path)
        known = os.path.isdir(place)
        return f"pass --image-root {place}" if known else f"{looked}; no folder {place} is here"
    if not isinstance(folder, Path):
        return f"{looked}; name the images' folder with --image-root"
    linked = os.path.realpath(os.path.join(files.base, path))
    if os.path.isfile(linked) and files.has_link(path):  # inside by name, elsewhere by link
        return f"{looked}, where a link leads out; pass --image-root {os.path.dirname(linked)}"
    # A guess is given only where exactly one folder of a ring around the data has the file: of two
    # that have it, one would be the wrong images under the right names, which no later check can
    # see.
    for near in _nearby(folder):
        places = [place for place in near if (place / path).is_file()]
        if len(places) == 1:
            return f"{looked}; pass --image-root {places[0]}"
        if places:
            break  # any of them could be meant
    return f"{looked}; name the images' folder with --image-root"


def _cells(head: Head, columns: Columns) -> Iterator[Any]:
    """The images that the first rows hold, as they hold them."""
    for row in head.rows:
        for group in columns.images:
            for name in group:
                yield from image_cells(reach(row, name))


def _paths(cells: Iterable[Any]) -> Iterator[str]:
    for value in cells:
        if isinstance(value, dict):
            value = value.get("path") or value.get("image") or value.get("url")
        if isinstance(value, str) and len(value) < 1000:
            yield value


def _nearby(folder: Path) -> Iterator[list[Path]]:
    """The folders inside, then the one above, those beside, and the same once more."""
    for place, near in enumerate((folder, *islice(folder.absolute().parents, 2))):
        if place:
            yield [near]
        try:
            inner = sorted(entry.path for entry in os.scandir(near) if entry.is_dir())
        except OSError:
            continue
        yield list(map(Path, inner[:_MOST_FOLDERS]))
