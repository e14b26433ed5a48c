"""STAGE 1: dataset -> samples -> images, rollouts -> measures -> difficulty table -> report.

Departures from the paper, each with an option: pixel entropy stands beside spectral entropy as
the perceptual measure; confidence is taken per token (`mean_logprob`) unless `sum_logprob` is
asked for; groups are cut over the whole dataset, once, rather than within a rollout batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

from pipelines.config import ProfileConfig
from pipelines.engines.protocol import PatchEncoder, check_encoder, open_encoder
from pipelines.manifest import describe_run, run_identity
from pipelines.progress import Progress, Silent, Stopwatch
from pipelines.readers.chunks import Chunk, decoded_chunks
from pipelines.readers.dataset import SampleReader, open_dataset
from pipelines.readers.scan import DatasetIndex, distinct, scan
from pipelines.sampling import Drawn, Policy, open_policy
from pipelines.spectra import Spectrum, measure_spectra
from pipelines.table.dataset_columns import Further, with_columns, write_columns
from pipelines.table.grouping import check_measure, group_samples
from pipelines.table.rows import arrow_table, difficulty_row, rollout_rows
from pipelines.table.run_folder import (
    REPORT_FOLDER,
    SUMMARY_FILE,
    RunFolder,
    check_usable,
    open_run,
)
from pipelines.table.schema import DIFFICULTY, ROLLOUTS


def profile_dataset(
    config: ProfileConfig, *, fresh: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure how hard each sample is, and write the run folder; resume it if it is begun.

    Args:
        fresh: throw unfinished parts away rather than resume.
    Returns:
        The manifest of the complete run, its folder as `run`, and the report's numbers as
        `summary`.
    Raises:
        InputError: an option, the dataset, the model or the folder is wrong; nothing is written.
        RunError: the run stopped part-way; the same call resumes it.
    """
    progress, watch = progress or Silent(), Stopwatch()
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    check_usable(Path(config.out))
    if "spectral" in config.measures:
        check_encoder(config.sampling)
    identity = run_identity(config)
    reader = open_dataset(config.source)
    with watch.time("scan"):
        index = scan(reader.samples(), progress, own_ids=config.id_column is not None)
    identity["dataset"] = index.fingerprint
    with open_run(Path(config.out), identity, fresh=fresh) as run:
        if run.manifest is None:
            measure_samples(config, reader, index, run, progress)
            finish_run(config, reader, index, run, identity, watch, progress)
        summary = json.loads((run.path / REPORT_FOLDER / SUMMARY_FILE).read_text("utf-8"))
        return {"run": str(run.path), **run.complete_manifest(), "summary": summary}


def measure_samples(
    config: ProfileConfig,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder,
    progress: Progress,
) -> None:
    """Measure the samples that no finished part holds, and keep them part by part."""
    parts = list(enumerate(index.parts(config.part_size)))
    # From the first one missing: should a later part be there, its samples stream past anyway.
    todo = list(dropwhile(lambda part: run.has_part(part[0]), parts))
    if not todo:
        return
    first = todo[0][1].start
    with ExitStack() as stack:
        models = _open_models(config, progress, stack)
        for stage, used in (
            ("images", True),
            ("spectra", models.encoder),
            ("rollouts", models.policy),
        ):
            if used:
                progress.start(stage, len(index.rows), first)
        chunks = decoded_chunks(
            distinct(reader.samples(start=index.rows[first]), index, first),
            todo,
            keep=config.needs_model,
            pixel_limit=config.pixel_limit,
            workers=config.workers,
            progress=progress,
        )
        for number, of_part in groupby(chunks, key=lambda chunk: chunk.part):
            _measure_part(config, number, of_part, index, models, run, progress)


def finish_run(
    config: ProfileConfig,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder,
    identity: dict[str, Any],
    watch: Stopwatch,
    progress: Progress,
) -> None:
    """Group the measured samples, join the parts into tables, render, and write the manifest."""
    # Here: drawing loads slowly, and wrong input should be told at once.
    from pipelines.report import keep_thumbnails, render_run

    progress.start("report", None)
    with watch.time("tables"):
        groups = group_samples(config, run)
        write_columns(run)
        run.join_parts(groups.columns, groups.described)
    manifest = describe_run(config, reader.name, index, run, identity, groups)
    with watch.time("report"):
        keep_thumbnails(reader, run, config.pixel_limit)
        render_run(run.path, manifest)
    for number in run.finished_parts():
        for stage, seconds in run.part_seconds(number).items():
            watch.add(stage, seconds)
    run.finish({**manifest, "seconds": {k: round(v, 3) for k, v in watch.seconds.items()}})


@dataclass(frozen=True, kw_only=True)
class Models:
    """What the measures that were asked for need of the policy; None where they need it not."""

    encoder: PatchEncoder | None = None
    policy: Policy | None = None


def _open_models(config: ProfileConfig, progress: Progress, stack: ExitStack) -> Models:
    encoder, policy = None, None
    if "spectral" in config.measures:
        progress.note(f"loading the vision encoder of {config.model}")
        encoder = stack.enter_context(
            closing(open_encoder(config.sampling, features=config.features))
        )
    if config.needs_rollouts:
        policy = stack.enter_context(closing(open_policy(config, progress)))
    return Models(encoder=encoder, policy=policy)


def _measure_part(
    config: ProfileConfig,
    number: int,
    chunks: Iterator[Chunk],
    index: DatasetIndex,
    models: Models,
    run: RunFolder,
    progress: Progress,
) -> None:
    watch = Stopwatch()
    of_images = {"pixel", "spectral"} & set(config.measures)
    difficulty: list[dict[str, Any]] = []
    completions: list[dict[str, Any]] = []
    further: list[Further] = []
    for chunk in chunks:
        further += [Further(sample.image_id, sample.columns) for sample in chunk.samples]
        watch.add("images", chunk.seconds)
        spectra = [Spectrum()] * len(chunk.samples)
        if models.encoder:
            with watch.time("spectra"):
                spectra = measure_spectra(models.encoder, chunk, progress)
        drawn = [Drawn()] * len(chunk.samples)
        if models.policy:
            drawn = models.policy.draw(chunk, watch)
        for place, (sample, seen, spectrum, answer) in enumerate(
            zip(chunk.samples, chunk.looks, spectra, drawn, strict=True)
        ):
            no_image = "no image" if of_images and not sample.images else None
            reasons = (sample.error, seen.error, no_image, spectrum.error, answer.error)
            difficulty.append(
                difficulty_row(
                    sample,
                    copies=index.copies[chunk.first + place],
                    width=seen.width,
                    height=seen.height,
                    pixel_entropy=seen.pixel_entropy if "pixel" in config.measures else None,
                    spectral_entropy=spectrum.entropy,
                    rollouts=answer.rollouts,
                    scores=answer.scores,
                    error="; ".join(dict.fromkeys(filter(None, reasons))) or None,
                )
            )
            completions += rollout_rows(sample, answer.rollouts, answer.scores)
    run.write_part(
        number,
        with_columns(arrow_table(difficulty, DIFFICULTY), further),
        arrow_table(completions, ROLLOUTS),
        watch.seconds,
    )
