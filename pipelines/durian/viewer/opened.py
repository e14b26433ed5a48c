"""A run opened to be looked at: tables, completions, images, marks; nothing of it is written."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from durian.config import PicturesConfig, ProfileConfig, ViewConfig
from durian.errors import ConfigError
from durian.readers.profiled import open_profiled
from durian.records import JsonObject
from durian.run.manifest import Manifest
from durian.table.checked import check_manifest
from durian.viewer.columns import VERDICT, ViewColumn
from durian.viewer.completions import Completions
from durian.viewer.marks import Marks
from durian.viewer.pictures import Pictures
from durian.viewer.table import SampleTable
from durian.viewer.view import View

# By what samples are sorted at first, the hardest first: of the columns that a run has.
_HARDEST = (("difficulty", True), ("pass_rate", False), ("mean_logprob", False),
            ("pixel_entropy", True))  # fmt: skip
_SHOWN = ("row", "problem", "answer", "why", "pass_rate", "difficulty", "consensus_answer",
          "mean_logprob", "perceptual_group", "reasoning_group", "pixel_entropy", "change",
          "B: pass_rate")  # fmt: skip
_FACETS = ("why", "pass_rate", "difficulty", "perceptual_group", "reasoning_group", "answer_kind",
           "change", "moved", "B: pass_rate", "mean_logprob", "pixel_entropy", "label_doubt",
           "image_gain",
           "error")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run, and the second one if there is one, as the page asks for them."""

    config: ViewConfig
    manifest: Manifest
    table: SampleTable
    completions: Completions
    pictures: Pictures
    marks: Marks
    second: tuple[Manifest, Completions] | None

    @property
    def first_view(self) -> View:
        """What is shown at first: the samples of --filter, the hardest first."""
        known = self.table.columns
        sort, down = next((pair for pair in _HARDEST if pair[0] in known), (None, False))
        return View(sql=self.config.filter, sort=sort, down=down)

    @property
    def described(self) -> JsonObject:
        """What the page needs to know of the run before it asks for samples."""
        columns = self.table.columns
        facets = [name for name in _FACETS if name in columns]
        facets += [c.name for c in columns.values() if c.whose == "dataset" and c.kind == "choice"]
        return {
            "run": str(self.config.run),
            "second": None if self.config.run_b is None else str(self.config.run_b),
            "dataset": self.manifest.dataset.name,
            "model": self.manifest.model.name,
            "models": None if self.second is None else self.second[0].model.name,
            "samples": len(self.table),
            "columns": [_described(column) for column in columns.values()],
            "shown": [name for name in _SHOWN if name in columns],
            "facets": [*facets, VERDICT],
            "view": self.first_view.as_json,
            "marks": None if self.marks.path is None else str(self.marks.path),
            "run_argument": shlex.quote(str(self.config.run)),
        }

    def as_filter(self, view: View) -> JsonObject:
        """A view as the condition that `--filter` takes, or why it is none."""
        taken = {"table", "dataset"}
        for clause in view.where:
            if self.table.columns[clause.column].whose not in taken:
                return {"why": f"{clause.column} is no column of the table; save the ids instead"}
        if view.search is not None:
            return {"why": "a search is no condition on the table; save the ids instead"}
        parts = [clause.sql for clause in view.where]
        parts += [f"({view.sql})" if parts else view.sql] if view.sql else []
        return {"filter": " AND ".join(parts) or None}


def open_to_view(config: ViewConfig) -> OpenRun:
    """Open a run, and check what the user has named; images are sought when they are asked for.

    Raises:
        RunFolderError: no complete run, or a damaged one.
        ConfigError: a filter that is none, a file of marks that cannot be read.
        InputError: --dataset, --split or --image-root, and nothing there.
    """
    marks = Marks(None if config.marks is None else config.marks.expanduser())
    manifest = check_manifest(config.run)
    second = None
    if config.run_b is not None:
        second = (check_manifest(config.run_b), Completions(config.run_b))
    table = SampleTable(config.run, marks, config.run_b)
    opened = OpenRun(
        config=config,
        manifest=manifest,
        table=table,
        completions=Completions(config.run),
        pictures=open_pictures(config, manifest),
        marks=marks,
        second=second,
    )
    if config.filter is not None:
        table.mask(opened.first_view)
    return opened


def open_pictures(config: PicturesConfig, manifest: Manifest) -> Pictures:
    """The images of a run's samples.

    Raises:
        InputError: the user says where the dataset is, and it is not there.
    """
    reader = partial(
        open_profiled,
        config.run,
        manifest,
        dataset=config.dataset,
        split=config.split,
        image_root=config.image_root,
    )
    limit = manifest.config.get("pixel_limit")
    pictures = Pictures(
        config.run, reader, limit if isinstance(limit, int) else ProfileConfig.pixel_limit
    )
    if any(given is not None for given in (config.dataset, config.split, config.image_root)):
        pictures.open()
    return pictures


def one_place(table: SampleTable, *, row: int | None, sample_id: str | None) -> int:
    """The place of a sample that a person named.

    Raises:
        ConfigError: the run has no such sample.
    """
    if sample_id is not None:
        place, what = table.place_of(sample_id), f"id '{sample_id[:80]}'"
    else:
        assert row is not None
        place, what = table.place_of_row(row), f"row {row}"
    if place is None:
        raise ConfigError(
            f"{table.run}: has no sample of {what}; a row that repeats an earlier one is that one's"
        )
    return place


def _described(column: ViewColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": column.kind,
        "whose": column.whose,
        "unit": column.unit,
        "meaning": column.meaning,
        "harder": column.harder,
    }


def page_rows(opened: OpenRun, places: Sequence[int], names: Sequence[str]) -> list[JsonObject]:
    """The rows of a page of the table, long texts cut: what is whole is on a sample's own page."""
    rows = opened.table.rows(places, list(dict.fromkeys(["sample_id", "row", *names])))
    opened.pictures.coming([(row["row"], row["sample_id"]) for row in rows])
    found = []
    for place, row in zip(places, rows, strict=True):
        mark = opened.marks[row["sample_id"]]
        values = {name: _cut(value) for name, value in row.items()}
        if mark is not None:
            values[VERDICT] = mark.verdict
        found.append({"place": int(place), "id": row["sample_id"], "values": values})
    return found


LONGEST_CELL = 300  # characters


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_CELL:
        return value[: LONGEST_CELL - 1] + "…"
    return value
