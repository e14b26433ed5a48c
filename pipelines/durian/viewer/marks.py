"""The samples that a person marked, with verdict and note, in a file of theirs: not in the run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import polars as pl

from durian.errors import ConfigError, one_line
from durian.run.files import written_aside
from durian.table.checked import DAMAGE

MARKED = "marked"  # the verdict of a mark without one
LONGEST_VERDICT, LONGEST_NOTE = 60, 2_000  # characters
_SCHEMA = {"sample_id": pl.String, "verdict": pl.String, "note": pl.String}


@dataclass(frozen=True)
class Mark:
    """What a person said of a sample."""

    verdict: str = MARKED
    note: str = ""


class Marks:
    """Marks by sample id; with a file, each change is on the disk before it is answered."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the file, where there is one.

        Raises:
            ConfigError: it cannot be read.
        """
        self.path, self._lock = path, Lock()
        self._marks: dict[str, Mark] = {}
        self.version = 0  # one more at each change
        if path is not None and path.exists():
            self._marks = _read(path)

    def __getitem__(self, sample_id: str) -> Mark | None:
        """The mark of a sample; None where it has none."""
        return self._marks.get(sample_id)

    def items(self) -> Mapping[str, Mark]:
        """All marks, in the order in which they were made."""
        with self._lock:
            return dict(self._marks)

    def set(self, sample_id: str, mark: Mark | None) -> None:
        """Mark a sample, or take its mark away.

        Raises:
            ConfigError: a text is too long, or the file cannot be written; nothing is changed.
        """
        if mark is not None and (
            len(mark.verdict) > LONGEST_VERDICT or len(mark.note) > LONGEST_NOTE
        ):
            raise ConfigError(
                f"a verdict has {LONGEST_VERDICT} characters at most, a note {LONGEST_NOTE:,}"
            )
        with self._lock:
            marks = {key: held for key, held in self._marks.items() if key != sample_id}
            if mark is not None:
                marks[sample_id] = mark
            if self.path is not None:
                try:
                    with written_aside(self.path) as aside:
                        aside.write_bytes(_written(marks, self.path.suffix))
                except OSError as error:
                    raise ConfigError(f"{self.path}: {error.strerror}; the mark is lost") from error
            self._marks, self.version = marks, self.version + 1


def ids_file(ids: Iterable[str], suffix: str) -> bytes:
    """A file of sample ids, .jsonl or .parquet, as `durian export --ids` reads it."""
    frame = pl.DataFrame({"sample_id": list(ids)}, schema={"sample_id": pl.String})
    return _bytes(frame, suffix)


def _written(marks: Mapping[str, Mark], suffix: str) -> bytes:
    rows = [(key, mark.verdict, mark.note) for key, mark in marks.items()]
    return _bytes(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), suffix)


def _bytes(frame: pl.DataFrame, suffix: str) -> bytes:
    if suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in frame.iter_rows(named=True))
        return "".join(lines).encode()
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def _read(path: Path) -> dict[str, Mark]:
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        else:
            rows = pl.read_parquet(path).to_dicts()
        return {
            str(row["sample_id"]): Mark(row.get("verdict") or MARKED, row.get("note") or "")
            for row in rows
        }
    except (*DAMAGE, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"marks: {path}: cannot be read ({one_line(error, longest=100)}); name a new file, or "
            "one with a column 'sample_id'"
        ) from error
