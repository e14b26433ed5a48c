"""The samples of one or several runs, with all that a choice among them needs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import Clusters, clusters_of
from durian.config import ExportConfig
from durian.errors import ConfigError, one_line
from durian.groups import KINDS, PERCEPTUAL
from durian.run.folder import DIFFICULTY_FILE, RunFolder, unreadable
from durian.run.manifest import Manifest
from durian.samples import NO_IMAGE
from durian.table.checked import DAMAGE, check_difficulty, check_manifest, read_frame
from durian.table.columns import COLUMNS_FILE, KEYS
from durian.table.filter import check_columns, parse_filter, passing
from durian.table.grouping import end_of, read_measures

_NEEDED = ("sample_id", "perceptual_group", "reasoning_group", "n_images", "pass_rate", "error")
MOST_CATEGORIES = 100
NO_CATEGORY = "(none)"

Bools = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """N distinct samples, those of the first run first; arrays have one entry a sample."""

    manifests: Sequence[Manifest]  # of the runs
    run: NDArray[np.int64]  # (N,), which run a sample is of
    ids: list[str]
    perceptual_group: NDArray[np.int64]  # 0 easy, 1 medium, 2 hard; -1 none
    reasoning_group: NDArray[np.int64]
    perceptual: NDArray[np.float64]  # larger is harder; NaN where missing
    confidence: NDArray[np.float64]
    harder: NDArray[np.float64]  # rising with difficulty: what easy_first and hard_first go by
    pass_rate: NDArray[np.float64]
    failed: Bools  # it could not be measured, perhaps because its image cannot be decoded
    passes: Bools  # filter and ids
    aim: NDArray[np.float64] | None  # the target's column
    category: NDArray[np.int64]  # of the balance's column, an index of `categories`
    categories: Sequence[str]
    clusters: Clusters  # of samples that share an image
    repeated: int  # samples of a later run that an earlier one has too

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.ids)

    def labels(self, place: int) -> dict[str, Any]:
        """The columns that a trainer's plug-in reads."""
        return {
            "sample_id": self.ids[place],
            "durian_perceptual_group": int(self.perceptual_group[place]),
            "durian_reasoning_group": int(self.reasoning_group[place]),
            "durian_perceptual": _number(self.perceptual[place]),
            "durian_confidence": _number(self.confidence[place]),
            "durian_pass_rate": _number(self.pass_rate[place]),
        }


