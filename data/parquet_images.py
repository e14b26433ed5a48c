"""Rows with embedded images as one Parquet file that `datasets` and the Hub viewer decode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class Row:
    """One row of a shipped set: a question, its right answer, one encoded image."""

    problem: str
    answer: str
    image: bytes  # PNG or JPEG
    path: str  # file name kept beside the bytes
    extra: dict[str, float | str] = field(default_factory=dict)  # further columns


def write_rows(rows: Sequence[Row], out: Path, extra: dict[str, pa.DataType] | None = None) -> None:
    """Write `rows` to `out` (zstd): columns problem, answer, images, then those of `extra`.

    The schema carries the `huggingface` metadata of the Image feature, so that
    `datasets.load_dataset("parquet", data_files=...)` gives decoded images.
    """
    extra = extra or {}
    columns = {"problem": pa.string(), "answer": pa.string(), "images": pa.list_(_IMAGE), **extra}
    features: dict[str, object] = {
        name: {"dtype": "float64" if kind == pa.float64() else "string", "_type": "Value"}
        for name, kind in columns.items()
    }
    features["images"] = {"feature": {"_type": "Image"}, "_type": "List"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema(list(columns.items()), metadata=metadata)
    table = pa.Table.from_pylist(
        [
            {
                "problem": row.problem,
                "answer": row.answer,
                "images": [{"bytes": row.image, "path": row.path}],
                **row.extra,
            }
            for row in rows
        ],
        schema=schema,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, out, compression="zstd", row_group_size=200)
