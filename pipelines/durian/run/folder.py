"""The run folder: parts, lock, resume, manifest. What is in it is whole, whenever the run stops.

Of a profile; an evaluation keeps one too, whose parts hold outcomes where these hold difficulty.

RUN/parts/identity.json           what the run is of; a different one is refused
RUN/parts/lock                    held by the process that works on the run; of several that
                                  share it (shards), by the one that begins, or completes it
RUN/parts/shard-00002.lock        held by the process that measures that shard's parts
RUN/parts/config.json             of shards: the settings, with which any process can complete it
RUN/parts/part-00007.parquet      difficulty rows of one part
RUN/parts/rollouts-00007.parquet  its completions; written first, so the part above ends it
RUN/manifest.json                 written last: a folder that has one is complete
RUN/lock                          held by the process that changes a complete run; gone after it

How the groups were cut stands in the table's own metadata, so that the two can never disagree.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from durian.config.options import Config, default_values
from durian.errors import RunFolderError, one_line
from durian.groups import GroupCuts
from durian.measures import Column
from durian.records import JsonObject, as_json
from durian.run.files import find_json, parse_json, sync_folder, write_json, written_aside
from durian.run.lock import Held, holder_of
from durian.run.manifest import Manifest
from durian.run.tokens import Tokens, part_tokens
from durian.schema import (
    DIFFICULTY,
    ROLLOUTS,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    arrow_schema,
    current,
)

MANIFEST = "manifest.json"
DIFFICULTY_FILE = "difficulty.parquet"
ROLLOUTS_FILE = "rollouts.parquet"
THUMBNAILS_FILE = "thumbnails.parquet"
LEAKS_FILE = "leaks.parquet"  # some samples that another set holds too, with both pictures
SIGNATURES_FILE = "signatures.parquet"  # where duplicates were measured
SIGNATURES = "signatures"  # its column, and a part's: of all images of a sample, one behind another
REPORT_FOLDER = "report"
SUMMARY_FILE = "summary.json"  # in the report folder
LOCK_FILE = "lock"
NAMED = "named"  # beside a run's identity: names for its fingerprints, which are not compared
SECONDS_KEY = b"durian.seconds"
GROUPS_KEY = b"durian.groups"
_KINDS = {
    None: "a profile",
    "evaluation": "an evaluation",
    "import": "an imported log",
}  # by the kind in an identity


@dataclass(frozen=True)
class RunFolder:
    """The folder of a profile or an evaluation, while this process holds its lock."""

    path: Path
    held: Held = field(default_factory=Held, compare=False)  # by which it, or a shard, is held

    @property
    def parts(self) -> Path:
        """The folder of unfinished work."""
        return self.path / "parts"

    @property
    def identity(self) -> Path:
        """The identity of the unfinished run."""
        return self.parts / "identity.json"

    @property
    def settings(self) -> Path:
        """The settings of an unfinished run in shards, and the folder that they were given in."""
        return self.parts / "config.json"

    def shard_lock(self, number: int) -> Path:
        """The lock of one shard of the unfinished run."""
        return self.parts / f"shard-{number:05d}.lock"

    def shards_at_work(self) -> dict[int, str]:
        """Who holds which shard of the unfinished run."""
        found = {
            int(lock.stem.removeprefix("shard-")): holder_of(lock)
            for lock in sorted(self.parts.glob("shard-*.lock"))
        }
        return {number: holder for number, holder in found.items() if holder is not None}

    @property
    def manifest(self) -> JsonObject | None:
        """The manifest of a complete run; None while it is not."""
        return read_manifest(self.path)

    def complete_manifest(self) -> JsonObject:
        """The manifest of a run that is complete, its `groups` as the table has them now.

        Raises:
            RunFolderError: it is not, or this is no run folder.
        """
        if (manifest := self.manifest) is None:
            raise RunFolderError(
                f"{self.path}: is not complete: run its profile again"
                if self.parts.is_dir()
                else f"{self.path}: is not a run folder (no manifest.json); "
                "give the --out of a profile"
            )
        # Regrouping replaces the table by one rename and then writes the manifest. A kill between
        # the two leaves the manifest's groups behind the table's, so the table has the last word.
        if (groups := _groups_of(self.path / DIFFICULTY_FILE)) is not None:
            return {**manifest, "groups": groups}
        return manifest

    def check_table(self) -> pq.FileMetaData:
        """The metadata of the difficulty table's file.

        Raises:
            RunFolderError: it cannot be read, or is of a newer Durian.
        """
        path = self.path / DIFFICULTY_FILE
        found = _read_footer(path)
        if (version := _version_of(path, found)) > SCHEMA_VERSION:
            raise RunFolderError(
                f"{path}: is of a newer Durian (table version {version}, known here: "
                f"{SCHEMA_VERSION}); update durian"
            )
        return found

    def check_tables(self) -> pq.FileMetaData:
        """Find all tables of the run whole, then do as `check_table`.

        Raises:
            RunFolderError: one is not there, cut short, or of a newer Durian.
        """
        needed = {self.path / name for name in (ROLLOUTS_FILE, THUMBNAILS_FILE)}
        for table in sorted(needed.union(self.path.glob("*.parquet"))):
            _read_footer(table)
        return self.check_table()

    def has_part(self, number: int) -> bool:
        """Whether a part is finished."""
        return self._part(number).exists() and self._rollouts_part(number).exists()

    def write_part(
        self,
        number: int,
        difficulty: pa.Table,
        rollouts: pa.Table,
        seconds: Mapping[str, float],
    ) -> None:
        """Keep a finished part for good; its seconds by stage go along in the file's metadata.

        Raises:
            RunError: the run may be another process's by now.
        """
        self.held.check()
        # The completions first: `has_part` asks for both, so a kill between the two leaves
        # completions without a part, which are written over. The other way round a finished part
        # would lack them.
        with written_aside(self._rollouts_part(number)) as aside:
            pq.write_table(rollouts, aside, compression="zstd")
        timed = {
            **(difficulty.schema.metadata or {}),
            SECONDS_KEY: json.dumps(dict(seconds)).encode(),
        }
        with written_aside(self._part(number)) as aside:
            pq.write_table(difficulty.replace_schema_metadata(timed), aside, compression="zstd")

    def finished_parts(self) -> list[int]:
        """Numbers of the finished parts, rising."""
        found = (int(p.stem.removeprefix("part-")) for p in self.parts.glob("part-*.parquet"))
        return sorted(filter(self.has_part, found))

    def part_seconds(self, number: int) -> dict[str, float]:
        """Seconds by stage that a finished part took."""
        metadata = pq.read_schema(self._part(number)).metadata
        seconds: dict[str, float] = json.loads(metadata[SECONDS_KEY])
        return seconds

    def tokens(self) -> Tokens | None:
        """Tokens of all the finished parts; None where a part of an older Durian is among them."""
        parts = [part_tokens(pq.read_schema(self._part(n))) for n in self.finished_parts()]
        known = [tokens for tokens in parts if tokens is not None]
        return sum(known, Tokens()) if len(known) == len(parts) else None

    def read_part(self, number: int) -> pa.Table:
        """All that a finished part holds of its samples."""
        return read_table(self._part(number))

    def read_rollouts(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """Some columns of the completions of a finished part; None for all."""
        return read_table(self._rollouts_part(number), columns)

    def read_part_columns(self, columns: list[str], parts: Iterable[int] = ()) -> pa.Table:
        """Some columns of all parts, or of those named, in the order of the dataset."""
        numbers = list(parts) or self.finished_parts()
        return pa.concat_tables([read_table(self._part(n), columns=columns) for n in numbers])

    def join_parts(self, groups: Mapping[str, pa.Array], cuts: GroupCuts) -> None:
        """Write the two tables from the parts, a part at a time, with the group columns filled.

        Args:
            groups: column name -> one label a sample, over all parts in order.
            cuts: how the groups were cut, kept in the table's metadata.
        """
        # A part at a time is read, labelled and written: a table of millions of rows with their
        # completions would not fit in memory. `current` brings parts that an older Durian left to
        # the columns of this one.
        parts = (current(self.read_part(n), DIFFICULTY) for n in self.finished_parts())
        self._write_difficulty(parts, arrow_schema(DIFFICULTY), groups, cuts)
        self.join_rollouts(ROLLOUTS)

    def join_rollouts(self, columns: dict[str, Column]) -> None:
        """Write the table of completions from the parts, a part at a time."""
        schema = arrow_schema(columns)
        with (
            written_aside(self.path / ROLLOUTS_FILE) as aside,
            pq.ParquetWriter(aside, schema, compression="zstd") as writer,
        ):
            for number in self.finished_parts():
                rollouts = current(read_table(self._rollouts_part(number)), columns)
                writer.write_table(rollouts.replace_schema_metadata(schema.metadata))

    def regroup(self, groups: Mapping[str, pa.Array], cuts: GroupCuts) -> None:
        """Write the difficulty table of a complete run with other groups, a row group at a time.

        Args:
            groups, cuts: as `join_parts` takes them.
        """
        with pq.ParquetFile(self.path / DIFFICULTY_FILE) as file:
            row_groups = (file.read_row_group(n) for n in range(file.num_row_groups))
            self._write_difficulty(row_groups, file.schema_arrow, groups, cuts)

    def _write_difficulty(
        self,
        tables: Iterable[pa.Table],
        schema: pa.Schema,
        groups: Mapping[str, pa.Array],
        cuts: GroupCuts,
    ) -> None:
        kept = {**(schema.metadata or {}), GROUPS_KEY: json.dumps(as_json(cuts)).encode()}
        schema = schema.with_metadata(kept)
        with (
            written_aside(self.path / DIFFICULTY_FILE) as aside,
            pq.ParquetWriter(aside, schema, compression="zstd") as writer,
        ):
            start = 0
            for table in tables:
                for name, labels in groups.items():
                    column = table.schema.get_field_index(name)
                    label = labels.slice(start, table.num_rows)
                    table = table.set_column(column, schema.field(name), label)
                writer.write_table(table.replace_schema_metadata(kept))
                start += table.num_rows

    def write_manifest(self, manifest: Manifest | JsonObject) -> None:
        """Write the manifest, whole or not at all."""
        write_json(self.path / MANIFEST, manifest)

    def finish(self, manifest: Manifest | JsonObject) -> None:
        """Write the manifest, which makes the run complete, and clear the parts away.

        Raises:
            RunError: as `write_part`.
        """
        self.held.check()
        self.write_manifest(manifest)
        self.clear_parts()

    def strays(self) -> list[Path]:
        """Find the leftovers of a kill in a complete run: parts, a lock, half-written files."""
        left = [self.parts] if self.parts.exists() else []
        return [*left, *self.path.glob(f"{LOCK_FILE}*"), *self._asides()]

    def sweep(self) -> None:
        """Remove half-written files beside the tables; for the holder of the lock."""
        for aside in self._asides():
            aside.unlink(missing_ok=True)

    def _asides(self) -> list[Path]:
        kinds = ("*.parquet", "*.json", "*.html", f"{REPORT_FOLDER}/*")
        return [aside for kind in kinds for aside in self.path.glob(f"{kind}.tmp")]

    def clear_parts_of(self, numbers: Iterable[int]) -> None:
        """Remove some finished parts, to measure them anew."""
        for number in numbers:
            self._part(number).unlink(missing_ok=True)
            self._rollouts_part(number).unlink(missing_ok=True)
        sync_folder(self.parts)

    def clear_parts(self) -> None:
        """Remove unfinished work."""
        shutil.rmtree(self.parts, ignore_errors=True)
        sync_folder(self.path)

    def _part(self, number: int) -> Path:
        return self.parts / f"part-{number:05d}.parquet"

    def _rollouts_part(self, number: int) -> Path:
        return self.parts / f"rollouts-{number:05d}.parquet"


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as one Arrow table, or some of its columns.

    Pyarrow's own `read_table` goes by its datasets, whose import brings pandas: a second for each
    command that reads a table of ours, which is a single file.
    """
    with pq.ParquetFile(path) as file:
        return file.read(columns)


