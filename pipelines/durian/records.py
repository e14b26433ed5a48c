"""Typed records of a run as JSON values and back: what manifest.json and summary.json hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any, TypeVar

JsonObject = dict[str, Any]  # as a file or a server gives it, before it is read as a record
Record = TypeVar("Record")
_LEFT_OUT, _MERGED = "left out", "merged"


def left_out(beside: str = "") -> Any:
    """A field that JSON lacks where it is None, rather than having null.

    Args:
        beside: the name of another field; only where that one is set.
    """
    return field(default=None, metadata={_LEFT_OUT: beside})


def merged() -> Any:
    """A record of its own, or None, whose fields JSON has among those of the record around it."""
    return field(default=None, metadata={_MERGED: True})


def as_json(value: Any) -> Any:
    """A record, or mappings and sequences of records, as dicts and lists in the order of fields."""
    if is_dataclass(value):
        found: JsonObject = {}
        for each in fields(value):
            held, beside = getattr(value, each.name), each.metadata.get(_LEFT_OUT)
            if _MERGED in each.metadata:
                found |= as_json(held) or {}
            elif held is not None or beside is None or (beside and not getattr(value, beside)):
                found[each.name] = as_json(held)
        return found
    if isinstance(value, Mapping):
        return {key: as_json(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(held) for held in value]
    return value


def from_json(kind: type[Record], value: Any) -> Record:
    """JSON values as a record; keys that it does not know are passed over.

    Raises:
        ValueError: a key is missing or holds another type; names it, as 'groups.reasoning.bins'.
    """
    # Here: groups.py, which stands on this module, serves where numpy alone is installed.
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_fault(str(error))) from error


def _fault(said: str) -> str:
    """Reword an error of msgspec with the place first: "'model.name': expected str, got int"."""
    what, _, place = said.replace("`", "").partition(" - at $")
    place = place.removeprefix(".")
    if lacking := re.fullmatch(r"Object missing required field (\w+)", what):
        return f"lacks '{'.'.join(filter(None, [place, lacking[1]]))}'"
    return f"'{place}': {what[:1].lower()}{what[1:]}" if place else what
