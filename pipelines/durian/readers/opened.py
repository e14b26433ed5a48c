"""Data files as bytes, compressed or not."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

COMPRESSED = (".gz", ".zst")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, and unpack it while it is read if its name ends in .gz or .zst."""
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        case ".zst":
            return io.BufferedReader(pa.CompressedInputStream(str(path), "zstd"))
        case _:
            return path.open("rb")


def kind_of(path: Path) -> str:
    """The ending that says what a file is, without that of its compression: .jsonl of a.jsonl.gz.

    A .ndjson file is a .jsonl file.
    """
    inner = path.with_suffix("") if path.suffix in COMPRESSED else path
    return ".jsonl" if inner.suffix == ".ndjson" else inner.suffix
