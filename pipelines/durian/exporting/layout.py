"""Write the rows of each set: own columns beside the form's, in the order that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from durian.config import ExportConfig
from durian.exporters.base import IMAGES, PATHS, Chat, Form, Given, with_marks, with_texts
from durian.exporting.cells import ColumnTypes
from durian.exporting.choose import Chosen
from durian.exporting.completions import Picked
from durian.exporting.files import JsonRows, ParquetRows, RowFile, schema_of
from durian.exporting.gather import Gathered
from durian.exporting.pictures import Pictures
from durian.exporting.pool import Places, Pool
from durian.exporting.record import PartCounts
from durian.places import Place
from durian.records import JsonObject
from durian.run.progress import Progress

_OWN = "own_"  # before the name of an own column whose name is taken


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of the files."""

    form: Form
    chat: Chat | None
    paths: bool
    types: ColumnTypes
    names: Mapping[str, str]  # of the own columns: in the dataset -> in the file
    schema: pa.Schema

    @property
    def renamed(self) -> dict[str, str]:
        """The own columns that have another name in the file."""
        return {old: new for old, new in self.names.items() if old != new}


def layout_of(form: Form, config: ExportConfig, types: ColumnTypes) -> Layout:
    """Settle the columns: the form's, and the dataset's own, renamed where a name is taken."""
    chat: Chat | None = form.chat
    if config.messages is not None:
        chat = "parts" if config.messages == "parts" else "marks"
    paths = config.images == "paths"
    images = PATHS if paths and form.texts else IMAGES
    taken = (set(form.fields({}, images, chat)) | form.reserved) - form.merges
    names: dict[str, str] = {}
    for name in types.types:
        new = name
        while new in taken or (new != name and new in types.types):
            new = _OWN + new
        names[name] = new
    own = {names[name]: kind for name, kind in types.types.items()}
    schema = schema_of(form.fields(own, images, chat), decoded=form.decoded)
    return Layout(form=form, chat=chat, paths=paths, types=types, names=names, schema=schema)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What the files of all sets are written from, and where to."""

    folder: Path  # written to
    final: Place  # where it will lie
    pool: Pool
    found: Gathered
    picked: Picked | None
    layout: Layout

    def sets(self, config: ExportConfig, chosen: Chosen, progress: Progress) -> list[PartCounts]:
        """Write a file for each set."""
        place_of = np.array(self.found.place, np.int64)
        records = {
            name: _records(config, places, place_of, len(self.pool))
            for name, places in chosen.sets.items()
        }
        progress.start("write", sum(map(len, records.values())))
        form, layout = self.layout.form, self.layout
        pictures = Pictures(form, paths=layout.paths, folder=self.folder, final=self.final)
        counts = []
        for name, numbers in records.items():
            file, written = f"{name}.{form.ending}", 0
            with closing(_open(self.folder / file, layout)) as rows:
                for number in numbers:
                    progress.advance("write")
                    record = self.found.spool[int(number)]
                    size = sum(map(len, record["images"])) + 1000
                    given = self._given(record, name, int(place_of[number]), pictures)
                    for row in form.rows(given):
                        rows.add(row, size)
                        written += 1
            samples = len(np.unique(place_of[numbers]))
            counts.append(PartCounts(name=name, file=file, samples=samples, rows=written))
        return counts

    def _given(self, record: JsonObject, part: str, place: int, pictures: Pictures) -> Given:
        right, wrong = ([], []) if self.picked is None else self.picked.of(place)
        own, names = self.layout.types.fit(record["own"]), self.layout.names
        messages = record["messages"]
        return Given(
            row=record["row"],
            part=part,
            source=record["source"],
            problem=record["problem"],
            marked=record["marked"],
            messages=with_texts(messages) if self.layout.chat == "parts" else with_marks(messages),
            answer=record["answer"],
            images=[pictures.cell(image) for image in record["images"]],
            labels=self.pool.labels(place),
            own={names[name]: cell for name, cell in own.items()},
            right=right,
            wrong=wrong,
        )


def _open(file: Path, layout: Layout) -> RowFile:
    return ParquetRows(file, layout.schema) if file.suffix == ".parquet" else JsonRows(file)


def _records(
    config: ExportConfig, places: Places, place_of: NDArray[np.int64], samples: int
) -> NDArray[np.int64]:
    """The records of a set's samples, copies too, in the order in which they are written."""
    rank = np.full(samples, -1, np.int64)
    rank[places] = np.arange(len(places))
    records = np.flatnonzero(rank[place_of] >= 0)
    if config.order == "dataset":
        return records
    if config.order == "shuffle":  # the rows, so that copies do not stand together
        return np.random.default_rng(config.seed).permutation(records)
    return records[np.argsort(rank[place_of[records]], kind="stable")]
