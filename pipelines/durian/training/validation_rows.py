"""The validation set: distinct samples with the groups they count in, prepared once and kept.

As the training set's, the rows lie in an Arrow file in the training's folder, images still encoded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pyarrow as pa

from durian.analysis.evaluation import JudgedTable
from durian.analysis.one_run.columns import slice_columns
from durian.analysis.reasons import grouped
from durian.analysis.statistics.clusters import Clusters, clusters_of
from durian.analysis.statistics.estimate import Label
from durian.analysis.validation import ValidatedRows, known_metrics
from durian.config import TrainConfig
from durian.config.train import WAYS
from durian.engines.resizing import Resizing
from durian.errors import ConfigError
from durian.groups import KINDS
from durian.measuring.decoding import decoded
from durian.measuring.first_rows import check_first_rows
from durian.measuring.look import Look
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import DatasetIndex, distinct, scan
from durian.records import JsonObject, as_json, from_json
from durian.run.files import read_json, write_json
from durian.run.progress import Progress
from durian.samples import Failed, Sample, sample_id
from durian.table.columns import SOURCE_FILE
from durian.table.judged import (
    check_groups_known,
    describe_groups,
    group_order,
    labels_of,
    open_groups,
)
from durian.training.plan import BatchPlan
from durian.training.samples import ForTrl, Screen, row_of, write_rows

_ABOUT = ("sample_id", "image_id", "with_images", "columns")
ROWS_FILE = "validation.arrow"
COUNTS_FILE = "validation_rows.json"
_SCHEMA = pa.schema(
    {
        "sample_id": pa.string(),
        "messages": pa.string(),
        "answer": pa.string(),
        "sample": pa.string(),
        "encoded": pa.list_(pa.binary()),
        "image_id": pa.string(),
        "with_images": pa.bool_(),
        "columns": pa.string(),  # JSON: the row's further columns
    }
)


@dataclass
class Overlap:
    """The samples of a validation set that a training set has too, as its rows are read.

    By content, whatever the ids: of a question what it asks, with its images, not its answer.
    """

    questions: dict[str, list[int]] = field(default_factory=dict)  # samples that ask it
    images: dict[str, list[int]] = field(default_factory=dict)  # samples that show it
    asked: set[int] = field(default_factory=set)  # samples whose question the training set has
    shown: set[int] = field(default_factory=set)

    def note(self, number: int, sample: Sample) -> None:
        """Take one more sample of the validation set."""
        self.questions.setdefault(_question(sample), []).append(number)
        for image in _images(sample):
            self.images.setdefault(image, []).append(number)

    def see(self, sample: Sample) -> None:
        """Look for one more sample of the training set."""
        self.asked.update(self.questions.get(_question(sample), ()))
        for image in _images(sample):
            self.shown.update(self.images.get(image, ()))

    def told(self, samples: int) -> list[str]:
        """What is shared, in a line; none where nothing is."""
        if not (self.asked or self.shown):
            return []
        counts = {"ask what a training sample asks": self.asked,
                  "show an image of the training set": self.shown}  # fmt: skip
        parts = [f"{len(which):,} {what}" for what, which in counts.items() if which]
        return [
            f"of {samples:,} validation samples {' and '.join(parts)}: accuracy on them is not "
            "held-out"
        ]


def _question(sample: Sample) -> str:
    return sample_id(sample.problem, "", sample.images)


def _images(sample: Sample) -> set[str]:
    return {sample_id("", "", (image,)) for image in sample.images if image}


@dataclass(frozen=True, kw_only=True)
class ValidationSet:
    """A validation set that was read once: which samples it has, and their groups' table."""

    reader: SampleReader
    index: DatasetIndex
    overlap: Overlap
    table: JudgedTable | None  # counted over all its samples

    @property
    def samples(self) -> int:
        """Number of distinct samples."""
        return len(self.index.rows)

    @property
    def warnings(self) -> list[str]:
        """A line for each thing that its accuracies should be read with; the training set is read.

        The table's groups may be of fewer samples.
        """
        lines = self.overlap.told(self.samples)
        if self.table is not None and self.table.not_in_table:
            lines.append(
                f"the table {self.table.run} lacks {self.table.not_in_table:,} of "
                f"{self.samples:,} validation samples: they are in no group"
            )
        return lines


@dataclass(frozen=True, kw_only=True)
class ValidationRows:
    """The prepared rows, with what their accuracies are given by; N samples."""

    rows: datasets.Dataset  # as `ForTrl` gives them
    with_images: list[bool]  # (N,)
    clusters: Clusters
    labels: dict[str, list[Label | None]]  # of each kind of group, (N,)
    order: dict[str, list[Label]]  # the groups of each kind
    counts: ValidatedRows
    table: JudgedTable | None
    dataset: str
    split: str


def read_validation_set(
    config: TrainConfig, screen: Screen, progress: Progress
) -> ValidationSet | None:
    """Read the rows to validate on once, without decoding them; None where there are none.

    Raises:
        InputError: the dataset, its table or the metric is wrong.
    """
    if config.eval_source is None:
        return None
    manifest, groups = open_groups(config.eval_table)
    reader = open_dataset(config.eval_source)
    for line in reader.said:
        progress.note(f"validation: {line}")
    check_first_rows(reader, config, pixel_limit=config.pixel_limit, chat=lambda: screen.chat)
    if groups is not None:
        check_groups_known(groups, reader, config.eval_table)
    ids, columns, overlap, seen = list[str](), list[Mapping[str, Any]](), Overlap(), set[str]()

    def noted(sample: Sample) -> Sample:
        if sample.sample_id not in seen:
            overlap.note(len(ids), sample)
            seen.add(sample.sample_id)
            ids.append(sample.sample_id)
            columns.append({**sample.columns, SOURCE_FILE: sample.source_file})
        return sample

    index = scan(map(noted, reader.samples()), progress, own_ids=config.id_column is not None)
    labels, used = _labels(ids, columns, groups)
    _check_metric(config, _order(labels))
    return ValidationSet(
        reader=reader,
        index=index,
        overlap=overlap,
        table=None if manifest is None else describe_groups(str(config.eval_table), manifest, used),
    )