def table_version(table: Path) -> int:
    """The version of a difficulty table's columns.

    Raises:
        RunFolderError: it cannot be read, or does not say.
    """
    return _version_of(table, _read_footer(table))


def _version_of(table: Path, found: pq.FileMetaData) -> int:
    try:
        return int((found.metadata or {})[SCHEMA_KEY])
    except KeyError:
        raise RunFolderError(
            f"{table}: cannot be read (its metadata has no {SCHEMA_KEY.decode()}: another "
            "program wrote it); profile again"
        ) from None
    except ValueError as error:
        raise unreadable(table, error) from error


def _read_footer(table: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(table)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(table, error) from error


def _groups_of(table: Path) -> JsonObject | None:
    """The cuts of a difficulty table's groups, from its metadata; None where it has none."""
    try:
        described = (pq.read_schema(table).metadata or {}).get(GROUPS_KEY)
    except (OSError, ValueError, pa.ArrowException):
        return None  # whoever reads the table itself says what is wrong with it
    try:
        groups: JsonObject | None = None if described is None else parse_json(described)
    except (ValueError, RecursionError) as error:
        raise unreadable(table, error) from error
    return groups


def read_manifest(path: Path) -> JsonObject | None:
    """The manifest of a complete run folder, or None where there is none.

    Raises:
        RunFolderError: it is there and cannot be read.
    """
    return find_json(path / MANIFEST, "profile again")


def unreadable(path: Path, error: Exception) -> RunFolderError:
    """A table that cannot be read, as one line."""
    return RunFolderError(f"{path}: cannot be read ({one_line(error)}); profile again")


def check_usable(path: Path) -> None:
    """Refuse a path that cannot be a run folder.

    Raises:
        RunFolderError: it is a file, or a folder with other things in it.
    """
    if path.is_file():
        raise RunFolderError(f"{path}: is a file; --out names a folder")
    if path.is_dir() and any(path.iterdir()):
        if not (path / MANIFEST).exists() and not (path / "parts").is_dir():
            raise RunFolderError(f"{path}: holds other files and no run; choose another --out")


def check_same(
    path: Path,
    known: JsonObject,
    identity: JsonObject,
    way_out: str,
    *,
    config: type[Config],
) -> None:
    """Refuse to go on with a folder of another identity.

    Args:
        known: the folder's; a key that it lacks is of an option newer than it.
        identity: today's. Its `named` is no part of it: by key, what a person calls a value that is
            a fingerprint.
        config: what the options are declared in.
    Raises:
        RunFolderError: names the first key that differs, with both values.
    """
    # Without the option, an older Durian did what its default does.
    # Through JSON, as the folder's own was: a tuple of settings and the list that was read back
    # would otherwise differ without a difference.
    then, now = json.loads(json.dumps([{**default_values(config), **known}, identity]))
    named, names = then.pop(NAMED, {}), now.pop(NAMED, {})
    # First of all, what kind of run it is.
    if then.get("kind") != now.get("kind"):
        one, other = (_KINDS.get(of.get("kind"), _KINDS[None]) for of in (then, now))
        raise RunFolderError(f"{path}: holds {one}, not {other}; choose another --out")
    for key in sorted((known.keys() | now.keys()) - {NAMED}):
        if then.get(key) == now.get(key):
            continue
        was, today = (
            of[key] if of.get(key) else _brief(value.get(key))
            for of, value in ((named, then), (names, now))
        )
        how = "whose content is another now" if was == today else f"not {today}"
        raise RunFolderError(f"{path}: was made with {key} {was}, {how}; {way_out}")


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
