"""Measure columns to group columns, over all samples of a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.config import ProfileConfig
from durian.errors import ConfigError, RunFolderError
from durian.groups import (
    ChosenCuts,
    GroupCuts,
    Grouping,
    Harder,
    PerceptualCuts,
    ReasoningCuts,
    bins_at,
    perceptual_at,
    perceptual_groups,
    reasoning_groups,
)
from durian.run.folder import DIFFICULTY_FILE, RunFolder, unreadable
from durian.schema import DIFFICULTY, arrow_type
from durian.table.columns import COLUMNS_FILE


@dataclass(frozen=True)
class Groups:
    """The two group columns, one label a sample, and how they were cut."""

    columns: Mapping[str, pa.Array]
    cuts: GroupCuts


def check_measure(option: str, column: str) -> None:
    """Refuse a column that cannot stand where a measure is named.

    Raises:
        ConfigError: no such column, or it holds no numbers.
    """
    numeric = _numeric_names()
    if column not in numeric:
        raise ConfigError(f"{option} is '{column}'; it must be one of {', '.join(numeric)}")


def check_column(run: Path, option: str, column: str) -> None:
    """Refuse what is no column of numbers, of a run's table or of its dataset.

    Raises:
        ConfigError: names the nearest ones.
    """
    numeric = list(dict.fromkeys([*_numeric_names(), *_dataset_names(run)]))
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
            values[name] = _floats(pq.read_table(path, columns=[name])[name])
        except (KeyError, FileNotFoundError):
            raise RunFolderError(f"{path}: lacks the column {name!r}; profile again") from None
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error
    return [values[name] for name in columns]


def hard_end(column: str, otherwise: Harder) -> Harder:
    """Find the end of a column, high or low, that is the hard one.

    As the schema says, or `otherwise` where it says nothing; the high end of a dataset's own.
    """
    return DIFFICULTY[column].harder or otherwise if column in DIFFICULTY else "higher"


def cut_perceptual(
    column: str, values: NDArray[np.float64], percentiles: tuple[float, float]
) -> Grouping[str]:
    """Perceptual groups by a column of the table, cut at its hard end (eq. 10)."""
    return perceptual_groups(values, percentiles, harder=hard_end(column, "higher"))


def cut_reasoning(column: str, values: NDArray[np.float64], bins: int) -> Grouping[int]:
    """Reasoning groups by a column of the table, from its hard end (eq. 16)."""
    return reasoning_groups(values, bins, harder=hard_end(column, "lower"))


def cut_perceptual_at(
    column: str, values: NDArray[np.float64], edges: Sequence[float]
) -> Grouping[str]:
    """Perceptual groups between two given cuts, or at one, which leaves no sample medium."""
    return perceptual_at(values, edges, harder=hard_end(column, "higher"))


def cut_reasoning_at(
    column: str, values: NDArray[np.float64], edges: Sequence[float]
) -> Grouping[int]:
    """Reasoning groups between given cuts."""
    return bins_at(values, edges, harder=hard_end(column, "lower"))


def describe_perceptual(
    column: str,
    percentiles: tuple[float, float] | Literal["auto"],
    grouping: Grouping[str],
    chosen: ChosenCuts | None = None,
) -> PerceptualCuts:
    """Record how perceptual groups were cut; `chosen`: how "auto" came to it."""
    return PerceptualCuts(
        measure=column,
        percentiles=percentiles,
        edges=grouping.edges,
        sizes=dict(grouping.sizes),
        chosen=chosen,
    )


def describe_reasoning(
    column: str,
    bins: int | Literal["auto"],
    grouping: Grouping[int],
    chosen: ChosenCuts | None = None,
) -> ReasoningCuts:
    """Record how reasoning groups were cut; `chosen`: how "auto" came to it."""
    return ReasoningCuts(
        measure=column,
        bins=bins,
        edges=grouping.edges,
        sizes={str(label): size for label, size in grouping.sizes.items()},
        chosen=chosen,
    )


def perceptual_column(grouping: Grouping[str]) -> pa.Array:
    """The labels as the table holds them."""
    return pa.array(grouping.labels, arrow_type(DIFFICULTY["perceptual_group"]))


def reasoning_column(grouping: Grouping[int]) -> pa.Array:
    """The labels as the table holds them."""
    return pa.array(grouping.labels, arrow_type(DIFFICULTY["reasoning_group"]))


def group_samples(config: ProfileConfig, run: RunFolder) -> Groups:
    """Cut the measured samples of a run into perceptual and reasoning groups (eq. 10, 16)."""
    names = [config.perceptual, config.reasoning]
    table = run.read_part_columns(list(dict.fromkeys(names)))
    seen, thought = (_floats(table[name]) for name in names)
    perceptual = cut_perceptual(config.perceptual, seen, config.percentiles)
    reasoning = cut_reasoning(config.reasoning, thought, config.bins)
    return Groups(
        columns={
            "perceptual_group": perceptual_column(perceptual),
            "reasoning_group": reasoning_column(reasoning),
        },
        cuts=GroupCuts(
            version=1,
            perceptual=describe_perceptual(config.perceptual, config.percentiles, perceptual),
            reasoning=describe_reasoning(config.reasoning, config.bins, reasoning),
        ),
    )


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


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    # An infinite number, as a dataset's own column may hold, would draw a quantile to infinity with
    # it; it counts as missing.
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)
