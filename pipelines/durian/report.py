"""`durian report`: a run's tables -> analysis -> page and figures; needs no model and no dataset.

Only `keep_thumbnails` reads the dataset, once, at the end of a profile.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from durian.analysis.one_run.judged import Judged, judged
from durian.analysis.one_run.summary import Summary, analyse
from durian.images.decode import decode
from durian.measures import held_against_error
from durian.readers.dataset import SampleReader
from durian.rendering.advice import advice, with_examples
from durian.rendering.gallery import Thumbnail
from durian.rendering.local_entropy import local_entropy_map
from durian.rendering.names import grouped_by
from durian.rendering.page import write_report
from durian.rendering.sentences import sentences
from durian.rendering.shown import sample_ids, shelves
from durian.run.brought import brought, check_changed_here
from durian.run.files import written_aside
from durian.run.folder import (
    DIFFICULTY_FILE,
    REPORT_FOLDER,
    ROLLOUTS_FILE,
    THUMBNAILS_FILE,
)
from durian.run.manifest import Manifest
from durian.run.opening import change_run
from durian.samples import Failed
from durian.schema import arrow_array
from durian.table.checked import check_run, read_frame
from durian.table.columns import read_columns

THUMBNAIL_SIDE = 160  # pixels
THUMBNAIL_BYTES = 6_000  # of each JPEG, however noisy the image: a page holds about a hundred
_QUALITIES = (85, 70, 50, 30, 10)
_TEXT = ("problem", "answer")
_JUDGED = ("sample_id", "rollout", "n_tokens", "sum_logprob", "correct", "finish_reason")
_STEP = "step"  # from version 2 on


def build_report(run: str | Path, out: Path | None = None) -> Summary:
    """Build the report of a complete run again, from its tables alone.

    Args:
        run: its folder, or the address of one that lies on a server.
        out: the folder to write; by default report/ in the run, which must be of this machine.
    Raises:
        RunFolderError: not a complete run folder, damaged, not writable, or in use.
        ConfigError: the run lies on a server, and there is no `out`.
    """
    if out is not None:
        with brought(run) as path:
            return render_run(path, check_run(path), out=out)
    check_changed_here(run, "pass --out FOLDER for the report")
    path = Path(run)
    with change_run(path):
        return render_run(path, check_run(path))


def render_run(
    path: Path,
    manifest: Manifest,
    *,
    out: Path | None = None,
    keep: Callable[[list[int]], None] | None = None,
) -> Summary:
    """Analyse a run's tables and write its report folder.

    Args:
        out: another folder to write.
        keep: called once, with the rows of the samples that the report shows, before their
            thumbnails are read.
    """
    table, rollouts = path / DIFFICULTY_FILE, path / ROLLOUTS_FILE
    # Texts are most of a table's bytes. The analysis reads the numbers alone, and texts only of the
    # hundred samples or so that the page shows, so that memory does not grow with the texts.
    numbers = read_frame(table, lambda frame: frame.drop(_TEXT))
    on_shelves = shelves(numbers, grouped_by(manifest.groups))
    shown = sample_ids(on_shelves)
    if keep is not None:
        keep(numbers.filter(pl.col("sample_id").is_in(shown))["row"].to_list())
    summary = analyse(
        numbers,
        {name: column.harder or "higher" for name, column in held_against_error().items()},
        columns=read_columns(path),
        rollouts=read_frame(
            rollouts, lambda frame: frame.select(*_JUDGED, cs.by_name(_STEP, require_all=False))
        ),
        grouping=replace(manifest.groups, version=None),
    )
    texts = read_frame(table, lambda frame: frame.filter(pl.col("sample_id").is_in(shown)))
    said = read_frame(rollouts, lambda frame: frame.filter(pl.col("sample_id").is_in(shown)))
    summary = replace(
        summary,
        sentences=sentences(summary),
        advice=with_examples(advice(summary, manifest.estimates), summary.scored, texts, said),
    )
    write_report(
        path / REPORT_FOLDER if out is None else out,
        summary=summary,
        shelves=on_shelves,
        table=texts,
        rollouts=said,
        thumbnails=_read_thumbnails(path),
        judged=_judged(path),
        # Seconds are known only once the page is written; a rebuilt page is the same page.
        manifest=replace(manifest, seconds=None),
    )
    return summary


def _judged(path: Path) -> Judged | None:
    """Count a judge's verdicts, where the run's rollouts hold any."""
    told = ["sample_id", "answer", "correct", "judged"]
    if not set(told) <= set(pq.read_schema(path / ROLLOUTS_FILE).names):
        return None  # of an older version
    rollouts = read_frame(path / ROLLOUTS_FILE, lambda f: f.select(told).filter("judged"))
    if rollouts.is_empty():
        return None
    ids = rollouts["sample_id"].unique()
    known = ("sample_id", "row", "problem", "answer")
    table = read_frame(
        path / DIFFICULTY_FILE,
        lambda frame: frame.filter(pl.col("sample_id").is_in(ids.implode())).select(known),
    )
    return judged(table, rollouts)


def keep_thumbnails(path: Path, reader: SampleReader, rows: list[int], pixel_limit: int) -> None:
    """Keep small JPEGs of some samples in a run folder: the dataset may be gone later.

    Of a sample's first image, and of that image's local entropy.
    """
    kept: dict[str, list[Any]] = {"sample_id": [], "jpeg": [], "entropy": []}
    for sample in reader.samples(rows=rows):
        image = (
            decode(sample.images[0], pixel_limit=pixel_limit, keep=True)
            if sample.images
            else Failed("no image")
        )
        if not isinstance(image, Failed) and image.rgb is not None:
            small = image.rgb.copy()
            small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            kept["sample_id"].append(sample.sample_id)
            kept["jpeg"].append(_jpeg(small))
            kept["entropy"].append(_jpeg(local_entropy_map(small)))
    schema = pa.schema(
        [("sample_id", pa.string()), ("jpeg", pa.binary()), ("entropy", pa.binary())]
    )
    with written_aside(path / THUMBNAILS_FILE) as aside:
        arrays = [arrow_array(kept[field.name], field.type) for field in schema]
        pq.write_table(pa.table(arrays, schema=schema), aside)


def _jpeg(image: Image.Image) -> bytes:
    """The best quality that keeps within the limit."""
    # A noisy image can take many times the bytes of a plain one at equal quality. The bound keeps a
    # page of a hundred pictures small whatever the dataset holds.
    for quality in _QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= THUMBNAIL_BYTES:
            break
    return file.getvalue()


def _read_thumbnails(path: Path) -> dict[str, Thumbnail]:
    """Sample id -> its pictures; runs of before the entropy map have none."""
    kept = read_frame(path / THUMBNAILS_FILE, lambda frame: frame)
    return {
        row["sample_id"]: Thumbnail(row["jpeg"], row.get("entropy"))
        for row in kept.iter_rows(named=True)
    }
