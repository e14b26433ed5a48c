"""A run's tables -> the evidence that causes rest on -> the column `why`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.causes.loops import is_looping
from durian.causes.rules import Evidence, find_causes
from durian.run.folder import DIFFICULTY_FILE, ROLLOUTS_FILE, RunFolder, unreadable
from durian.samples import NO_IMAGE, NOT_LOGGED
from durian.schema import DIFFICULTY, arrow_array, arrow_type
from durian.table.checked import DAMAGE, read_frame
from durian.table.conflicts import NEEDED as COMPARED
from durian.table.conflicts import conflicts

WHY = "why"
_NEEDED = (
    "sample_id", "rollouts", "pass_rate", "format_rate", "right_unboxed", "label_doubt",
    "blind_pass_rate", "image_gain", "image_gain_sd", "error",
)  # fmt: skip
_WITH_TEXTS = list(dict.fromkeys((*_NEEDED, *COMPARED)))  # where labels may be in conflict
_SAID = ("sample_id", "completion", "answer", "correct", "finish_reason")
_BATCH = 4_000  # completions whose texts are held at once

Floats = NDArray[np.float64]


def causes_of_parts(
    run: RunFolder, further: Mapping[str, pa.Array], thresholds: Mapping[str, float]
) -> pa.Array:
    """Find why each sample of a run is hard that is still in parts.

    Args:
        further: columns that no part holds, since they need all samples; one value a sample.
        thresholds: all of them.
    """
    names = _WITH_TEXTS if "image_cluster" in further else list(_NEEDED)
    table = pl.DataFrame(run.read_part_columns(names)).with_columns(
        pl.Series(name, column) for name, column in further.items() if name in names
    )
    names = [*_SAID, "blind"]
    said = (pl.DataFrame(run.read_rollouts(n, names)) for n in run.finished_parts())
    return _column(gather_evidence(table, said), thresholds)


def causes_of_run(run: Path, thresholds: Mapping[str, float]) -> pa.Array:
    """Find why each sample of a complete run is hard, by its two tables."""
    file = run / DIFFICULTY_FILE
    compared = read_frame(file, lambda frame: frame.select(pl.col("image_cluster").count())).item()
    names = _WITH_TEXTS if compared else list(_NEEDED)
    table = read_frame(file, lambda frame: frame.select(names))
    return _column(gather_evidence(table, read_said(run)), thresholds)


def read_said(run: Path) -> Iterator[pl.DataFrame]:
    """The completions of a complete run, some thousand at a time, as far as causes need them.

    Raises:
        RunFolderError: the table cannot be read.
    """
    file = run / ROLLOUTS_FILE
    try:
        with pq.ParquetFile(file) as opened:
            names = [n for n in (*_SAID, "blind") if n in opened.schema_arrow.names]
            for batch in opened.iter_batches(_BATCH, columns=names):
                yield pl.DataFrame(batch)
    except DAMAGE as error:
        raise unreadable(file, error) from error


def gather_evidence(table: pl.DataFrame, said: Iterable[pl.DataFrame]) -> Evidence:
    """Gather all that the causes of a table's samples rest on.

    Args:
        table: rows of the difficulty table, of any version; without its texts, the conflicts are
            those that it tells as causes.
        said: their completions, in pieces; those without the image are passed over.
    """
    lacking = [name for name in _NEEDED if name not in table.columns]
    table = table.with_columns(
        pl.lit(None, pl.String if DIFFICULTY[name].type == "string" else pl.Float64).alias(name)
        for name in lacking
    )
    pass_rate, drawn = _floats(table["pass_rate"]), _floats(table["rollouts"])
    scored = ~np.isnan(pass_rate) & (drawn > 0)
    total = np.where(scored, drawn, 0.0)
    # Counts again: a pass rate that was stored as a mean of 3 is no exact third.
    wrong = np.where(scored, np.round((1 - pass_rate) * drawn), 0.0)
    tallied = _tallied(table["sample_id"], said)
    cut = np.where(tallied["unended"] > 0, np.nan, tallied["cut"])
    doubt = _floats(table["label_doubt"])
    if not np.isnan(doubt).all():  # it is null, too, of a sample without any answer
        doubt = np.where(scored, np.nan_to_num(doubt), doubt)
    return Evidence(
        total=total,
        wrong=wrong,
        looped=tallied["looped"],
        cut=cut,
        unformatted=_unformatted(table, wrong, tallied["unanswered"]),
        label_doubt=None if np.isnan(doubt).all() else doubt,
        blind_pass_rate=_floats(table["blind_pass_rate"]),
        image_gain=_floats(table["image_gain"]),
        image_gain_sd=_floats(table["image_gain_sd"]),
        unreadable=_unreadable(table["error"]) & ~(drawn > 0),
        conflict=_conflict(table),
    )


def _column(evidence: Evidence, thresholds: Mapping[str, float]) -> pa.Array:
    return arrow_array(find_causes(evidence, thresholds), arrow_type(DIFFICULTY[WHY]))


def _tallied(sample_ids: pl.Series, said: Iterable[pl.DataFrame]) -> dict[str, Floats]:
    """Count each sample's wrong completions by how they ended. (N,) each."""
    counts = [_counted(piece) for piece in said]
    names = ("looped", "cut", "unended", "unanswered")
    if not counts:
        return {name: np.zeros(len(sample_ids)) for name in names}
    summed = pl.concat(counts).group_by("sample_id").sum()
    told = pl.DataFrame({"sample_id": sample_ids}).join(
        summed, on="sample_id", how="left", maintain_order="left"
    )
    return {name: _floats(told[name].fill_null(0)) for name in names}


