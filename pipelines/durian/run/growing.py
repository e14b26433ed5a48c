"""A run that is drawn in part, and more of it later: beside the complete run, then in its place."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from durian.errors import InputError, RunFolderError
from durian.records import JsonObject
from durian.run.files import sync_folder
from durian.run.folder import (
    DIFFICULTY_FILE,
    MANIFEST,
    ROLLOUTS_FILE,
    SIGNATURES,
    SIGNATURES_FILE,
    RunFolder,
    read_table,
)
from durian.run.opening import change_run, hold_run
from durian.run.tokens import TOKENS_KEY, Tokens, part_tokens
from durian.schema import DIFFICULTY, arrow_array, arrow_type

_ALL_SAMPLES_NEEDED = (
    "difficulty", "difficulty_sd", "confidence", "confidence_sd", "estimated_from",
    "image_gain", "image_gain_sd", "image_cluster", "also_in",
    "perceptual_group", "reasoning_group",
)  # fmt: skip
_OF_THE_END = (
    "scan",
    "tables",
    "duplicates",
    "against",
    "report",
)  # stages that a part has no seconds of
_EXCHANGE = 2  # of renameat2: two names change places, and there is no moment without either


def beside(path: Path) -> Path:
    """The folder in which a complete run is extended, and which then takes its place."""
    return path.with_name(f"{path.name}.growing")


def add_to_part(
    run: RunFolder,
    number: int,
    difficulty: pa.Table,
    rollouts: pa.Table,
    seconds: Mapping[str, float],
) -> None:
    """Keep measured samples, and what a part holds of others, in the order of the dataset."""
    if run.has_part(number):
        kept = run.read_part(number)
        new = difficulty["sample_id"]
        before = kept.filter(_without(kept, new))
        tokens = [part_tokens(table.schema) for table in (kept, difficulty)]
        known = [one for one in tokens if one is not None]
        metadata = dict(difficulty.schema.metadata or {})
        metadata.pop(TOKENS_KEY, None)
        if len(known) == len(tokens):
            metadata[TOKENS_KEY] = json.dumps(asdict(sum(known, Tokens()))).encode()
        difficulty = pa.concat_tables(
            [before.replace_schema_metadata(None), difficulty.replace_schema_metadata(None)]
        )
        rows = difficulty["row"].to_numpy()
        difficulty = _taken(difficulty, np.argsort(rows)).replace_schema_metadata(metadata)
        said = run.read_rollouts(number, rollouts.column_names)
        rollouts = pa.concat_tables([said.filter(_without(said, new)), rollouts])
        place = dict(zip(difficulty["sample_id"].to_pylist(), range(len(rows)), strict=True))
        places = np.array([place[one] for one in rollouts["sample_id"].to_pylist()], np.intp)
        rollouts = _taken(rollouts, np.argsort(places, kind="stable"))
        past = run.part_seconds(number)
        seconds = {s: past.get(s, 0) + seconds.get(s, 0) for s in dict.fromkeys([*past, *seconds])}
    run.write_part(number, difficulty, rollouts, seconds)


def _without(table: pa.Table, ids: pa.ChunkedArray) -> pa.Array:
    known = pl.Series(table["sample_id"]).is_in(pl.Series(ids).implode())
    return arrow_array((~known).to_list(), pa.bool_())


def _taken(table: pa.Table, places: np.ndarray) -> pa.Table:
    return table.take(arrow_array(places.tolist(), pa.int64()))


@contextmanager
def extended(
    path: Path, identity: JsonObject, parts: Sequence[range], *, fresh: bool
) -> Iterator[RunFolder]:
    """Give a run folder beside a complete run that holds its samples; at the end it replaces it.

    The folder is gone on with where a kill left it. Until it is complete, the run stays as it was.

    Args:
        parts: the numbers of the samples of each part.
        fresh: throw away what an earlier attempt had begun.
    Raises:
        RunFolderError: one of the two is in use, or cannot be written.
    """
    path = path.resolve()
    aside = beside(path)
    begun = aside.exists()
    with change_run(path) as old:
        try:
            with hold_run(aside, identity, fresh=fresh) as run:
                _fill(old, run, parts)
                yield run
        except InputError:
            if not begun:  # wrong input, as of a model that cannot be loaded, leaves nothing
                shutil.rmtree(aside, ignore_errors=True)
            raise
        _exchange(path, aside)
        _remove(aside)


def settle(path: Path) -> None:
    """End what a kill left of an extension: the run that draws more stands, the other one goes.

    Raises:
        RunFolderError: the run is in use.
    """
    path = path.resolve()
    aside = beside(path)
    if (grown := RunFolder(aside).manifest) is None:
        return
    if not path.exists():  # a kill between two renames
        os.rename(aside, path)
    elif (here := RunFolder(path).manifest) is not None:
        with change_run(path):
            if _drawn(grown) > _drawn(here):
                _exchange(path, aside)
            _remove(aside)


def _drawn(manifest: JsonObject) -> int:
    counts = {**manifest["counts"], **manifest.get("sampled", {})}
    drawn: int = counts.get("drawn", counts["samples"])
    return drawn


def _fill(old: RunFolder, run: RunFolder, parts: Sequence[range]) -> None:
    """Write the tables of a complete run as parts, those that are not there yet."""
    table = read_table(old.path / DIFFICULTY_FILE).replace_schema_metadata(None)
    own = pl.read_parquet(old.path / "columns.parquet", glob=False)
    for name in _ALL_SAMPLES_NEEDED:  # made anew of all parts
        kind = arrow_type(DIFFICULTY[name])
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.nulls(len(table), kind))
    texts = [
        json.dumps({name: value for name, value in row.items() if value is not None})
        for row in own.drop("sample_id", "image_id").iter_rows(named=True)
    ]
    for name, values in (("image_id", own["image_id"].to_list()), ("columns", texts)):
        table = table.append_column(name, arrow_array(values, pa.string()))
    kept = old.path / SIGNATURES_FILE
    signatures = (
        read_table(kept, [SIGNATURES])[SIGNATURES]
        if kept.exists()
        else pa.nulls(len(table), pa.binary())
    )
    table = table.append_column(SIGNATURES, signatures)
    manifest = old.complete_manifest()
    tokens = manifest.get("tokens")
    seconds = manifest.get("seconds") or {}
    said = _by_part(old.path / ROLLOUTS_FILE, table["sample_id"], parts)
    for number, (places, rollouts) in enumerate(zip(parts, said, strict=True)):
        if run.has_part(number):
            continue
        # What is told of the whole run is told by its first part: only sums are ever asked for.
        of_part = tokens if number == 0 else asdict(Tokens())
        metadata = {} if of_part is None else {TOKENS_KEY: json.dumps(of_part).encode()}
        run.write_part(
            number,
            table.slice(places.start, len(places)).replace_schema_metadata(metadata),
            rollouts,
            {s: v for s, v in seconds.items() if s not in _OF_THE_END} if number == 0 else {},
        )


def _by_part(file: Path, sample_ids: pa.ChunkedArray, parts: Iterable[range]) -> Iterator[pa.Table]:
    """The completions of each part, of a table in the order of the samples, a piece at a time."""
    with pq.ParquetFile(file) as opened:
        pieces = (opened.read_row_group(n) for n in range(opened.num_row_groups))
        piece = opened.schema_arrow.empty_table()
        for places in parts:
            ids = pl.Series(sample_ids.slice(places.start, len(places)))
            gathered = []
            while True:
                here = pl.Series(piece["sample_id"]).is_in(ids.implode()).to_numpy()
                end = len(here) if here.all() else int(np.argmin(here))
                gathered.append(piece.slice(0, end))
                piece = piece.slice(end)
                if len(piece) or (coming := next(pieces, None)) is None:
                    break
                piece = coming
            yield pa.concat_tables(gathered).replace_schema_metadata(None)


def _exchange(path: Path, aside: Path) -> None:
    """Let two folders change places, at once where the file system can."""
    try:
        if not _renamed_at_once(path, aside):
            spare = path.with_name(f"{path.name}.replaced")
            shutil.rmtree(spare, ignore_errors=True)
            os.rename(path, spare)
            os.rename(aside, path)
            os.rename(spare, aside)
        sync_folder(path.parent)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be replaced by {aside} ({error.strerror}); rename that by hand"
        ) from error


def _renamed_at_once(one: Path, other: Path) -> bool:
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # no Linux
        return False
    here = -100  # AT_FDCWD
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0)


def _remove(aside: Path) -> None:
    # The manifest last: what is left by a kill before it is still known for what it is.
    for left in aside.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != MANIFEST:
            left.unlink()
    shutil.rmtree(aside)
