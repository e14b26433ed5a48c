"""Choose the columns that are held against error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.groups import Harder

BASELINE = "mean_tokens"  # length alone
# The table's own numbers that are neither measures, nor results, nor bookkeeping.
DESCRIBING = ("n_images", "width", "height")
FACETS = ("answer_kind",)  # the table's own texts that samples are told apart by
SLICE_VALUES = 2, 20  # distinct values of a text column that is worth a slice
KEYS = ("sample_id", "image_id")
RENAMED = "dataset: "  # before the name of a column that the table has too
LARGEST = 1e100  # sums and squares of larger numbers overflow

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One column to hold against error."""

    kind: Literal["measure", "baseline", "column"]
    values: Floats  # (N,), NaN where missing
    harder: Harder | None  # None: the data say which end is the hard one


def candidates(
    table: pl.DataFrame, measures: Mapping[str, Harder], columns: pl.DataFrame | None
) -> dict[str, Candidate]:
    """The measures, then every other numeric column that varies.

    A column of the dataset whose name the table has, too, is given as "dataset: NAME".
    """
    found = {
        name: Candidate(
            kind="baseline" if name == BASELINE else "measure",
            values=numbers(table[name]),
            harder=harder,
        )
        for name, harder in measures.items()
    }
    others = {name: table[name] for name in DESCRIBING if name in table.columns}
    others |= _own_columns(columns, {*table.columns, *measures}, numeric=True)
    for name, column in others.items():
        values = numbers(column)
        if len(np.unique(values[~np.isnan(values)])) > 1:
            found[name] = Candidate(kind="column", values=values, harder=None)
    return found


def slice_columns(
    table: pl.DataFrame, columns: pl.DataFrame | None, taken: Collection[str]
) -> dict[str, list[str | None]]:
    """Text columns with 2 to 20 distinct values: the table's own facets, then the dataset's."""
    least, most = SLICE_VALUES
    facets = {name: table[name] for name in FACETS if name in table.columns}
    return {
        name: column.to_list()
        for name, column in {**facets, **_own_columns(columns, taken, numeric=False)}.items()
        if least <= column.drop_nulls().n_unique() <= most
    }


def _own_columns(
    columns: pl.DataFrame | None, taken: Collection[str], *, numeric: bool
) -> dict[str, pl.Series]:
    """Numbers or texts of the dataset, by names that the table does not use."""
    found: dict[str, pl.Series] = {}
    for column in () if columns is None else columns:
        name = column.name
        if name in KEYS or not (
            column.dtype.is_numeric() if numeric else column.dtype == pl.String
        ):
            continue
        while name in taken or name in found:
            name = f"{RENAMED}{name}"
        found[name] = column
    return found


def numbers(column: pl.Series) -> Floats:
    """A column's values, NaN where they are missing, not finite, or as good as infinite."""
    values = column.cast(pl.Float64).to_numpy().astype(np.float64)
    return np.where(np.abs(values) <= LARGEST, values, np.nan)
