"""columns.parquet: which samples share images, and the dataset's own further columns.

The difficulty table's columns are fixed; what a dataset brings along (a level, a source, a kind of
question) stands beside it, one row a table row, in the same order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from durian.run.files import written_aside
from durian.run.folder import SIGNATURES, SIGNATURES_FILE, RunFolder
from durian.schema import arrow_array

COLUMNS_FILE = "columns.parquet"
KEYS = ("sample_id", "image_id")
SOURCE_FILE = "source_file"  # the data file that a row stood in, within the dataset's folder
_PART_FIELDS = [
    pa.field("image_id", pa.string()),
    pa.field("columns", pa.string()),
    pa.field(SIGNATURES, pa.binary()),
]


@dataclass(frozen=True)
class Further:
    """The values of a sample that stand beside its row of the difficulty table."""

    image_id: str
    columns: Mapping[str, float | str]
    signatures: bytes | None = None  # of its images, where they were asked for


def with_columns(difficulty: pa.Table, further: Sequence[Further]) -> pa.Table:
    """A part's difficulty rows with what its samples bring along, as text until all are seen.

    Whether a column holds numbers is known only at the end, so each row keeps a JSON object.
    """
    values: tuple[list[Any], ...] = (
        [sample.image_id for sample in further],
        [json.dumps(dict(sample.columns)) for sample in further],
        [sample.signatures for sample in further],
    )
    for field, column in zip(_PART_FIELDS, values, strict=True):
        difficulty = difficulty.append_column(field, arrow_array(column, field.type))
    return difficulty


def write_columns(run: RunFolder) -> None:
    """Write columns.parquet from a run's parts, a part at a time.

    A column is float64 where all its values are numbers (or text that reads as such, as CSV has
    it), otherwise string. Parts of an older version, which hold none of this, give no file.
    """
    # Twice over the parts: a column's type must be known before the first row is written, and only
    # the last row tells whether all its values read as numbers.
    names: dict[str, bool] = {}  # column -> whether all its values are numbers
    for rows in _parts(run):
        if rows is None:
            return
        for _, _, columns in rows:
            for name, value in columns.items():
                names[name] = names.get(name, True) and _reads_as_number(value)
    last = names.pop(SOURCE_FILE, None)
    kept = {name: is_number for name, is_number in names.items() if name not in KEYS}
    if last is not None:  # a part of an older version has none
        kept[SOURCE_FILE] = False
    schema = pa.schema(
        [(key, pa.string()) for key in KEYS]
        + [(name, pa.float64() if is_number else pa.string()) for name, is_number in kept.items()]
    )
    with written_aside(run.path / COLUMNS_FILE) as aside:
        with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
            for rows in _parts(run):
                if rows:
                    writer.write_table(_typed(rows, kept, schema))


def write_signatures(run: RunFolder) -> None:
    """Write the signatures of all images from a run's parts, a part at a time.

    A run that is drawn in part keeps them for when more of it is drawn.
    """
    schema = pa.schema([("sample_id", pa.string()), (SIGNATURES, pa.binary())])
    with (
        written_aside(run.path / SIGNATURES_FILE) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd") as writer,
    ):
        for number in run.finished_parts():
            writer.write_table(run.read_part_columns(schema.names, [number]).cast(schema))


def read_columns(path: Path) -> pl.DataFrame | None:
    """columns.parquet of a run folder, but its ids; None where an older version made the run."""
    file = path / COLUMNS_FILE
    if not file.exists():
        return None
    return pl.scan_parquet(file, glob=False).drop("sample_id").collect()


_Row = tuple[str, str, dict[str, float | str]]  # sample id, image id, columns


def _parts(run: RunFolder) -> Iterator[list[_Row] | None]:
    for number in run.finished_parts():
        part = run.read_part(number)
        if "columns" not in part.column_names:
            yield None
            continue
        keys = (part[name].to_pylist() for name in KEYS)
        columns = map(json.loads, part["columns"].to_pylist())
        yield list(zip(*keys, columns, strict=True))


def _typed(rows: list[_Row], kept: dict[str, bool], schema: pa.Schema) -> pa.Table:
    arrays: list[list[Any]] = [[row[0] for row in rows], [row[1] for row in rows]]
    for name, is_number in kept.items():
        found = [columns.get(name) for _, _, columns in rows]
        read = _number if is_number else _label
        arrays.append([None if value is None else read(value) for value in found])
    return pa.table(
        [arrow_array(array, type) for array, type in zip(arrays, schema.types, strict=True)],
        schema=schema,
    )


def _reads_as_number(value: float | str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _number(value: float | str) -> float | None:
    number = float(value)  # text may say "nan"
    return number if math.isfinite(number) else None


def _label(value: float | str) -> str:
    # A column that mixes numbers and texts: 3.0 was a 3 more often than not.
    return f"{value:g}" if isinstance(value, float) else value
