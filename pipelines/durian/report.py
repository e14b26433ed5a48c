"""`durian report`: a run's tables -> analysis -> page and figures; needs no model and no dataset.

Only `keep_thumbnails` reads the dataset, once, at the end of a profile.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
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
from durian.duplicates.others import Leak
from durian.images.decode import decode
from durian.measures import held_against_error, measured
from durian.readers.dataset import SampleReader
from durian.rendering.advice import advice, with_examples
from durian.rendering.causes import advised
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
    LEAKS_FILE,
    REPORT_FOLDER,
    ROLLOUTS_FILE,
    THUMBNAILS_FILE,
)
from durian.run.manifest import Manifest
from durian.run.opening import change_run
from durian.samples import Failed, Sample
from durian.schema import arrow_array
from durian.table.causes import WHY, gather_evidence, read_said
from durian.table.checked import check_run, filled_columns, read_frame, with_image
from durian.table.columns import read_columns

# A page holds up to 130 samples, and 5 MB in all: the bounds hold however noisy an image is.
PICTURE_SIDE, PICTURE_BYTES = 512, 19_000  # pixels, and bytes of the JPEG
ENTROPY_SIDE, ENTROPY_BYTES = 160, 4_000  # of the map of local entropy
LEAK_SIDE, LEAK_BYTES = 256, 8_000  # of both images of a leak
_QUALITIES = (85, 70, 50, 30)
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
    held = measured(held_against_error(), filled_columns(numbers))
    if keep is not None:
        keep(numbers.filter(pl.col("sample_id").is_in(shown))["row"].to_list())
    # Of a million samples the ids alone, once a completion, are half a gigabyte: as an enumeration
    # they are four bytes each.
    ids, ended = pl.Enum(numbers["sample_id"]), pl.col("finish_reason").cast(pl.Categorical)
    summary = analyse(
        numbers.with_columns(pl.col("sample_id").cast(ids)),
        {name: column.harder or "higher" for name, column in held.items()},
        columns=read_columns(path),
        rollouts=read_frame(
            rollouts,
            lambda frame: (
                with_image(frame)
                .select(*_JUDGED, cs.by_name(_STEP, require_all=False))
                .with_columns(pl.col("sample_id").cast(ids, strict=False), ended)
            ),
        ),
        grouping=replace(manifest.groups, version=None),
        evidence=gather_evidence(numbers, read_said(path))
        if WHY in numbers.columns and not numbers[WHY].is_null().all()
        else None,
    )
    texts = read_frame(table, lambda frame: frame.filter(pl.col("sample_id").is_in(shown)))
    said = read_frame(
        rollouts, lambda frame: with_image(frame).filter(pl.col("sample_id").is_in(shown))
    )
    summary = replace(
        summary,
        sentences=sentences(summary),
        advice=with_examples(
            advice(summary, manifest.estimates, manifest.tokens), summary.scored, texts, said
        ),
        causes=summary.causes and advised(summary.causes, _max_tokens(manifest)),
    )
    write_report(
        path / REPORT_FOLDER if out is None else out,
        summary=summary,
        shelves=on_shelves,
        table=texts,
        rollouts=said,
        thumbnails=_read_thumbnails(path),
        judged=_judged(path),
        leaks=_read_leaks(path),
        # Seconds are known only once the page is written; a rebuilt page is the same page.
        manifest=replace(manifest, seconds=None),
    )
    return summary


def _max_tokens(manifest: Manifest) -> int | None:
    """The tokens at which completions were cut; None where a log does not say."""
    known = None if manifest.logs else manifest.config.get("max_tokens")
    return known if isinstance(known, int) else None


def _judged(path: Path) -> Judged | None:
    """Count a judge's verdicts, where the run's rollouts hold any."""
    told = ["sample_id", "answer", "correct", "judged"]
    if not set(told) <= set(pq.read_schema(path / ROLLOUTS_FILE).names):
        return None  # of an older version
    rollouts = read_frame(
        path / ROLLOUTS_FILE, lambda f: with_image(f).select(told).filter("judged")
    )
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
        if (image := _first_image(sample, pixel_limit)) is not None:
            jpeg, entropy = thumbnail(image)
            kept["sample_id"].append(sample.sample_id)
            kept["jpeg"].append(jpeg)
            kept["entropy"].append(entropy)
    schema = pa.schema(
        [("sample_id", pa.string()), ("jpeg", pa.binary()), ("entropy", pa.binary())]
    )
    with written_aside(path / THUMBNAILS_FILE) as aside:
        arrays = [arrow_array(kept[field.name], field.type) for field in schema]
        pq.write_table(pa.table(arrays, schema=schema), aside)


def thumbnail(image: Image.Image) -> tuple[bytes, bytes]:
    """JPEGs of an image and of its local entropy, as small as a run keeps them."""
    small = _within(image, ENTROPY_SIDE)
    return (
        _small(image, PICTURE_SIDE, PICTURE_BYTES),
        _jpeg(local_entropy_map(small), ENTROPY_BYTES),
    )


def _small(image: Image.Image, side: int, limit: int) -> bytes:
    return _jpeg(_within(image, side), limit)


def _within(image: Image.Image, side: int) -> Image.Image:
    """A copy whose longer side has so many pixels at most."""
    copy = image.copy()
    copy.thumbnail((side, side))
    return copy


def _jpeg(image: Image.Image, limit: int) -> bytes:
    """The best quality that keeps within so many bytes; where none does, a smaller image."""
    # A noisy image can take many times the bytes of a plain one at equal quality.
    while True:
        for quality in _QUALITIES:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality)
            if file.tell() <= limit:
                return file.getvalue()
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def keep_leaks(path: Path, reader: SampleReader, leaks: Sequence[Leak], pixel_limit: int) -> None:
    """Keep both sides of some leaks in a run folder: texts, and small JPEGs of the first images."""
    ours = _sides(reader, [leak.row for leak in leaks], pixel_limit)
    readers = {leak.set: leak.reader for leak in leaks}
    theirs = {
        name: _sides(of_set, [leak.other_row for leak in leaks if leak.set == name], pixel_limit)
        for name, of_set in readers.items()
    }
    rows = []
    for leak in leaks:
        there = {f"other_{key}": v for key, v in theirs[leak.set][leak.other_row].items()}
        rows.append({"set": leak.set, "how": leak.how, **ours[leak.row], **there})
    with written_aside(path / LEAKS_FILE) as aside:
        pq.write_table(pa.table([
            arrow_array([row[field.name] for row in rows], field.type) for field in _LEAKS
        ], schema=_LEAKS), aside)  # fmt: skip


_SIDE = {"row": pa.int64(), "problem": pa.string(), "answer": pa.string(), "jpeg": pa.binary()}
_LEAKS = pa.schema(
    {
        "set": pa.string(),
        "how": pa.string(),
        **_SIDE,
        **{f"other_{name}": kind for name, kind in _SIDE.items()},
    }
)


def _first_image(sample: Sample, pixel_limit: int) -> Image.Image | None:
    """A sample's first image; None where there is none, or none that can be read."""
    if not sample.images:
        return None
    image = decode(sample.images[0], pixel_limit=pixel_limit, keep=True)
    return None if isinstance(image, Failed) else image.rgb


def _sides(reader: SampleReader, rows: list[int], pixel_limit: int) -> dict[int, dict[str, Any]]:
    return {
        sample.row: {
            "row": sample.row,
            "problem": sample.problem,
            "answer": sample.answer,
            "jpeg": image and _small(image, LEAK_SIDE, LEAK_BYTES),
        }
        for sample in reader.samples(rows=list(dict.fromkeys(rows)))
        for image in [_first_image(sample, pixel_limit)]
    }


def _read_leaks(path: Path) -> list[dict[str, Any]]:
    file = path / LEAKS_FILE
    return read_frame(file, lambda frame: frame).to_dicts() if file.exists() else []


def _read_thumbnails(path: Path) -> dict[str, Thumbnail]:
    """Sample id -> its pictures; runs of before the entropy map have none."""
    kept = read_frame(path / THUMBNAILS_FILE, lambda frame: frame)
    return {
        row["sample_id"]: Thumbnail(row["jpeg"], row.get("entropy"))
        for row in kept.iter_rows(named=True)
    }
