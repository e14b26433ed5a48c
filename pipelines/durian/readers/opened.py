"""Data files as bytes, compressed or not."""

from __future__ import annotations

import gzip
import io
from typing import BinaryIO, cast

import pyarrow as pa

from durian.places import Place

COMPRESSED = (".gz", ".zst")


def open_bytes(path: Place) -> BinaryIO:
    """Open a file, and unpack it while it is read if its name ends in .gz or .zst."""
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, _Unzipped(path.open("rb")))
        case ".zst":
            return io.BufferedReader(
                pa.CompressedInputStream(pa.PythonFile(path.open("rb")), "zstd")
            )
        case _:
            return path.open("rb")


class _Unzipped(gzip.GzipFile):
    """A file that is unpacked as it is read, and closed with what is packed."""

    def __init__(self, packed: BinaryIO) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


def kind_of(path: Place) -> str:
    """The ending that says what a file is, without that of its compression: .jsonl of a.jsonl.gz.

    A .ndjson file is a .jsonl file.
    """
    inner = path.with_suffix("") if path.suffix in COMPRESSED else path
    return ".jsonl" if inner.suffix == ".ndjson" else inner.suffix
