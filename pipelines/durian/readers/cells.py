"""Cells of a row: found by name, read as text, or parsed where a text holds a list."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from durian.readers.image_files import without_surrogates

if TYPE_CHECKING:
    import numpy as np

# A text in quotes, and the space before the next one where no comma stands between them.
_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(\s+(?=['"]))?""", re.DOTALL)
LONGEST_LABEL = 100  # characters; a longer text names no kind of sample


@dataclass(frozen=True)
class Field:
    """One field of a sample, as it is used and as the sample id is fed it."""

    value: Any
    key: Any  # what stands for the value in the sample id
    error: str | None = None


class Narrow(float):
    """A number that its file stores in fewer bits than a float of Python has.

    As text it is the shortest that gives the stored number again: 0.1, where the float is
    0.10000000149011612. Its JSON, and with it a sample id, is the float's.
    """

    spelled: str

    @classmethod
    def of(cls, value: float, width: type[np.floating[Any]]) -> Narrow:
        """Spell a value as numbers of its stored width are spelled."""
        narrow = cls(value)
        narrow.spelled = str(width(value))
        return narrow

    def __str__(self) -> str:
        return self.spelled


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

    CSV has no lists, and pandas writes Python's own spelling of them, or NumPy's without commas.
    """
    # `literal_eval` builds literals alone and runs nothing, so the text may be hostile; nesting
    # without end is caught as the error that the parser raises for it.
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(_QUOTED.sub(_with_comma, text.strip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, list | dict) else None


def _with_comma(quoted: re.Match[str]) -> str:
    return f"{quoted[1]}, " if quoted[2] else quoted[1]


def text_field(value: object, name: str) -> Field:
    """A cell that must be a text or a number."""
    # A null, an empty text and the word "null" are three different contents, and so three different
    # samples.
    if value is None:
        return Field("", "\0null", f"{name} is null")  # "\0": unlike any text, "" or "null"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return Field("", str(value), f"{name} is {value}")
    if isinstance(value, Narrow):
        return Field(str(value), repr(value))
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
