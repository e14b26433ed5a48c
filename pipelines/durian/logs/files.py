"""The files of a log, in the order of their numbers, and what stands in them line by line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from pyarrow.parquet import ParquetFile

from durian.errors import DatasetError
from durian.logs.forms import FORMS, Logged, check_columns
from durian.readers.arrow_files import ParquetSource
from durian.readers.opened import COMPRESSED, kind_of
from durian.readers.rows import BadRow, Source, Wanted
from durian.readers.text_files import CsvSource, JsonSource


@dataclass(kw_only=True)
class Unread:
    """Lines that gave no completion: by reason, the first of each; batches that came again."""

    reasons: dict[str, int] = field(default_factory=dict)
    first: str | None = None  # where, and why
    repeated: int = 0  # completions

    def add(self, place: str, why: str) -> None:
        """Count one line."""
        self.reasons[why] = self.reasons.get(why, 0) + 1
        self.first = self.first or f"{place}: {why}"


class LogFiles:
    """The files of one log, to be read as often as needed."""

    def __init__(self, logs: str, form: str) -> None:
        """Find the files and look at the columns of the first.

        Raises:
            DatasetError: there are none, they cannot be read, or they are no log of that program.
        """
        self.name, self.form = logs, form
        self.paths = _find(logs, FORMS[form].files, form)
        first = _source(self.paths[0])
        check_columns(form, first.columns() or (), first.name)

    @property
    def bytes(self) -> int:
        """Size of all files, unpacked, about."""
        return sum(map(_size, self.paths))

    def fingerprint(self) -> str:
        """32 hex digits of the content of all files."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            with path.open("rb") as file:
                of_file = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
            digest.update(of_file.digest())
        return digest.hexdigest()

    def completions(self, unread: Unread) -> Iterator[Logged]:
        """All completions, in the order of the log; what gave none is counted in `unread`.

        Raises:
            DatasetError: a file is damaged, so that its lines cannot be told.
        """
        last: bytes | None = None
        for batch in self._batches(unread):
            # A trainer writes what it has drawn at each step that it logs, and trains on one draw
            # for several steps: counted twice, those completions would look surer than they are.
            if FORMS[self.form].batches:
                digest = _digest(batch)
                if digest == last:
                    unread.repeated += len(batch)
                    continue
                last = digest
            yield from batch

    def _batches(self, unread: Unread) -> Iterator[list[Logged]]:
        """The completions of each line; of a Parquet file that is one batch, all of them."""
        form = FORMS[self.form]
        for path in self.paths:
            source = _source(path)
            names, batch = source.light(source.columns() or ()), []
            check_columns(self.form, names, source.name)
            whole = form.batches and kind_of(path) == ".parquet"
            for position, row in source.rows(names, Wanted()):
                try:
                    if isinstance(row, BadRow):
                        raise ValueError(re.sub(r"^line \d+ ", "", row.error))
                    found = list(form.read(row))
                except ValueError as error:
                    unread.add(f"{path}, line {position + 1}", str(error))
                    continue
                if whole:
                    batch += found
                else:
                    yield found
            if batch:
                yield batch


def _digest(batch: list[Logged]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for one in batch:
        for text in (one.prompt or "", one.completion):
            digest.update(text.encode("utf-8", "backslashreplace") + b"\0")
    return digest.digest()


def _source(path: Path) -> Source:
    match kind_of(path):
        case ".parquet":
            return ParquetSource(path)
        case ".csv" | ".tsv":
            return CsvSource(path)
        case _:
            return JsonSource(path, "train")


def _find(logs: str, names: tuple[str, ...], form: str) -> list[Path]:
    path = Path(logs).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = {file for name in names for file in path.rglob(name) if file.is_file()}
        if not found:
            raise DatasetError(
                f"{logs}: no {' or '.join(names)} in this folder, as {form} writes them; give the "
                "file, or pass another --from"
            )
    elif has_magic(logs):
        found = {file for name in glob(str(path), recursive=True) if (file := Path(name)).is_file()}
        if not found:
            raise DatasetError(f"{logs}: no file matches; check the pattern")
    else:
        raise DatasetError(f"{logs}: no such file or folder; check the path")
    return sorted(found, key=_by_numbers)


def _by_numbers(path: Path) -> list[str | int]:
    """10.jsonl after 9.jsonl: the steps of a training in their order."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _size(path: Path) -> int:
    if kind_of(path) != ".parquet":
        return path.stat().st_size * (10 if path.suffix in COMPRESSED else 1)  # about
    with ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        return sum(int(file.metadata.row_group(n).total_byte_size) for n in groups)