def prepare_validation(
    out: Path, config: TrainConfig, found: ValidationSet, screen: Screen, progress: Progress
) -> None:
    """Write the samples to validate on, unless an interrupted training has.

    Raises:
        ConfigError: no sample is left.
    """
    if (out / COUNTS_FILE).exists():  # written last: the rows are whole
        return
    left_out = Counter[str]()
    progress.start("images", found.samples)
    seen = decoded(
        distinct(found.reader.samples(), found.index, 0), keep=True,
        pixel_limit=config.pixel_limit, workers=config.workers, progress=progress,
    )  # fmt: skip
    with closing(seen):
        ids, longest = write_rows(out / ROWS_FILE, _SCHEMA, _rows(seen, screen, left_out))
    if not ids:
        most = next(iter(grouped(left_out).items()), ("no reason", 0))
        raise ConfigError(
            f"no sample of {found.samples} to validate on has a prompt; {most[1]} of them: "
            f"{most[0]}"
        )
    counts = ValidatedRows(
        rows=found.index.n_rows,
        samples=len(ids),
        left_out=grouped(left_out),
        longest_prompt=longest,
        same_question=len(found.overlap.asked),
        same_image=len(found.overlap.shown),
    )
    write_json(out / COUNTS_FILE, {**as_json(counts), "dataset": found.reader.name})


def _rows(
    samples: Iterable[tuple[Sample, Look]], screen: Screen, left_out: Counter[str]
) -> Iterator[tuple[int, JsonObject]]:
    """The rows that have a prompt, each with its tokens; the others are counted."""
    for sample, seen in samples:
        checked = screen.check(sample, seen)
        if isinstance(checked, Failed):
            left_out[checked.error] += 1
            continue
        messages, length = checked
        columns = {**sample.columns, SOURCE_FILE: sample.source_file}
        yield (
            length,
            {
                **row_of(sample, messages),
                "image_id": sample.image_id,
                "with_images": bool(sample.images),
                "columns": json.dumps(columns),
            },
        )


def open_validation(
    out: Path, config: TrainConfig, resizing: Resizing | None
) -> ValidationRows | None:
    """Map the prepared rows into memory, and find their groups; None where there are none.

    Raises:
        InputError: the table cannot be read any more.
    """
    if config.eval_source is None:
        return None
    kept = read_json(out / COUNTS_FILE, "pass --fresh")
    rows = datasets.Dataset.from_file(str(out / ROWS_FILE))
    about = pl.from_dicts(rows.select_columns(list(_ABOUT)).to_list())
    manifest, groups = open_groups(config.eval_table)
    columns = [json.loads(text) for text in about["columns"]]
    labels, used = _labels(about["sample_id"].to_list(), columns, groups)
    order = _order(labels)
    _check_metric(config, order)
    given = rows.remove_columns([n for n in _ABOUT if n != "sample_id"])
    return ValidationRows(
        rows=given.with_transform(ForTrl(config.pixel_limit, resizing)),
        with_images=about["with_images"].to_list(),
        clusters=clusters_of(about["image_id"]),
        labels=labels,
        order=order,
        counts=from_json(ValidatedRows, kept),
        table=None if manifest is None else describe_groups(str(config.eval_table), manifest, used),
        dataset=str(kept["dataset"]),
        split=config.eval_source.split,
    )


def _check_metric(config: TrainConfig, order: Mapping[str, Sequence[Label]]) -> None:
    ways = WAYS if config.eval_rollouts else ("greedy",)
    if config.eval_metric not in (metrics := known_metrics(ways, order)):
        raise ConfigError(
            f"eval-metric is '{config.eval_metric}', and there is no such accuracy; there are "
            f"{', '.join(metrics)}"
        )


def _labels(
    ids: Sequence[str], columns: Sequence[Mapping[str, Any]], groups: pl.DataFrame | None
) -> tuple[dict[str, list[Label | None]], dict[str, int]]:
    """Each sample's groups: the table's, then each text column of few values."""
    of_table, used = labels_of(pl.DataFrame({"sample_id": ids}), groups)
    names = dict.fromkeys(name for row in columns for name in row)
    texts = pl.DataFrame(
        [
            pl.Series(name, [row.get(name) for row in columns], pl.String)
            for name in names
            if all(isinstance(row.get(name), str | None) for row in columns)
        ]
    )
    found: dict[str, list[Label | None]] = {}
    for kind, labels in of_table.items():
        found[kind] = labels
    for name, values in slice_columns(pl.DataFrame(), texts, taken=KINDS).items():
        found[name] = list(values)
    return found, used


def _order(labels: Mapping[str, Sequence[Label | None]]) -> dict[str, list[Label]]:
    return {
        kind: group_order(of)
        if kind in KINDS
        else sorted({label for label in of if label is not None}, key=str)
        for kind, of in labels.items()
    }


def validated_every(config: TrainConfig, plan: BatchPlan) -> int:
    """Optimizer steps from one validation to the next."""
    return config.eval_every or plan.save_steps
