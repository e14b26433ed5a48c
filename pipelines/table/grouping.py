"""Measure columns to group columns, over all samples of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.config import ProfileConfig
from pipelines.errors import ConfigError
from pipelines.groups import Grouping, perceptual_groups, reasoning_groups
from pipelines.table.run_folder import RunFolder
from pipelines.table.schema import DIFFICULTY


@dataclass(frozen=True)
class Groups:
    """The two group columns, one label a sample, and how they were cut."""

    columns: Mapping[str, pa.Array]
    described: dict[str, Any]


def check_measure(option: str, column: str) -> None:
    """Refuse a column that cannot stand where a measure is named.

    Raises:
        ConfigError: no such column, or it holds no numbers.
    """
    numeric = [c.name for c in DIFFICULTY.values() if not pa.types.is_string(c.type)]
    numeric.remove("reasoning_group")
    if column not in numeric:
        raise ConfigError(f"{option} is '{column}'; it must be one of {', '.join(numeric)}")


def cut_perceptual(
    column: str, values: NDArray[np.float64], percentiles: tuple[float, float]
) -> Grouping[str]:
    """Perceptual groups by a column of the table, its hard end as the schema says (eq. 10)."""
    return perceptual_groups(values, percentiles, harder=DIFFICULTY[column].harder or "higher")


def cut_reasoning(column: str, values: NDArray[np.float64], bins: int) -> Grouping[int]:
    """Reasoning groups by a column of the table, its hard end as the schema says (eq. 16)."""
    return reasoning_groups(values, bins, harder=DIFFICULTY[column].harder or "lower")


def group_samples(config: ProfileConfig, run: RunFolder) -> Groups:
    """Cut the measured samples of a run into perceptual and reasoning groups (eq. 10, 16)."""
    names = [config.perceptual, config.reasoning]
    table = run.read_part_columns(list(dict.fromkeys(names)))
    seen, thought = (
        table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        for name in names
    )
    perceptual = cut_perceptual(config.perceptual, seen, config.percentiles)
    reasoning = cut_reasoning(config.reasoning, thought, config.bins)
    return Groups(
        columns={
            "perceptual_group": pa.array(perceptual.labels, pa.string()),
            "reasoning_group": pa.array(reasoning.labels, pa.int32()),
        },
        described={
            "perceptual": {
                "measure": config.perceptual,
                "percentiles": list(config.percentiles),
                "edges": list(perceptual.edges),
                "sizes": dict(perceptual.sizes),
            },
            "reasoning": {
                "measure": config.reasoning,
                "bins": config.bins,
                "edges": list(reasoning.edges),
                "sizes": {str(label): size for label, size in dict(reasoning.sizes).items()},
            },
        },
    )
