"""Rows of a JSON object: under a key, by column as pandas writes them, or by their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from durian.errors import DatasetError
from durian.readers.messages import messages_of
from durian.records import JsonObject

# A key of a row, and not one that rows stand under.
_OF_ONE_ROW = {"images", "image", "options", "choices", "answers", "messages", "conversations"}
_COLUMNS = {"problem", "question", "prompt", "query", "answer", "solution", "messages"}


class KeyTwice(ValueError):
    """An object has one key twice, which its text names: one of the two values would be lost."""


def once(pairs: list[tuple[str, Any]]) -> JsonObject:
    """An object of JSON, as `object_pairs_hook` gives it. Raises: KeyTwice."""
    # Python's parser keeps the last of two equal keys and is silent. Another tool keeps the first,
    # so the sample would depend on who reads it.
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise KeyTwice(f"'{twice[:40]}'")
    return found


def rows_of_object(content: Mapping[str, Any], split: str, name: str) -> list[Any] | None:
    """The rows that one JSON object holds; None where it is itself a row.

    Args:
        split: chooses among several lists of rows.
        name: of the file, for messages.
    Raises:
        DatasetError: several lists of rows, and none is called as the split.
    """
    # The shapes overlap, so the surest signs come first: pandas' "split" form has two keys of its
    # own; a text under `problem` is a row itself; then lists of rows, as splits have them; last
    # columns of equal length, which a single row with several lists (images, options) would also
    # be.
    if {"columns", "data"} <= content.keys() and _are(content["data"], list):
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    if any(isinstance(content.get(key), str) for key in _COLUMNS):
        return None
    lists = lists_of(content)
    if len(lists) > 1 and split not in lists:
        raise _several(name, lists)
    if lists:
        return list(content[split if split in lists else lists[0]])
    if groups := _groups(content):
        if len(groups) > 1 and split not in groups:
            raise _several(name, groups)
        return rows_of_object(content[split if split in groups else groups[0]], split, name)
    values = list(content.values())
    if values and all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) == 1 and not _OF_ONE_ROW.issuperset(content):
            return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    if _are(values, dict):
        return _of_objects(content)
    return None


def lists_of(content: Mapping[str, Any]) -> list[str]:
    """The keys of an object that rows stand under, as those of splits do."""
    return [key for key, value in content.items() if _holds_rows(key, value)]


def _of_objects(content: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Objects in an object: its keys are columns, or ids of rows."""
    # pandas writes {column: {"0": cell}} or {id: {column: cell}} by its `orient`. Inner keys that
    # are all numbers, or outer ones that are usual columns, tell the first; the second keeps the
    # outer key as id.
    inner = {key for value in content.values() for key in value}
    if not _COLUMNS.isdisjoint(content) or all(key.isdecimal() for key in inner):
        numbers = dict.fromkeys(key for value in content.values() for key in value)
        return [
            {column: cells.get(number) for column, cells in content.items()} for number in numbers
        ]
    return [{**row} if "id" in row else {"id": key, **row} for key, row in content.items()]


def _holds_rows(key: str, value: object) -> bool:
    # A list of pairs of `user` and `assistant` may be rows of two such columns, and is read as
    # messages only within a row; `messages_of` gives any other list of messages as it is.
    return key not in _OF_ONE_ROW and _are(value, dict) and messages_of(value) is not value


def _groups(content: Mapping[str, Any]) -> list[str]:
    """The keys of objects that hold all rows themselves: under their ids, or in lists."""
    objects = {key: value for key, value in content.items() if isinstance(value, dict)}
    if not _COLUMNS.isdisjoint(content):
        return []  # columns, whose cells may be objects
    for value in objects.values():
        inner = list(value.values())
        if not _are(inner, dict) and not (inner and all(_holds_rows("", v) for v in inner)):
            return []
    return list(objects)


def _several(name: str, keys: list[str]) -> DatasetError:
    return DatasetError(
        f"{name}: rows stand under several keys ({', '.join(keys)[:150]}); "
        "pass --split with one of them"
    )


def _are(values: object, kind: type) -> bool:
    """Whether it is a list of such values, and not empty."""
    return isinstance(values, list) and bool(values) and all(isinstance(v, kind) for v in values)
