"""The dataset's own cells as JSON has values, and the Arrow type that holds all of a column."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from durian.readers.image_files import without_surrogates
from durian.records import JsonObject

_LARGEST = 2**63


def plain(value: Any) -> Any:
    """A cell as JSON has values: what it has no word for becomes text, or null."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    if isinstance(value, float | Decimal):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, Mapping):
        return {without_surrogates(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return without_surrogates(str(value))


class ColumnTypes:
    """Widens the type of each column batch by batch; JSON text where none holds all its cells."""

    def __init__(self) -> None:
        self._types: dict[str, pa.DataType | None] = {}  # None: as JSON text

    def see(self, rows: Sequence[JsonObject]) -> None:
        """Look at some rows."""
        for name in dict.fromkeys(name for row in rows for name in row):
            known = self._types.get(name, pa.null())
            if known is not None:
                self._types[name] = _joined(known, [row.get(name) for row in rows])

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The type of each column so far."""
        return {
            name: pa.string() if kind is None or pa.types.is_null(kind) else kind
            for name, kind in self._types.items()
        }

    def fit(self, row: JsonObject) -> JsonObject:
        """A row whose every cell is of its column's type."""
        return {
            name: _as_text(row.get(name)) if kind is None else row.get(name)
            for name, kind in self._types.items()
        }


def _as_text(cell: Any) -> str | None:
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _joined(known: pa.DataType, cells: Sequence[Any]) -> pa.DataType | None:
    try:
        found = pa.array(cells).type
        schemas = [pa.schema([("cell", kind)]) for kind in (known, found)]
        kind = pa.unify_schemas(schemas, promote_options="permissive").field("cell").type
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return None if _is_empty(kind) else kind


def _is_empty(kind: pa.DataType) -> bool:
    """Whether a type has a struct without fields, which Parquet cannot hold."""
    if pa.types.is_list(kind):
        return _is_empty(kind.value_type)
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_is_empty(field.type) for field in kind)
    return False
