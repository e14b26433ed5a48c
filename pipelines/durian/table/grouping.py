"""Measure columns to group columns, over all samples of a run."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.config import ProfileConfig
from durian.errors import ConfigError, RunFolderError
from durian.groups import (
    KINDS,
    ChosenCuts,
    GroupCuts,
    Grouping,
    Harder,
    Kind,
    PerceptualCuts,
    ReasoningCuts,
    perceptual_groups,
    reasoning_groups,
)
from durian.run.folder import DIFFICULTY_FILE, RunFolder, read_table, unreadable
from durian.schema import DIFFICULTY, arrow_array, arrow_type
from durian.table.columns import COLUMNS_FILE


@dataclass(frozen=True)
class Groups:
    """The two group columns, one label a sample, and how they were cut."""

    columns: Mapping[str, pa.Array]
    cuts: GroupCuts


def check_measure(kind: Kind, text: str) -> None:
    """Refuse what names no column that can stand where a measure is named.

    Raises:
        ConfigError: no such column, it holds no numbers, or its other end is the hard one.
    """
    column, _ = named_column(kind, text)
    if column not in (numeric := _numeric_names()):
        raise ConfigError(f"{kind} is '{column}'; it must be one of {', '.join(numeric)}")


def named_column(
    kind: Kind, text: str, columns: Collection[str] = DIFFICULTY
) -> tuple[str, Harder | None]:
    """The column that a text like 'level:lower' names, and its hard end where that says one.

    Args:
        columns: those there are; one of them may be called 'level:lower' itself.
    Raises:
        ConfigError: the column's other end is the hard one, whatever is asked.
    """
    column, _, end = text.rpartition(":")
    # A dataset's own column may have a colon in its name; a name that is there is taken before it
    # is taken apart.
    if text in columns or end not in ("lower", "higher"):
        return text, None
    own = DIFFICULTY[column].harder if column in DIFFICULTY else None
    if own not in (None, end):
        raise ConfigError(
            f"{kind} is '{text}', and of '{column}' the {own} end is the hard one; "
            f"pass --{kind} {column}"
        )
    return column, "lower" if end == "lower" else "higher"


def told_end(kind: Kind, column: str, harder: Harder | None) -> Harder | None:
    """A hard end as a table keeps it: None where the column has it of itself."""
    return None if harder == hard_end(kind, column) else harder


def check_column(run: Path, option: str, column: str) -> None:
    """Refuse what is no column of numbers, of a run's table or of its dataset.

    Raises:
        ConfigError: names the nearest ones.
    """
    numeric = numeric_names(run)
    if column not in numeric:
        near = difflib.get_close_matches(column, numeric, n=3, cutoff=0.5)
        hint = "did you mean" if near else "it has"
        names = ", ".join(map(repr, near or numeric))  # of a dataset: escaped
        raise ConfigError(f"{option}: no column {column!r} of numbers in {run}; {hint} {names}")


def read_measures(run: Path, columns: Sequence[str]) -> list[NDArray[np.float64]]:
    """Columns of numbers of a run, each (N,) in the table's order; NaN where missing.

    The dataset's own stand in columns.parquet; of two of one name the table's is meant.

    Raises:
        RunFolderError: a column that is not there or cannot be read.
    """
    values = {}
    for name in dict.fromkeys(columns):
        path = run / (DIFFICULTY_FILE if name in DIFFICULTY else COLUMNS_FILE)
        try:
            values[name] = _floats(read_table(path, [name])[name])
        except (KeyError, FileNotFoundError):
            raise RunFolderError(f"{path}: lacks the column {name!r}; profile again") from None
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
    return [values[name] for name in columns]


def hard_end(kind: Kind, column: str) -> Harder:
    """Find the end of a column, high or low, that is the hard one where nobody said so.

    As the schema says; where it says nothing, the high end, but the low one of a column of the
    table behind the reasoning groups, as of a confidence.
    """
    if column not in DIFFICULTY:
        return "higher"
    return DIFFICULTY[column].harder or ("higher" if kind == "perceptual" else "lower")


def end_of(cuts: PerceptualCuts | ReasoningCuts) -> Harder:
    """Find the end of the column behind a table's groups that is the hard one."""
    kind: Kind = "perceptual" if isinstance(cuts, PerceptualCuts) else "reasoning"
    return cuts.harder or hard_end(kind, cuts.measure)


