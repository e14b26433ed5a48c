"""What an export came to: its counts, its files, and how they are launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from durian.records import JsonObject


@dataclass(frozen=True, kw_only=True)
class PartCounts:
    """One file, or the control."""

    name: str
    file: str
    samples: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Categories:
    """Samples by the values of a column: in the tables, that may be taken, and in each part."""

    column: str
    sets: Sequence[str]
    rows: Mapping[str, Sequence[int]]  # by category


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The counts of an export, as `export.json` and the page have them."""

    kind: str = "export"
    durian: str
    created: str
    out: str
    form: str
    messages: str | None  # how images stand in messages; None: the form has none
    runs: Sequence[str]
    datasets: Sequence[str]
    models: Sequence[str | None]
    samples: int  # in the tables, each once
    repeated: int  # samples of a later run that an earlier one has too
    passed: int  # that may be taken: by filter, ids, and what the form needs
    drawn: int  # of these
    parts: Sequence[PartCounts]
    tables: Sequence[str]  # folders of the runs' tables, in this one
    rows_read: int
    rows_unknown: int  # that no table has
    left_out: Mapping[str, int]  # rows of chosen samples, by reason
    absent: int  # chosen samples of which the dataset has no row
    categories: Categories
    renamed: Mapping[str, str]  # the dataset's own columns, where a name is taken
    launch: Sequence[str]
    sentences: Sequence[str]
    config: JsonObject
    pushed: str | None = None  # where it lies on the Hub
