"""Cells of a row: found by name, read as text, or parsed where a text holds a list."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from durian.readers.image_files import without_surrogates

LONGEST_LABEL = 100  # characters; a longer text names no kind of sample


@dataclass(frozen=True)
class Field:
    """One field of a sample, as it is used and as the sample id is fed it."""

    value: Any
    key: Any  # what stands for the value in the sample id
    error: str | None = None


def reach(row: Mapping[str, Any], path: str) -> Any:
    """The cell of a column, or the field `a.b` of a struct; None where it is not there."""
    if path in row:
        return row[path]
    name, _, rest = path.partition(".")
    inner = row.get(name)
    if isinstance(inner, str) and inner.lstrip().startswith("{"):
        inner = parsed(inner)
    return reach(inner, rest) if rest and isinstance(inner, Mapping) else None


def parsed(text: str) -> Any:
    """The list or object that a text spells, as JSON or as Python prints it; None for all else.

    CSV has no lists, and pandas writes Python's own spelling of them.
    """
    # `literal_eval` builds literals alone and runs nothing, so the text may be hostile; nesting
    # without end is caught as the error that the parser raises for it.
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, list | dict) else None


def text_field(value: object, name: str) -> Field:
    """A cell that must be a text or a number."""
    # A null, an empty text and the word "null" are three different contents, and so three different
    # samples.
    if value is None:
        return Field("", "\0null", f"{name} is null")  # "\0": unlike any text, "" or "null"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return Field("", str(value), f"{name} is {value}")
    if isinstance(value, (bool, int, float, Decimal)):
        value = str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        return Field("", canonical(value), f"{name} is of type {kind}, not text")
    clean = without_surrogates(value)
    return Field(clean, value, None if clean == value else f"{name} is not valid Unicode")


def canonical(value: object) -> str:
    """Return the text that the sample id is fed for a cell that is no text and no number."""
    return json.dumps(value, sort_keys=True, default=str)


def label(value: object) -> float | str | None:
    """A number (a flag is 0 or 1), a short text, or None for all else."""
    if isinstance(value, (bool, int, float, Decimal)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if isinstance(value, str) and 0 < len(value) <= LONGEST_LABEL:  # CSV has no null but ""
        return without_surrogates(value)
    return None
