"""A complete run's files, checked before anything is made of them: one line names what is wrong.

A run folder comes from elsewhere as often as not: copied half, edited by hand, written by another
version. Each command that reads one asks here first, so that it fails before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from durian.errors import RunFolderError
from durian.groups import PERCEPTUAL
from durian.run.files import read_json
from durian.run.folder import (
    DIFFICULTY_FILE,
    MANIFEST,
    REPORT_FOLDER,
    ROLLOUTS_FILE,
    SUMMARY_FILE,
    THUMBNAILS_FILE,
    RunFolder,
    table_version,
    unreadable,
)
from durian.run.manifest import Manifest, manifest_of
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_type, known_at
from durian.table.columns import COLUMNS_FILE, KEYS

if TYPE_CHECKING:
    from durian.analysis.one_run.summary import Summary

# A panic of polars' Rust code, which some damaged files cause, is no `Exception`: unless it is
# named it passes every other handler.
DAMAGE = (OSError, pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_FILLED = ("row", "copies", "problem", "answer", "n_images")  # in every row, beside the id
_SHARES = ("pass_rate", "format_rate")
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "whole numbers": pa.types.is_integer,
    "numbers": pa.types.is_floating,
    "flags": pa.types.is_boolean,
    "bytes": lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
}


def check_run(path: Path) -> Manifest:
    """The manifest of a complete profile, when it and all tables are as a profile writes them.

    Raises:
        RunFolderError: they are not, or of a newer Durian: names the file, the key or column.
    """
    manifest = check_manifest(path)
    RunFolder(path).check_table()
    version = table_version(path / DIFFICULTY_FILE)
    check_difficulty(path, known_at(DIFFICULTY, version))
    _check_rollouts(path / ROLLOUTS_FILE, known_at(ROLLOUTS, version))
    if (path / COLUMNS_FILE).exists():
        _check_further(path)
    if (path / THUMBNAILS_FILE).exists():
        _check_types(path / THUMBNAILS_FILE, {"sample_id": "text", "jpeg": "bytes"})
    return manifest


def check_manifest(path: Path) -> Manifest:
    """The manifest of a complete profile.

    Raises:
        RunFolderError: no complete run, not of a profile, or a key that is missing or of no use.
    """
    manifest = RunFolder(path).complete_manifest()
    if not isinstance(manifest.get("groups"), dict):  # a training's folder has a manifest too
        raise RunFolderError(
            f"{path / MANIFEST}: is not of a profile; give the --out of a durian profile"
        )
    try:
        return manifest_of(manifest)
    except ValueError as error:
        raise RunFolderError(f"{path / MANIFEST}: {error}; profile again") from error


def check_summary(path: Path) -> Summary:
    """The numbers of a complete profile's report.

    Raises:
        RunFolderError: the file is not there, or damaged.
    """
    from durian.analysis.one_run.summary import read_summary  # here: it loads scipy

    file, way_out = path / REPORT_FOLDER / SUMMARY_FILE, f"run: durian report {path}"
    try:
        return read_summary(read_json(file, way_out))
    except ValueError as error:
        raise RunFolderError(f"{file}: {error}; {way_out}") from error


def check_difficulty(path: Path, columns: Sequence[str]) -> None:
    """Refuse a difficulty table that lacks some columns, or holds in them what cannot be.

    Raises:
        RunFolderError: unreadable, newer, or a column is missing, of another type, or holds a
            null, NaN, repeated id or number that it cannot hold.
    """
    file = path / DIFFICULTY_FILE
    RunFolder(path).check_table()
    _check_types(file, {name: _kind(arrow_type(DIFFICULTY[name])) for name in columns})
    text = {name for name in columns if DIFFICULTY[name].type == "string"}
    filled = [name for name in ("sample_id", *_FILLED) if name in columns]
    # All faults of a table are asked for in one pass: it may have millions of rows, and a pass
    # reads every column that it asks about.
    checks = [pl.col(name).is_null().any().alias(f"null {name}") for name in filled]
    checks += _finite(name for name in columns if DIFFICULTY[name].type == "float64")
    checks += [_outside(name, 0, 1) for name in _SHARES if name in columns]
    checks += [
        _outside(name, 0, None)
        for name in columns
        if name not in text and DIFFICULTY[name].type != "float64"
    ]
    if "perceptual_group" in columns:
        known = pl.col("perceptual_group").is_in(PERCEPTUAL)
        checks.append(known.not_().any().alias("unknown perceptual_group"))
    found = read_frame(
        file,
        lambda frame: frame.select(
            pl.len().alias("rows"), pl.col("sample_id").n_unique().alias("ids"), *checks
        ),
    ).row(0, named=True)
    rows, ids = found.pop("rows"), found.pop("ids")
    if not rows:
        raise RunFolderError(f"{file}: has no rows; profile again")
    _refuse_first(file, found)
    if ids < rows:
        raise RunFolderError(
            f"{file}: has {rows - ids:,} repeated ids in 'sample_id'; profile again"
        )


def read_frame(file: Path, choose: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
    """The columns that are read of a run's table.

    Raises:
        RunFolderError: the file cannot be read.
    """
    try:
        return choose(pl.scan_parquet(file, glob=False)).collect()
    except DAMAGE as error:
        raise unreadable(file, error) from error


def filled_columns(table: pl.DataFrame) -> set[str]:
    """The columns that hold anything."""
    return {column.name for column in table if column.null_count() < len(column)}


def with_image(rollouts: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the completions that were drawn with the image; an older table has no others."""
    if "blind" not in rollouts.collect_schema().names():
        return rollouts
    return rollouts.filter(pl.col("blind").fill_null(False).not_())