def open_pool(config: ExportConfig) -> Pool:
    """Read the tables of the runs, and ask each sample whether it may be taken.

    Raises:
        RunFolderError: a run that is not complete, or cannot be read.
        ConfigError: a filter, balance or target that does not fit them, or ids that none has.
    """
    manifests = [check_manifest(Path(run)) for run in config.runs]
    condition = parse_filter(config.filter)
    asked = list(
        dict.fromkeys(
            [
                *([] if condition is None else condition.meta.root_names()),
                *([] if config.balanced is None else [config.balanced.column]),
                *([] if config.wanted is None else [config.wanted.column]),
            ]
        )
    )
    frames = [
        _frame(number, Path(run), manifest, config, asked)
        for number, (run, manifest) in enumerate(zip(config.runs, manifests, strict=True))
    ]
    together = pl.concat(frames, how="diagonal_relaxed")
    table = together.unique("sample_id", keep="first", maintain_order=True)
    passes = passing(table, condition, config.filter)
    if config.ids is not None:
        passes = passes & _named(config.ids, table["sample_id"])
    names, codes = _categories(table, config)
    numbers = {label: number for number, label in enumerate(PERCEPTUAL)}
    groups = table["perceptual_group"].replace_strict(numbers, default=-1, return_dtype=pl.Int64)
    with_images = table["n_images"].fill_null(0) > 0
    images = pl.select(pl.when(with_images).then(table[".image_id"])).to_series()
    return Pool(
        manifests=manifests,
        run=table[".run"].to_numpy(),
        ids=table["sample_id"].to_list(),
        perceptual_group=groups.fill_null(-1).to_numpy(),
        reasoning_group=table["reasoning_group"].fill_null(-1).cast(pl.Int64).to_numpy(),
        perceptual=table[".perceptual"].to_numpy(),
        confidence=table[".confidence"].to_numpy(),
        harder=table[".harder"].to_numpy(),
        pass_rate=table["pass_rate"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        failed=(table["error"].fill_null(NO_IMAGE) != NO_IMAGE).to_numpy(),
        passes=passes,
        aim=_aim(table, config),
        category=codes,
        categories=names,
        clusters=clusters_of(images),
        repeated=len(together) - len(table),
    )


def _frame(
    number: int, run: Path, manifest: Manifest, config: ExportConfig, asked: Sequence[str]
) -> pl.DataFrame:
    """The columns of one run that are needed; those of ours begin with a point."""
    check_difficulty(run, _NEEDED)
    known = RunFolder(run).check_table().schema.names
    own = _own_columns(run, known)
    for option, column in (("balance", config.balanced), ("target", config.wanted)):
        if column is not None and column.column not in (*known, *own):
            raise _no_column(option, column.column, [*known, *own])
    check_columns(asked, [*known, *own])
    table = read_frame(
        run / DIFFICULTY_FILE,
        lambda frame: frame.select(
            list(dict.fromkeys([*_NEEDED, *(a for a in asked if a in known)]))
        ),
    )
    seen, thought = read_measures(run, [manifest.groups.by(kind).measure for kind in KINDS])
    signs = [1.0 if end_of(manifest.groups.by(kind)) == "higher" else -1.0 for kind in KINDS]
    table = table.with_columns(
        pl.lit(number, pl.Int64).alias(".run"),
        pl.Series(".perceptual", signs[0] * seen),
        pl.Series(".confidence", thought),
        pl.Series(".harder", signs[1] * thought),
    )
    if not (run / COLUMNS_FILE).exists():
        return table.with_columns(pl.lit(None, pl.String).alias(".image_id"))
    further = read_frame(
        run / COLUMNS_FILE,
        lambda frame: frame.select(
            pl.col("sample_id").cast(pl.String),
            pl.col("image_id").cast(pl.String).alias(".image_id"),
            *(pl.col(f"^{_escaped(name)}$") for name in asked if name in own),
        ),
    )
    return table.join(further, on="sample_id", how="left", maintain_order="left")


def _escaped(name: str) -> str:
    # As a pattern: a column's own name may look like one.
    return "".join(c if c.isalnum() or c == "_" else rf"\x{{{ord(c):x}}}" for c in name)


def _own_columns(run: Path, known: Sequence[str]) -> list[str]:
    file = run / COLUMNS_FILE
    if not file.exists():
        return []
    try:
        names = pq.read_schema(file).names
    except DAMAGE as error:
        raise unreadable(file, error) from error
    return [name for name in names if name not in (*KEYS, *known)]


def _no_column(option: str, column: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(column, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"
    return ConfigError(f"{option}: no column '{one_line(column, longest=80)}' in the table; {hint}")


def _named(path: str, ids: pl.Series) -> Bools:
    """Mark the samples that a file of ids names.

    Raises:
        ConfigError: it cannot be read, has no ids, or none of these samples.
    """
    file = Path(path).expanduser()
    try:
        frame = pl.scan_ndjson(file) if file.suffix in (".jsonl", ".ndjson") else None
        frame = pl.scan_parquet(file, glob=False) if frame is None else frame
        names = frame.collect_schema().names()
        column = "sample_id" if "sample_id" in names else names[0] if len(names) == 1 else None
        if column is None:
            raise ConfigError(
                f"ids: {path}: no column 'sample_id' (found: {', '.join(names)[:150]}); "
                "name it so, or leave one column"
            )
        found = frame.select(pl.col(column).cast(pl.String)).collect()[column]
    except DAMAGE as error:
        raise ConfigError(
            f"ids: {path}: cannot be read ({one_line(error, longest=150)}); pass a Parquet or "
            "JSONL file with a column 'sample_id'"
        ) from error
    marked = ids.is_in(found.implode()).to_numpy()
    if not marked.any():
        raise ConfigError(
            f"ids: {path}: none of its {len(found):,} ids is in the table; give the ids of this run"
        )
    return np.asarray(marked, np.bool_)


def _aim(table: pl.DataFrame, config: ExportConfig) -> NDArray[np.float64] | None:
    if config.wanted is None:
        return None
    column = table[config.wanted.column]
    if not column.dtype.is_numeric():
        raise ConfigError(
            f"target: '{config.wanted.column}' holds no numbers; name a column that does"
        )
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _categories(table: pl.DataFrame, config: ExportConfig) -> tuple[list[str], NDArray[np.int64]]:
    """The values of the balance's column, and which each sample has; one for all without it."""
    if config.balanced is None:
        return ["all"], np.zeros(len(table), np.int64)
    name = config.balanced.column
    column = table[name]
    texts = [NO_CATEGORY if v is None else _as_text(v) for v in column.to_list()]
    names = sorted(set(texts))
    if len(names) > MOST_CATEGORIES:
        raise ConfigError(
            f"balance: '{name}' has {len(names):,} values; name a column with {MOST_CATEGORIES} or "
            "fewer"
        )
    for asked in config.balanced.shares:
        if asked not in names:
            raise ConfigError(
                f"balance: no sample has {name} '{asked}'; there are {', '.join(names)[:300]}"
            )
    number = {text: place for place, text in enumerate(names)}
    return names, np.array([number[text] for text in texts], np.int64)


def _as_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
