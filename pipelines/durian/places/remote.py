"""A file or folder that a server has, with those methods of `pathlib.Path` that readers use.

Who reads a `Place` need not know which of the two it is. Its text has no secrets: what a name
carries before `@` and after `?` is sent to the server, and shown nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from durian.errors import DatasetError, is_address, without_secrets
from durian.places.store import Stat, Store, open_store

_CHAINED = re.compile(r"::[A-Za-z][A-Za-z0-9+.-]*://")
_WEB = ("http", "https")


@dataclass(frozen=True, order=True)
class Remote:
    """A file or folder of a server; places of one dataset share a `Store`."""

    root: str  # protocol and host, or bucket: "s3://bucket"
    path: PurePosixPath  # from there on: "/folder/file"
    store: Store = field(compare=False, repr=False)
    query: str = field(default="", compare=False, repr=False)  # of a web address, as it is signed

    def __str__(self) -> str:
        return without_secrets(f"{self.root}{self.path}")

    def __truediv__(self, name: str | PurePosixPath) -> Remote:
        return replace(self, path=self.path / name)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def suffix(self) -> str:
        return self.path.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        return self.path.parts

    @property
    def parent(self) -> Remote:
        return replace(self, path=self.path.parent)

    def with_suffix(self, suffix: str) -> Remote:
        return replace(self, path=self.path.with_suffix(suffix))

    def relative_to(self, folder: Remote) -> PurePosixPath:
        return self.path.relative_to(folder.path)

    def is_file(self) -> bool:
        """Raises: DatasetError, RunError: the server does not let it be known."""
        return self.store.is_file(self)

    def is_dir(self) -> bool:
        """Whether files lie below it: a bucket has no folders without.

        Raises:
            DatasetError, RunError: the server does not let it be known.
        """
        return bool(self.store.below(self))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file to be read by ranges.

        Raises:
            DatasetError, RunError: it cannot be read, now or (as it is read) any longer; or it is
                another than when it was opened before.
        """
        assert mode == "rb"
        return self.store.open(self)

    def read_bytes(self, most: int | None = None) -> bytes:
        """The whole file by one request, or its first bytes.

        Raises:
            FileNotFoundError: it is not there.
            PermissionError: it, though not all of its server, may not be read.
        """
        return self.store.read(self, most)

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def glob(self, pattern: str) -> Iterator[Remote]:
        """The files below this folder that match, hidden ones left out as a shell does."""
        for inner in self.store.matching(self, pattern):
            if not any(part.startswith(".") for part in PurePosixPath(inner).parts):
                yield self / inner

    def files(self) -> list[str]:
        """The ways to all files below this folder, as they were when first asked for."""
        return self.store.below(self)

    def put(self, content: Path | bytes) -> None:
        """Write the whole file. Raises: DatasetError, RunError: the server does not take it."""
        self.store.put(self, content)

    def remove(self) -> None:
        """Remove the file, if it is there."""
        self.store.remove(self)

    def stat(self) -> Stat:
        """Size and mark of the version that was opened."""
        return self.store.stat(self)

    @property
    def address(self) -> str:
        """The name as it was given: with its secrets, for the server alone."""
        return f"{self.root}{self.path}{self.query}"


Place = Path | Remote


def place_of(name: str) -> Place:
    """The file, folder or pattern that a name means; the server is not asked yet.

    Raises:
        ConfigError: a package is not installed that reads from there.
        DatasetError: no known kind of server.
    """
    if name.lower().startswith("file://"):
        return Path(unquote(urlsplit(name).path))
    if not is_address(name):
        return Path(name).expanduser()
    if _CHAINED.search(name):
        raise DatasetError(
            f"{without_secrets(name)}: one address within another (::) is not read; unpack it there"
        )
    protocol, _, rest = name.partition("://")
    query = ""
    if protocol.lower() in _WEB:  # in the names of a bucket's files both signs may stand
        rest, question, query = rest.partition("#")[0].partition("?")
        query = question + query
    host, _, path = rest.partition("/")
    if not host or "*" in host:
        raise DatasetError(
            f"{without_secrets(name)}: names no bucket or host whole; check the address"
        )
    return Remote(
        root=f"{protocol.lower()}://{host}",
        path=PurePosixPath("/", path.lstrip("/")),
        store=open_store(protocol.lower(), name),
        query=query,
    )


def globbed(pattern: Place) -> list[Place]:
    """The files that a pattern means, in a fixed order."""
    if isinstance(pattern, Path):
        found = (Path(one) for one in glob(str(pattern), recursive=True))
        return sorted(file for file in found if file.is_file())
    folder = before_magic(pattern)
    assert isinstance(folder, Remote)
    return sorted(folder.glob("/".join(pattern.parts[len(folder.parts) :])))


def before_magic(pattern: Place) -> Place:
    """The folder before the first wildcard of a pattern."""
    folder = pattern.parent
    while has_magic("/".join(folder.parts)):
        folder = folder.parent
    return folder


def walk(folder: Place) -> Iterator[tuple[Place, list[str], list[str]]]:
    """Give folders from the top down with the names of their folders and files, as `os.walk`."""
    if isinstance(folder, Path):
        for name, folders, files in os.walk(folder):
            yield Path(name), folders, files
        return
    tree: dict[PurePosixPath, tuple[set[str], list[str]]] = {PurePosixPath(): (set(), [])}
    for inner in folder.store.below(folder):
        path = PurePosixPath(inner)
        tree.setdefault(path.parent, (set(), []))[1].append(path.name)
        for above in path.parents[:-1]:
            tree.setdefault(above.parent, (set(), []))[0].add(above.name)
    yield from _walked(folder, PurePosixPath(), tree)


def _walked(
    folder: Remote, inner: PurePosixPath, tree: dict[PurePosixPath, tuple[set[str], list[str]]]
) -> Iterator[tuple[Place, list[str], list[str]]]:
    folders, files = sorted(tree[inner][0]), tree[inner][1]
    yield folder / inner, folders, files  # the caller may take folders out
    for name in folders:
        yield from _walked(folder, inner / name, tree)


def relative(place: Place, folder: Place) -> str:
    """The way from a folder to a place, as text; the whole place where they are no kin."""
    if isinstance(place, Path) and isinstance(folder, Path):
        return os.path.relpath(place, folder)
    if isinstance(place, Remote) and isinstance(folder, Remote) and place.root == folder.root:
        return os.path.relpath(place.path, folder.path)
    return str(place)