def _check_rollouts(file: Path, columns: Sequence[str]) -> None:
    _check_types(file, {name: _kind(arrow_type(ROLLOUTS[name])) for name in columns})
    keys = ["sample_id", "rollout"]
    found = read_frame(
        file,
        lambda frame: frame.select(
            *(pl.col(name).is_null().any().alias(f"null {name}") for name in keys),
            *_finite(name for name in columns if ROLLOUTS[name].type == "float64"),
            _outside("rollout", 0, None),
            _outside("n_tokens", 1, None),
        ),
    ).row(0, named=True)
    _refuse_first(file, found)
    repeated = read_frame(
        file,
        lambda frame: (
            frame.group_by("sample_id")
            .agg(again=pl.len() - pl.col("rollout").n_unique())
            .select(pl.col("again").sum())
        ),
    ).item()
    if repeated:
        raise RunFolderError(
            f"{file}: has {repeated:,} repeated pairs of 'sample_id' and 'rollout'; profile again"
        )


def _check_further(path: Path) -> None:
    """Refuse a columns.parquet that is not of the table beside it, row by row."""
    file = path / COLUMNS_FILE
    _check_types(file, dict.fromkeys(KEYS, "text"))
    schema = _schema(file)
    checks = [
        _not_finite(pl.nth(place), field.name)  # its name may be a pattern of columns, "^.*$"
        for place, field in enumerate(schema)
        if pa.types.is_floating(field.type)
    ]
    if checks:
        found = read_frame(file, lambda frame: frame.select(checks))
        _refuse_first(file, found.row(0, named=True))
    # The rows are joined to the table by their place, not by id: in another order each sample would
    # have the level or the source of another one, and every number by column be wrong without a
    # sign.
    ids = [
        read_frame(one, lambda frame: frame.select("sample_id"))["sample_id"]
        for one in (file, path / DIFFICULTY_FILE)
    ]
    if not ids[0].equals(ids[1]):
        raise RunFolderError(
            f"{file}: has other samples than {DIFFICULTY_FILE}, or another order; profile again"
        )


def _check_types(file: Path, columns: dict[str, str]) -> None:
    schema = _schema(file)
    for name, kind in columns.items():
        if schema.names.count(name) != 1:
            count = "has twice" if name in schema.names else "lacks"
            raise RunFolderError(f"{file}: {count} the column '{name}'; profile again")
        if not _KINDS[kind](found := schema.field(name).type):
            raise RunFolderError(
                f"{file}: column '{name}' is of type {found}, not {kind}; profile again"
            )


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(file, error) from error


def _refuse_first(file: Path, found: dict[str, bool | None]) -> None:
    for fault, there in found.items():
        if there:
            what, _, name = fault.partition(" ")
            raise RunFolderError(f"{file}: column '{name}' {_FAULTS[what]}; profile again")


_FAULTS = {
    "null": "has nulls",
    "infinite": "has NaN or infinite numbers",
    "outside": "has numbers that it cannot hold",
    "unknown": f"has other groups than {', '.join(PERCEPTUAL)}",
}


def _finite(names: Iterable[str]) -> list[pl.Expr]:
    return [_not_finite(pl.col(name), name) for name in names]


def _not_finite(column: pl.Expr, name: str) -> pl.Expr:
    return column.is_finite().not_().any().alias(f"infinite {name}")


def _outside(name: str, least: float, most: float | None) -> pl.Expr:
    wrong = pl.col(name) < least
    if most is not None:
        wrong |= pl.col(name) > most
    return wrong.any().alias(f"outside {name}")


def _kind(kind: pa.DataType) -> str:
    return next(name for name, test in _KINDS.items() if test(kind))
