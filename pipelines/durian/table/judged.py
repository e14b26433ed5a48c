"""The groups that a table has of judged samples: accuracies are given by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from durian.analysis.evaluation import JudgedTable
from durian.errors import DatasetError
from durian.groups import KINDS, PERCEPTUAL, Kind
from durian.readers.dataset import SampleReader
from durian.run.folder import DIFFICULTY_FILE
from durian.run.manifest import Manifest
from durian.table.checked import check_difficulty, check_manifest, read_frame

_GROUPS: dict[Kind, str] = {kind: f"{kind}_group" for kind in KINDS}


def open_groups(run: str | None) -> tuple[Manifest | None, pl.DataFrame | None]:
    """The manifest of a complete run, and the groups of its samples; None without a table."""
    if run is None:
        return None, None
    manifest, columns = check_manifest(Path(run)), ["sample_id", *_GROUPS.values()]
    check_difficulty(Path(run), columns)
    groups = read_frame(Path(run) / DIFFICULTY_FILE, lambda frame: frame.select(columns))
    return manifest, groups.with_columns(known=pl.lit(True))


def check_groups_known(groups: pl.DataFrame, reader: SampleReader, run: str | None) -> None:
    """Refuse a table that has none of a dataset's samples.

    Raises:
        DatasetError: names both.
    """
    known = set(groups["sample_id"])
    if not any(sample.sample_id in known for sample in reader.samples()):
        raise DatasetError(
            f"{reader.name}: the table {run} has none of its samples; give the table of "
            "this dataset, with the --id-column of its profile"
        )


def labels_of(
    ids: pl.DataFrame, groups: pl.DataFrame | None
) -> tuple[dict[Kind, list[Any]], dict[str, int]]:
    """The groups of the judged samples, one label each, and how many samples have none."""
    if groups is None:
        return {}, {}
    # `known` is set in every row of the table, so that a null there tells a sample that the table
    # lacks from one that is in it and in no group.
    joined = ids.join(groups, on="sample_id", how="left", maintain_order="left")
    missing = joined["known"].null_count()
    without = {
        f"in_no_{kind}_group": joined[column].null_count() - missing
        for kind, column in _GROUPS.items()
    }
    labels = {kind: joined[column].to_list() for kind, column in _GROUPS.items()}
    return labels, {"not_in_table": missing, **without}


def group_order(labels: Sequence[Any]) -> list[Any]:
    """The groups that there are, from easy to hard and from bin 0 on."""
    found = {label for label in labels if label is not None}
    return sorted(found, key=lambda g: PERCEPTUAL.index(g) if isinstance(g, str) else g)


def describe_groups(run: str, manifest: Manifest, used: Mapping[str, int]) -> JudgedTable:
    """The table, and the judged samples that it says nothing of, as results name it."""
    return JudgedTable(
        run=run,
        model=manifest.model.name,
        dataset=manifest.dataset.name,
        perceptual=manifest.groups.perceptual.measure,
        reasoning=manifest.groups.reasoning.measure,
        **used,
    )
