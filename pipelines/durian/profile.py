"""STAGE 1: dataset -> samples -> images, rollouts -> measures -> difficulty table -> report.

Departures from the paper, each with an option: pixel entropy stands beside spectral entropy as
the perceptual measure; confidence is taken per token (`mean_logprob`) unless `sum_logprob` is
asked for; groups are cut over the whole dataset, once, rather than within a rollout batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from durian.analysis.one_run.summary import Summary
from durian.config import ProfileConfig
from durian.engines.loading import chat_of, check_encoder, check_engine, settle_repeatable
from durian.errors import RunError, one_line, require
from durian.estimating.estimates import estimate_samples
from durian.manifest import describe_run, run_identity
from durian.measuring.first_rows import check_first_rows
from durian.measuring.measuring import NO_IMAGE, measure_here, part_tables
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import DatasetIndex, distinct, scan
from durian.records import JsonObject, merged
from durian.run.folder import RunFolder, check_usable
from durian.run.manifest import Counts, Manifest
from durian.run.opening import hold_run
from durian.run.progress import Progress, Silent, Stopwatch
from durian.table.checked import check_manifest, check_summary
from durian.table.columns import write_columns
from durian.table.grouping import check_measure, group_samples


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """A finished profile: its folder, its manifest, and the numbers of its report."""

    run: str
    manifest: Manifest = merged()
    summary: Summary


def profile_dataset(
    config: ProfileConfig, *, fresh: bool = False, progress: Progress | None = None
) -> Profiled:
    """Measure how hard each sample is, and write the run folder; resume it if it is begun.

    Args:
        fresh: throw unfinished parts away rather than resume.
    Raises:
        InputError: an option, the dataset, the model or the folder is wrong; nothing is written.
        RunError: the run stopped part-way, and the same call resumes it; or every sample failed.

    >>> from durian.config import ProfileConfig
    >>> config = ProfileConfig(dataset="shapes.parquet", measures=("pixel",), out="runs/pixels")
    >>> durian.profile_dataset(config).manifest.counts.samples
    12
    """
    progress, watch = progress or Silent(), Stopwatch()
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    check_usable(Path(config.out))
    if config.needs_rollouts:
        check_engine(config.sampling)
    if config.needs_patches:
        check_encoder(config.sampling)
    identity = run_identity(config)
    if config.distributed is not None:
        ray_pool().check_cluster(config)
    reader = open_dataset(config.source)
    for line in reader.said:
        progress.note(line)
    check_first_rows(
        reader,
        config if config.needs_rollouts else None,
        pixel_limit=config.pixel_limit,
        chat=chat_of(config.sampling) if config.needs_rollouts else None,
        say=progress.note,
    )
    config = settle_repeatable(config)
    identity["repeatable"] = config.repeatable
    with watch.time("scan"):
        index = scan(reader.samples(), progress, own_ids=config.id_column is not None)
    identity["dataset"] = index.fingerprint
    with hold_run(Path(config.out), identity, fresh=fresh) as run:
        if run.manifest is None:
            measure_samples(config, reader, index, run, progress)
            finish_run(config, reader, index, run, identity, watch, progress)
        manifest = check_manifest(run.path)
        _check_any_measured(run.path, manifest.counts)
        # The summary may have been left behind by an older command, damaged or not at all.
        return Profiled(run=str(run.path), manifest=manifest, summary=check_summary(run.path))


def _check_any_measured(run: Path, counts: Counts) -> None:
    """A run in which every sample lacks a measure is kept, and is no success."""
    reasons = {k: n for k, n in counts.failed_by_reason.items() if k != NO_IMAGE}
    if counts.samples and sum(reasons.values()) == counts.samples:
        reason, count = next(iter(reasons.items()))
        raise RunError(
            one_line(
                f"{run}: a measure is missing of every sample, {count:,} x {reason}; the run is "
                "kept as it is: mend this and profile into another --out"
            )
        )


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
    samples = distinct(reader.samples(start=index.rows[first]), index, first)
    measure = measure_here if config.distributed is None else ray_pool().measure_on_ray
    # Closed, not left to the collector: an engine or a cluster's actors must end with the run.
    with closing(measure(config, samples, todo, index, progress)) as measured:
        for (number, _), part in zip(todo, measured, strict=True):
            run.write_part(number, *part_tables(part))


def ray_pool() -> ModuleType:
    """The road over a Ray cluster, imported only when chosen.

    Raises:
        ConfigError: Ray is not installed.
    """
    require("distributed ray", "ray")
    from durian.measuring import ray_pool

    return ray_pool


def finish_run(
    config: ProfileConfig,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder,
    identity: JsonObject,
    watch: Stopwatch,
    progress: Progress,
    *,
    also: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Group the measured samples, join the parts into tables, render, and write the manifest.

    Args:
        also: fields of the manifest that say more, or other, than of a profile.
    """
    # Here: drawing loads slowly, and wrong input should be told at once.
    from durian.report import keep_thumbnails, render_run

    progress.start("report", None)
    with watch.time("tables"):
        # Quantiles need all samples, so groups are cut when every part is there; the parts are read
        # for it by column, and again one by one for the tables. The manifest is written last, which
        # makes the run complete.
        write_columns(run)
        estimates = estimate_samples(run)
        estimated = estimates.columns if estimates else {}
        groups = group_samples(config, run, estimated)
        run.join_parts({**estimated, **groups.columns}, groups.cuts)
    made = estimates.made if estimates else None
    manifest = describe_run(config, reader, index, run, identity, groups, made)
    manifest = replace(manifest, **also)
    with watch.time("report"):
        render_run(
            run.path,
            manifest,
            keep=lambda rows: keep_thumbnails(run.path, reader, rows, config.pixel_limit),
        )
    for number in run.finished_parts():
        for stage, seconds in run.part_seconds(number).items():
            watch.add(stage, seconds)
    run.finish(replace(manifest, seconds={k: round(v, 3) for k, v in watch.seconds.items()}))