def describe_perceptual(
    column: str,
    harder: Harder,
    percentiles: tuple[float, float] | Literal["auto"],
    grouping: Grouping[str],
    chosen: ChosenCuts | None = None,
) -> PerceptualCuts:
    """Record how perceptual groups were cut; `chosen`: how "auto" came to it."""
    return PerceptualCuts(
        measure=column,
        harder=told_end("perceptual", column, harder),
        percentiles=percentiles,
        edges=grouping.edges,
        sizes=dict(grouping.sizes),
        chosen=chosen,
    )


def describe_reasoning(
    column: str,
    harder: Harder,
    bins: int | Literal["auto"],
    grouping: Grouping[int],
    chosen: ChosenCuts | None = None,
) -> ReasoningCuts:
    """Record how reasoning groups were cut; `chosen`: how "auto" came to it."""
    return ReasoningCuts(
        measure=column,
        harder=told_end("reasoning", column, harder),
        bins=bins,
        edges=grouping.edges,
        sizes={str(label): size for label, size in grouping.sizes.items()},
        chosen=chosen,
    )


def perceptual_column(grouping: Grouping[str]) -> pa.Array:
    """The labels as the table holds them."""
    return arrow_array(grouping.labels, arrow_type(DIFFICULTY["perceptual_group"]))


def reasoning_column(grouping: Grouping[int]) -> pa.Array:
    """The labels as the table holds them."""
    return arrow_array(grouping.labels, arrow_type(DIFFICULTY["reasoning_group"]))


def group_samples(
    config: ProfileConfig, run: RunFolder, estimated: Mapping[str, pa.Array]
) -> Groups:
    """Cut the measured samples of a run into perceptual and reasoning groups (eq. 10, 16).

    Args:
        estimated: columns that no part holds, since they need all samples; one value a sample.
    """
    asked = {kind: named_column(kind, getattr(config, kind)) for kind in KINDS}
    names = {kind: column for kind, (column, _) in asked.items()}
    ends = {kind: end or hard_end(kind, column) for kind, (column, end) in asked.items()}
    seen, thought = (
        _floats(estimated[n] if n in estimated else run.read_part_columns([n])[n])
        for n in names.values()
    )
    perceptual = perceptual_groups(seen, config.percentiles, harder=ends["perceptual"])
    reasoning = reasoning_groups(thought, config.bins, harder=ends["reasoning"])
    return Groups(
        columns={
            "perceptual_group": perceptual_column(perceptual),
            "reasoning_group": reasoning_column(reasoning),
        },
        cuts=GroupCuts(
            version=1,
            perceptual=describe_perceptual(
                names["perceptual"], ends["perceptual"], config.percentiles, perceptual
            ),
            reasoning=describe_reasoning(
                names["reasoning"], ends["reasoning"], config.bins, reasoning
            ),
        ),
    )


def numeric_names(run: Path) -> list[str]:
    """The columns of numbers of a run, its dataset's among them."""
    return list(dict.fromkeys([*_numeric_names(), *_dataset_names(run)]))


def _numeric_names() -> list[str]:
    return [
        column.name
        for column in DIFFICULTY.values()
        if column.type != "string" and column.name != "reasoning_group"
    ]


def _dataset_names(run: Path) -> list[str]:
    """The dataset's own columns of numbers, where the run has any."""
    try:
        schema = pq.read_schema(run / COLUMNS_FILE)
    except FileNotFoundError:  # an older run
        return []
    return [field.name for field in schema if pa.types.is_floating(field.type)]


def _floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    # An infinite number, as a dataset's own column may hold, would draw a quantile to infinity with
    # it; it counts as missing.
    values = pl.Series(column.cast(pa.float64())).to_numpy().astype(np.float64)  # null: NaN
    return np.where(np.isfinite(values), values, np.nan)
