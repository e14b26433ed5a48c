"""Read the datasets once, and set the rows of the chosen samples down on the disk."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from durian.config import SYSTEM_PROMPT, ExportConfig, ProfileConfig
from durian.engines.prompts import PromptTemplate, ask, build_messages, load_template
from durian.errors import ConfigError, DatasetError
from durian.exporters.base import IMAGE_MARK, LABELS, with_marks
from durian.exporting.cells import ColumnTypes, plain
from durian.exporting.pool import Bools, Pool
from durian.exporting.spool import Spool
from durian.images.decode import decode
from durian.readers.dataset import SampleReader
from durian.readers.profiled import open_profiled
from durian.records import JsonObject
from durian.run.manifest import Manifest
from durian.run.progress import Progress
from durian.samples import Failed, Sample

_ID = "sample_id"  # a column of ours, and perhaps one of the dataset's own with other ids
_BATCH = 256  # rows whose columns are typed at a time


@dataclass(frozen=True, kw_only=True)
class Source:
    """The dataset of one run, with the prompt as it was profiled."""

    reader: SampleReader
    system_prompt: str
    template: PromptTemplate | None
    pixel_limit: int


@dataclass(kw_only=True)
class Gathered:
    """Rows on the disk, and what became of the others."""

    spool: Spool
    met: Bools  # (N,), wanted samples of which the dataset has a row
    place: array[int] = field(default_factory=lambda: array("q"))  # of each record's sample
    types: ColumnTypes = field(default_factory=ColumnTypes)  # of the dataset's own columns
    rows: int = 0  # read
    unknown: int = 0  # rows that no table has
    left_out: Counter[str] = field(default_factory=Counter)  # rows of chosen samples, by reason


def open_sources(config: ExportConfig, manifests: Sequence[Manifest]) -> list[Source]:
    """Find the dataset of each run, to be read as its profile read it.

    Raises:
        InputError: it is not there, or a template is not.
    """
    return [_source(config, *pair) for pair in zip(config.runs, manifests, strict=True)]


def _source(config: ExportConfig, run: str, manifest: Manifest) -> Source:
    reader = open_profiled(
        run,
        manifest,
        dataset=config.dataset,
        split=config.split,
        image_root=config.image_root,
    )
    system = manifest.config.get("system_prompt", SYSTEM_PROMPT)
    template = manifest.config.get("prompt_template")
    return Source(
        reader=reader,
        system_prompt=(system if config.system_prompt is None else config.system_prompt) or "",
        template=load_template(template) if template else None,
        pixel_limit=manifest.config.get("pixel_limit", ProfileConfig.pixel_limit),
    )


def gather(
    sources: Sequence[Source], pool: Pool, wanted: Bools, spool: Spool, progress: Progress
) -> Gathered:
    """Read all rows, and keep those of the wanted samples.

    Raises:
        DatasetError: a dataset cannot be read, or no row is in the table.
        ConfigError: no row can be written; names the most frequent reason.
    """
    found = Gathered(spool=spool, met=np.zeros(len(pool), np.bool_))
    place_of = {sample_id: place for place, sample_id in enumerate(pool.ids)}
    progress.start("rows", sum(manifest.counts.rows for manifest in pool.manifests))
    waiting: list[JsonObject] = []
    for number, source in enumerate(sources):
        dropped = _parts_of_samples(source.reader)
        for sample in source.reader.samples():
            progress.advance("rows")
            found.rows += 1
            place = place_of.get(sample.sample_id)
            if place is None or pool.run[place] != number:
                found.unknown += place is None
                continue
            if not wanted[place]:
                continue
            found.met[place] = True
            record = _record(sample, source, dropped, failed=bool(pool.failed[place]))
            if isinstance(record, Failed):
                found.left_out[record.error] += 1
                continue
            spool.add(record)
            found.place.append(place)
            waiting.append(record["own"])
            if len(waiting) == _BATCH:
                found.types.see(waiting)
                waiting = []
    found.types.see(waiting)
    if found.unknown == found.rows:
        raise DatasetError(
            f"the table has none of the {found.rows:,} rows; give the dataset that was profiled"
        )
    if not len(spool):
        most = next(iter(found.left_out.most_common()), ("none is in the dataset", 0))
        raise ConfigError(f"no row of the chosen samples can be written: {most[0]}")
    return found


def _parts_of_samples(reader: SampleReader) -> set[str]:
    """The columns whose content stands in a row under the names of the form."""
    read = reader.described
    return {read["problem"], read["answer"], *read["images"], *LABELS} - {"extra_info", _ID}


def _broken(sample: Sample, pixel_limit: int) -> str | None:
    """Say why an image cannot be decoded: the trainer would end with it, hours later."""
    decoded = (decode(image, pixel_limit=pixel_limit, keep=False) for image in sample.images)
    return next((found.error for found in decoded if isinstance(found, Failed)), None)


def _record(
    sample: Sample, source: Source, dropped: set[str], *, failed: bool
) -> JsonObject | Failed:
    """A row as it is set down, or why it cannot be asked.

    Args:
        failed: the table lacks a measure of it, so that its images are looked at.
    """
    error = (
        sample.error
        or sample.question_error
        or (_broken(sample, source.pixel_limit) if failed else None)
    )
    if error is not None:
        return Failed(error)
    asked = ask(
        sample, len(sample.images), system_prompt=source.system_prompt, template=source.template
    )
    if isinstance(asked, Failed):
        return asked
    bare = build_messages(
        sample.problem, len(sample.images), system_prompt="", template=None, row=None
    )
    if isinstance(bare, Failed):  # a template places the images
        marked = IMAGE_MARK * len(sample.images) + sample.problem
    else:
        marked = with_marks(bare)[0]["content"]
    return {
        "row": sample.row,
        "source": source.reader.name,
        "problem": sample.problem,
        "marked": marked,
        "messages": asked,
        "answer": sample.answer,
        "images": list(sample.images),
        "own": {
            name: plain(cell)
            for name, cell in sample.cells.items()
            if name not in dropped and (name, cell) != (_ID, sample.sample_id)
        },
    }
