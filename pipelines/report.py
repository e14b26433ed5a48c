"""`durian report`: a run's tables -> analysis -> page and figures. No model, no dataset."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.analysis.summary import analyse
from pipelines.readers.dataset import SampleReader
from pipelines.readers.images import decode_image
from pipelines.rendering.page import write_report
from pipelines.rendering.sentences import NAMES, sentences
from pipelines.rendering.shown import shown_samples
from pipelines.samples import Failed
from pipelines.table.files import written_aside
from pipelines.table.run_folder import (
    DIFFICULTY_FILE,
    REPORT_FOLDER,
    ROLLOUTS_FILE,
    THUMBNAILS_FILE,
    RunFolder,
)
from pipelines.table.schema import DIFFICULTY

THUMBNAIL_SIDE = 160  # pixels; the page shows it at half of that, sharp on dense screens
_TEXT = ("problem", "answer")


def build_report(path: Path) -> dict[str, Any]:
    """Build the report of a complete run again, from its tables alone.

    Returns:
        The numbers of the report, as in report/summary.json.
    Raises:
        RunFolderError: not a complete run folder.
    """
    return render_run(path, RunFolder(path).complete_manifest())


def render_run(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Analyse a run's tables and write its report folder; gives the analysis."""
    table = pl.scan_parquet(path / DIFFICULTY_FILE)
    numbers = table.drop(_TEXT).collect()
    summary = analyse(numbers, {name: DIFFICULTY[name].harder or "higher" for name in NAMES})
    summary["sentences"] = sentences(summary)
    shown = shown_samples(numbers)
    write_report(
        path / REPORT_FOLDER,
        summary=summary,
        table=table.filter(pl.col("sample_id").is_in(shown)).collect(),
        rollouts=pl.scan_parquet(path / ROLLOUTS_FILE)
        .filter(pl.col("sample_id").is_in(shown))
        .collect(),
        thumbnails=_read_thumbnails(path),
        # Seconds are known only once the page is written; a rebuilt page is the same page.
        manifest={key: value for key, value in manifest.items() if key != "seconds"},
    )
    return summary


def keep_thumbnails(reader: SampleReader, run: RunFolder, pixel_limit: int) -> None:
    """Keep a small JPEG of each sample that the report shows: the dataset may be gone later."""
    numbers = pl.scan_parquet(run.path / DIFFICULTY_FILE).drop(_TEXT).collect()
    shown = shown_samples(numbers)
    rows = numbers.filter(pl.col("sample_id").is_in(shown))["row"].to_list()
    kept: dict[str, list[Any]] = {"sample_id": [], "jpeg": []}
    for sample in reader.samples(rows=rows):
        image = (
            decode_image(sample.images[0], pixel_limit=pixel_limit, keep=True)
            if sample.images
            else Failed("no image")
        )
        if not isinstance(image, Failed) and image.rgb is not None:
            kept["sample_id"].append(sample.sample_id)
            kept["jpeg"].append(_thumbnail(image.rgb))
    schema = pa.schema([("sample_id", pa.string()), ("jpeg", pa.binary())])
    with written_aside(run.path / THUMBNAILS_FILE) as aside:
        pq.write_table(pa.table(kept, schema=schema), aside)


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue()


def _read_thumbnails(path: Path) -> dict[str, bytes]:
    table = pq.read_table(path / THUMBNAILS_FILE)
    return dict(zip(table["sample_id"].to_pylist(), table["jpeg"].to_pylist(), strict=True))
