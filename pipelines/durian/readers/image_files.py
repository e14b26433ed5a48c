"""Image files that a dataset names: only those in the folders that the user has named."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from durian.errors import without_secrets
from durian.places import Place, Remote

NAME_FOLDER = "; name its folder with --image-root"
LARGEST_BYTES = 2 << 30  # of an image file; the most that a decoder can be given


class ImageFiles:
    """Reads images by the paths in a data file. What a path says is data, and may be hostile."""

    def __init__(self, base: Place, roots: Iterable[Place]) -> None:
        """Set the folders to read from, `roots`.

        Relative paths begin at `base`; where nothing is there, at the first root that has it.
        """
        roots, self.base = list(roots), str(base)
        self._bases = list(dict.fromkeys((base, *roots)))
        self._served = [root for root in roots if isinstance(root, Remote)]
        # The comparison is of real paths, so that no link and no `..` leads out, and each root ends
        # in a slash, or `/data/images` would let in `/data/images-private`.
        real = dict.fromkeys(
            os.path.realpath(folder)
            for root in roots
            if isinstance(root, Path)
            for folder in _with(root)
        )
        self._roots = tuple(os.path.join(root, "") for root in real)  # each ends in a slash

    def read(self, path: str) -> bytes | str:
        """The encoded image, or why it is not read; nothing outside the roots is opened."""
        shown = without_secrets(without_surrogates(path))
        shown = shown if len(shown) <= 100 else f"{shown[:97]}..."
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
            return self._read_address(path, shown)
        why = ""
        for base in self._bases:
            if isinstance(base, Remote):
                found = self._read_served(base, path, shown)
            else:
                found = self._read_at(str(base), path, shown)
            if isinstance(found, bytes) or os.path.isabs(path):
                return found
            why = why or found
        return why

    @property
    def served(self) -> bool:
        """Whether images may come from a server, which answers several requests at a time."""
        return bool(self._served)

    def has_link(self, path: str) -> bool:
        """Whether a relative path within its folder goes over a link, in any of its parts."""
        inner = os.path.normpath(path)
        if os.path.isabs(inner) or inner.startswith(os.pardir):
            return False
        base = os.path.realpath(self.base)
        return os.path.realpath(os.path.join(base, inner)) != os.path.join(base, inner)

    def _read_address(self, address: str, shown: str) -> bytes | str:
        # An address in a data file is the word of whoever wrote it: taken at its word it would have
        # this machine ask any host, with the user's credentials. The user names what may be asked.
        protocol, _, rest = address.partition("://")
        for root in self._served:
            start = f"{root.root}{root.path}".rstrip("/") + "/"
            whole = f"{protocol.lower()}://{rest}"
            if whole.startswith(start):
                return self._read_served(root, whole.removeprefix(start), shown)
        if not self._served:
            return "image is a URL; name its folder with --image-root"
        return f"image is a URL outside the dataset folder: {shown}{NAME_FOLDER}"

    def _read_served(self, base: Remote, path: str, shown: str) -> bytes | str:
        query = ""
        if base.root.startswith("http"):
            path, question, query = path.partition("?")
            query = question + query
        target = replace(
            base,
            path=PurePosixPath(posixpath.normpath(base.path / path)),
            query=query or base.query,
        )
        inside = any(
            root.root == target.root and root.path in target.path.parents for root in self._served
        )
        # A web server takes %2e%2e for `..`, after this comparison.
        if not inside or ".." in unquote(path).split("/"):
            return f"image path leaves the dataset folder: {shown}{NAME_FOLDER}"
        try:
            data = target.read_bytes(LARGEST_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"image not found: {shown}"
        except PermissionError:
            return f"image may not be read: {shown}"
        if len(data) > LARGEST_BYTES:
            return f"image file has more than {LARGEST_BYTES} bytes: {shown}"
        return data

    def _read_at(self, base: str, path: str, shown: str) -> bytes | str:
        try:
            # An absolute path swallows the base in this join, and is then held against the roots as
            # any other. The real path is what is opened, not the one that was given.
            real = os.path.realpath(os.path.join(base, path))  # links followed
            if not real.startswith(self._roots):
                return f"image path leaves the dataset folder: {shown}{NAME_FOLDER}"
            return _read(real, shown)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
            return f"image not found: {shown}"
        except OSError as error:
            return f"image cannot be read: {shown} ({error.strerror})"


def _read(real: str, shown: str) -> bytes | str:
    with open(real, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return f"image is not a file: {shown}"
        if status.st_size > LARGEST_BYTES:
            return f"image file has {status.st_size} bytes, more than {LARGEST_BYTES}: {shown}"
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a pipe would be waited for without end


def _with(root: Path) -> list[Path]:
    """A folder, and the blobs that it links to if it is a snapshot in the cache of the Hub."""
    real = root.resolve()
    for folder in (real, *real.parents):
        if folder.parent.name == "snapshots" and (folder.parents[1] / "blobs").is_dir():
            return [root, folder.parents[1] / "blobs"]
    return [root]


def without_surrogates(text: str) -> str:
    """The text as UTF-8 can hold it: a broken JSON escape such as "\\ud800" cannot be written."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)
