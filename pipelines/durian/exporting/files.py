"""Rows to files as they come: Parquet with its schema given whole, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from durian.records import JsonObject

_ROWS, _BYTES = 500, 32 << 20  # of a row group at most, about


class RowFile(Protocol):
    """A file that takes rows."""

    def add(self, row: JsonObject, size: int) -> None:
        """Write a row of about so many bytes."""

    def close(self) -> None:
        """Write what is left."""


class ParquetRows:
    """Rows to a Parquet file, a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[JsonObject] = []
        self._size = 0

    def add(self, row: JsonObject, size: int) -> None:
        """See `RowFile.add`."""
        self._rows.append(row)
        self._size += size
        if len(self._rows) >= _ROWS or self._size >= _BYTES:
            self._flush()

    def close(self) -> None:
        """See `RowFile.close`."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._size = [], 0


class JsonRows:
    """Rows to JSON lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def add(self, row: JsonObject, size: int) -> None:
        """See `RowFile.add`."""
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        """See `RowFile.close`."""
        self._file.close()


def schema_of(types: Mapping[str, pa.DataType], *, decoded: bool) -> pa.Schema:
    """The schema of a file.

    Args:
        decoded: the column `images` is marked as images, which `datasets` then decodes.
    """
    schema = pa.schema(list(types.items()))
    if not decoded:
        return schema
    features = {"images": {"_type": "List", "feature": {"_type": "Image"}}}
    told = json.dumps({"info": {"features": features}})
    return schema.with_metadata({"huggingface": told})
