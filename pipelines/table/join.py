"""From a profile's run folder to what training needs of each sample, by sample id."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.config import TrainConfig
from pipelines.errors import ConfigError, InputError, RunFolderError
from pipelines.groups import PERCEPTUAL, perceptual_groups, reasoning_groups
from pipelines.table.run_folder import DIFFICULTY_FILE, RunFolder
from pipelines.table.schema import DIFFICULTY, SCHEMA_VERSION

FILTERED = "filtered out"
UNKNOWN = "not in the table, so that the filter cannot tell"


@dataclass(frozen=True, kw_only=True)
class TrainingTable:
    """The samples of a run with their groups; arrays, one entry a sample of the table."""

    manifest: Mapping[str, Any]
    number: Mapping[str, int]  # sample id -> its place in the arrays
    perceptual_group: NDArray[np.int64]  # 0 easy, 1 medium, 2 hard; -1 none
    reasoning_group: NDArray[np.int64]  # -1 none
    perceptual: NDArray[np.float64]  # the measure behind the perceptual groups; NaN where missing
    confidence: NDArray[np.float64]  # the measure behind the reasoning groups; NaN where missing
    passes: NDArray[np.bool_]  # the filter
    own: bool  # samples that the table lacks take part, in no group
    filtered: bool  # there is a filter
    order_by: str

    def find(self, sample_id: str) -> dict[str, Any] | str:
        """What is known of a sample, as columns of the training set; or why it takes no part."""
        place = self.number.get(sample_id)
        if place is None:
            if self.filtered:
                return UNKNOWN
            nan = float("nan")
            return {"perceptual_group": -1, "reasoning_group": -1, "perceptual": nan,
                    "confidence": nan}  # fmt: skip
        if not self.passes[place]:
            return FILTERED
        return {
            "perceptual_group": int(self.perceptual_group[place]),
            "reasoning_group": int(self.reasoning_group[place]),
            "perceptual": float(self.perceptual[place]),
            "confidence": float(self.confidence[place]),
        }

    def check_missing(self, ids: Sequence[str]) -> None:
        """Refuse samples that the table lacks, unless they may train in no group.

        Args:
            ids: of all dataset rows, in order.
        Raises:
            InputError: how many are missing, and the first one's row.
        """
        missing = [row for row, sample_id in enumerate(ids) if sample_id not in self.number]
        if missing and not self.own:
            raise InputError(
                f"the table lacks {len(missing):,} of {len(ids):,} rows, the first at row "
                f"{missing[0]}; profile this dataset, or pass --missing own"
            )

    def order(self, ids: Sequence[str]) -> list[int]:
        """Positions in the order of training; ties and a shuffle keep the dataset's order."""
        if self.order_by == "shuffle":
            return list(range(len(ids)))
        column = self.manifest["groups"]["reasoning"]["measure"]
        sign = 1.0 if DIFFICULTY[column].harder == "higher" else -1.0  # rising: harder
        sign = sign if self.order_by == "easy_first" else -sign
        keys = [sign * self.confidence[self.number[i]] if i in self.number else np.nan for i in ids]
        return [int(place) for place in np.argsort(np.array(keys, np.float64), kind="stable")]


def open_table(config: TrainConfig) -> TrainingTable:
    """Read a run's table, cut its groups anew where the config says so, and apply the filter.

    Raises:
        RunFolderError: no complete run, or a table of a newer Durian.
        ConfigError: a filter that is no condition over the columns, or that nothing passes.
    """
    run = Path(config.table)
    manifest = RunFolder(run).complete_manifest()
    if manifest.get("schema", 0) > SCHEMA_VERSION:
        raise RunFolderError(f"{run}: its table is of a newer Durian; update durian")
    try:
        table = pl.read_parquet(run / DIFFICULTY_FILE, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"{run / DIFFICULTY_FILE}: cannot be read; profile again") from error
    measures = {kind: manifest["groups"][kind]["measure"] for kind in ("perceptual", "reasoning")}
    seen, thought = (
        table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
        for name in measures.values()
    )
    perceptual, reasoning = table["perceptual_group"].to_list(), table["reasoning_group"].to_list()
    if config.percentiles is not None:
        harder = DIFFICULTY[measures["perceptual"]].harder or "higher"
        perceptual = perceptual_groups(seen, config.percentiles, harder=harder).labels
    if config.bins is not None:
        harder = DIFFICULTY[measures["reasoning"]].harder or "lower"
        reasoning = reasoning_groups(thought, config.bins, harder=harder).labels
    return TrainingTable(
        manifest=manifest,
        number={sample_id: place for place, sample_id in enumerate(table["sample_id"])},
        perceptual_group=np.array(
            [-1 if label is None else PERCEPTUAL.index(label) for label in perceptual], np.int64
        ),
        reasoning_group=np.array([-1 if bin is None else bin for bin in reasoning], np.int64),
        perceptual=seen,
        confidence=thought,
        passes=_passes(table, config.filter),
        own=config.missing == "own",
        filtered=config.filter is not None,
        order_by=config.order,
    )


def _passes(table: pl.DataFrame, condition: str | None) -> NDArray[np.bool_]:
    """Which samples a condition holds for; unknown (NULL) is no."""
    if condition is None:
        return np.ones(len(table), np.bool_)
    try:
        holds = table.select(holds=pl.sql_expr(condition))["holds"]
    except pl.exceptions.ColumnNotFoundError as error:
        missing = str(error).split('"')[1] if '"' in str(error) else str(error).split()[-1]
        near = difflib.get_close_matches(missing, table.columns, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"filter: no column '{missing}' in the table{hint}") from error
    except Exception as error:  # polars raises many kinds for text that is no expression
        gist = " ".join(str(error).split())[:160]
        raise ConfigError(f"filter: '{condition}' is no SQL condition ({gist})") from error
    if holds.dtype != pl.Boolean or len(holds) != len(table):
        raise ConfigError(
            f"filter: '{condition}' is no condition on a sample; write one like "
            "'pass_rate > 0 AND pass_rate < 1'"
        )
    passes = holds.fill_null(False).to_numpy().astype(np.bool_)
    if not passes.any():
        raise ConfigError(f"filter: no sample of {len(table):,} passes '{condition}'; loosen it")
    return passes


def table_warnings(
    manifest: Mapping[str, Any], *, dataset: str, fingerprint: str, model: str, model_print: str
) -> list[str]:
    """A line for each way in which the table was made from other things than the training."""
    made_of, made_by = manifest["dataset"], manifest["model"]
    lines = []
    if made_of["fingerprint"] != fingerprint:
        lines.append(
            f"the table was made from {made_of['name']}, not from these rows of {dataset}; "
            "samples are joined by their content"
        )
    if made_by["fingerprint"] is None:
        lines.append("the table was made without a policy; no sample has a reasoning group")
    elif made_by["fingerprint"] != model_print:
        lines.append(
            f"the table was made by {made_by['name']}, not by {model}; its reasoning groups are "
            "of another policy"
        )
    return lines
