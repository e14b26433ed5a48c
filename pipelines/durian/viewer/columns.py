"""The columns that a person can sort and filter samples by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "choice", "text"]

MOST_CHOICES = 50  # values of a text column whose every value can be picked
TEXTS = ("sample_id", "problem", "image_id")  # as many values as samples
VERDICT = "verdict"  # of the marks
CHANGE, MOVED = "change", "moved"  # between two runs
SECOND = "B: "  # before a name: the column of the second run


@dataclass(frozen=True, kw_only=True)
class ViewColumn:
    """One column of the table, of the dataset, of a second run, or of the marks."""

    name: str
    kind: Kind
    whose: Literal["table", "dataset", "second", "both", "marks"]
    unit: str = ""
    meaning: str = ""
    harder: str | None = None  # the hard end of a measure: higher or lower