def _counted(said: pl.DataFrame) -> pl.DataFrame:
    if "blind" in said.columns:
        said = said.filter(pl.col("blind").fill_null(False).not_())
    wrong = said.filter(pl.col("correct").not_())  # unknown is not wrong
    ended = pl.col("finish_reason")
    # Where a log does not say how a completion ended, its text still tells a loop.
    at_limit = wrong.select(((ended == "length") | ended.is_null()).alias("at"))["at"]
    loops = np.zeros(len(wrong), np.bool_)
    loops[at_limit.to_numpy()] = [is_looping(t or "") for t in wrong.filter(at_limit)["completion"]]
    looped = pl.Series(loops) | (ended == "repetition").fill_null(False)
    return (
        wrong.select(
            "sample_id",
            looped=looped,
            cut=(ended == "length").fill_null(False) & looped.not_(),
            unended=ended.is_null(),
            unanswered=pl.col("answer").is_null() & (ended != "length").fill_null(True),
        )
        .group_by("sample_id")
        .agg(pl.exclude("sample_id").cast(pl.Float64).sum())
    )


def _unformatted(table: pl.DataFrame, wrong: Floats, unanswered: Floats) -> Floats:
    """Share of the wrong completions that are right outside a box, or hold no answer to be read.

    The latter only where the reward judges the format: another one may take no answers out.
    """
    judged = ~np.isnan(_floats(table["format_rate"])) & (wrong > 0)
    without = np.where(judged, unanswered / np.maximum(wrong, 1.0), np.nan)
    either: Floats = np.fmax(_floats(table["right_unboxed"]), without)
    return either


def _conflict(table: pl.DataFrame) -> NDArray[np.bool_] | None:
    """Mark the samples whose label is in conflict; None where images were not compared."""
    if "image_cluster" not in table.columns or table["image_cluster"].is_null().all():
        return None
    if set(COMPARED) <= set(table.columns):
        return conflicts(table)
    return (table[WHY] == "conflict").fill_null(False).to_numpy()


def _unreadable(errors: pl.Series) -> NDArray[np.bool_]:
    """Whether a row, its images or its question could not be read."""
    harmless = (None, NO_IMAGE, NOT_LOGGED, f"{NO_IMAGE}; {NOT_LOGGED}")
    return np.array([error not in harmless for error in errors.to_list()], np.bool_)


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
