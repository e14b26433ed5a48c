"""STAGE 1: dataset -> samples -> images, rollouts -> measures -> difficulty table -> report.

Departures from the paper, each with an option: pixel entropy stands beside spectral entropy as
the perceptual measure; confidence is taken per token (`mean_logprob`) unless `sum_logprob` is
asked for; groups are cut over the whole dataset, once, rather than within a rollout batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.one_run.summary import Summary
from durian.analysis.statistics.clusters import FEWEST
from durian.causes.thresholds import asked_thresholds
from durian.config import ProfileConfig
from durian.duplicates.found import cluster_samples, count_duplicates
from durian.duplicates.others import Leak
from durian.engines.loading import chat_of, check_encoder, check_engine, settle_repeatable
from durian.errors import ConfigError, RunError, RunFolderError, one_line, require
from durian.estimating.estimates import estimate_samples
from durian.manifest import describe_run, run_identity
from durian.measures.outcome import NOT_DRAWN
from durian.measuring.first_rows import check_first_rows
from durian.measuring.measuring import measure_here, part_tables
from durian.measuring.others import fingerprints, look_for_samples, open_others
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import DatasetIndex, distinct, numbered, scan
from durian.readers.stand_ins import StandIns
from durian.readers.strata import Strata
from durian.records import JsonObject, merged
from durian.run.folder import RunFolder, check_usable
from durian.run.growing import add_to_part, extended, settle
from durian.run.manifest import Manifest, Sampled
from durian.run.opening import hold_run
from durian.run.progress import Progress, Silent, Stopwatch
from durian.samples import NO_IMAGE
from durian.table.causes import WHY, causes_of_parts
from durian.table.checked import check_manifest, check_summary
from durian.table.columns import write_columns, write_signatures
from durian.table.grouping import check_measure, group_samples

LEASES = "lease files with host, process and time: the file system has no flock that works"


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """A finished profile: its folder, its manifest, and the numbers of its report."""

    run: str
    manifest: Manifest = merged()
    summary: Summary


@dataclass(frozen=True, kw_only=True)
class Work:
    """A profile whose inputs are known to be right, before its folder is touched."""

    config: ProfileConfig
    reader: SampleReader
    index: DatasetIndex
    drawn: NDArray[np.bool_]  # (N,), the samples that completions are drawn of
    identity: JsonObject
    watch: Stopwatch

    @property
    def parts(self) -> list[range]:
        """The numbers of the samples of each part."""
        return self.index.parts(self.config.part_size)


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
    progress, out = progress or Silent(), Path(config.out)
    if config.shard is not None:
        raise ConfigError("shard is for durian.shards.profile_shard; leave it out")
    work = prepare(config, progress)

    def complete(run: RunFolder) -> None:
        measure_samples(work, run, progress)
        finish_run(
            work.config, work.reader, work.index, run, work.identity, work.watch, progress,
            drawn=work.drawn,
        )  # fmt: skip

    settle(out)
    with hold_run(out, work.identity, fresh=fresh, say=progress.note) as run:
        if run.manifest is None:
            complete(run)
        elif check_grows(run.path, work):
            with extended(run.path, work.identity, work.parts, fresh=fresh) as aside:
                complete(aside)
        return finished(run.path)


def prepare(config: ProfileConfig, progress: Progress) -> Work:
    """Find wrong input before anything is loaded or written, and read the dataset once.

    Raises:
        InputError: see above.
    """
    watch = Stopwatch()
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    check_usable(Path(config.out))
    if config.needs_rollouts:
        check_engine(config.sampling)
    if config.needs_patches:
        check_encoder(config.sampling)
    if config.counts_prompts:
        require("model, whose processor counts the tokens of prompts,", "torch", "transformers")
    identity = run_identity(config)
    if config.distributed is not None:
        ray_pool().check_cluster(config)
    reader = open_dataset(config.source)
    others = open_others(config)
    for line in reader.said:
        progress.note(line)
    check_first_rows(
        reader,
        config if config.needs_rollouts else None,
        pixel_limit=config.pixel_limit,
        chat=chat_of(config.sampling) if config.needs_rollouts else None,
        say=progress.note,
        blind=config.blind if config.asks_blind else None,
    )
    config = settle_repeatable(config)
    identity["repeatable"] = config.repeatable
    if others:
        with watch.time("against"):
            identity["against"] = fingerprints(others)
    with watch.time("scan"):
        index, drawn = read_once(config, reader, progress)
    identity["dataset"] = index.fingerprint
    return Work(
        config=config, reader=reader, index=index, drawn=drawn, identity=identity, watch=watch
    )


def read_once(
    config: ProfileConfig, reader: SampleReader, progress: Progress
) -> tuple[DatasetIndex, NDArray[np.bool_]]:
    """The distinct samples of a dataset, and those that completions are drawn of. (N,)

    Raises:
        DatasetError: as `scan`.
        ConfigError: those drawn are too few to say anything about the others.
    """
    strata = None if config.draws_all else Strata(config.seed)
    by_others = config.asks_blind and config.blind == "other"
    index = scan(
        reader.samples(), progress, own_ids=config.id_column is not None, strata=strata,
        stand_ins=StandIns(config.seed) if by_others else None,
    )  # fmt: skip
    return index, _drawn(config, strata, len(index.rows))


def finished(run: Path) -> Profiled:
    """What a complete run came to.

    Raises:
        RunError: every sample lacks a measure.
    """
    manifest = check_manifest(run)
    # The summary may have been left behind by an older command, damaged or not at all.
    summary = check_summary(run)
    _check_any_measured(run, manifest, summary)
    return Profiled(run=str(run), manifest=manifest, summary=summary)


def _drawn(config: ProfileConfig, strata: Strata | None, samples: int) -> NDArray[np.bool_]:
    """Mark the samples that completions are drawn of. (N,)

    Raises:
        ConfigError: they are too few to say anything about the others.
    """
    if strata is None:
        return np.ones(samples, np.bool_)
    count = config.drawn_of(samples)
    if count < min(FEWEST, samples):
        raise ConfigError(
            f"sample is {config.sample}, which is {count:,} of {samples:,} samples; {FEWEST} or "
            "more say something about the others"
        )
    return strata.first(count)


def check_grows(run: Path, work: Work) -> bool:
    """Whether completions are now asked for of more samples than a complete run holds.

    Raises:
        RunFolderError: of fewer.
    """
    sampled = check_manifest(run).sampled
    before = len(work.drawn) if sampled is None else sampled.drawn
    now = int(work.drawn.sum())
    if now < before:
        raise RunFolderError(
            f"{run}: completions were drawn of {before:,} samples, and sample "
            f"{work.config.sample} asks for {now:,}; it may only grow: leave the run as it is, or "
            "choose another --out"
        )
    return now > before


def _check_any_measured(run: Path, manifest: Manifest, summary: Summary) -> None:
    """A run in which every sample lacks a measure is kept, and is no success."""
    counts = manifest.counts
    reasons = {k: n for k, n in counts.failed_by_reason.items() if k != NO_IMAGE}
    none = sum(reasons.values()) == counts.samples
    if manifest.sampled is not None:
        none = bool(reasons) and not summary.measured
    if counts.samples and none:
        reason, count = next(iter(reasons.items()))
        raise RunError(
            one_line(
                f"{run}: a measure is missing of every sample, {count:,} x {reason}; the run is "
                "kept as it is: mend this and profile into another --out"
            )
        )


def measure_samples(
    work: Work, run: RunFolder, progress: Progress, own: range | None = None
) -> None:
    """Measure the samples that no finished part holds, and keep them part by part.

    First those that completions are drawn of, so that a policy that cannot be loaded leaves no
    part; then the images of the others.

    Args:
        own: numbers of the parts that are this process's; None for all.
    """
    config, index, parts, drawn = work.config, work.index, work.parts, work.drawn
    held, asked = _held(index, run)
    if (asked & ~drawn).any():
        raise RunFolderError(
            f"{run.path}: was begun with a larger --sample, which may only grow; repeat the old "
            "value, or pass --fresh"
        )
    mine = np.zeros(len(drawn), np.bool_)
    for number in range(len(parts)) if own is None else own:
        mine[parts[number].start : parts[number].stop] = True
    measure = measure_here if config.distributed is None else ray_pool().measure_on_ray
    for draws, due, there in ((True, drawn, drawn & asked), (False, ~drawn, ~drawn & held)):
        left = mine & due & ~there
        todo = [
            (number, (places.start + np.flatnonzero(left[places.start : places.stop])).tolist())
            for number, places in enumerate(parts)
            if left[places.start : places.stop].any()
        ]
        if not todo:
            continue
        first = todo[0][1][0]
        rows = distinct(work.reader.samples(start=index.rows[first]), index, first)
        numbers = chain.from_iterable(places for _, places in todo)
        samples, done = numbered(rows, first, numbers), int((mine & there).sum())
        # Closed, not left to the collector: an engine or a cluster's actors must end with the run.
        with closing(
            measure(config, samples, todo, index, progress, draws=draws, done=done)
        ) as measured:
            for (number, _), part in zip(todo, measured, strict=True):
                add_to_part(run, number, *part_tables(part))


def unfinished_parts(work: Work, run: RunFolder) -> list[int]:
    """Numbers of the parts that lack a sample, or the completions of one that is drawn."""
    held, asked = _held(work.index, run)
    left = ~held | (work.drawn & ~asked)
    return [n for n, part in enumerate(work.parts) if left[part.start : part.stop].any()]


def _held(index: DatasetIndex, run: RunFolder) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the samples that finished parts hold, and those whose completions were asked for."""
    held, asked = np.zeros((2, len(index.rows)), np.bool_)
    rows = np.frombuffer(index.rows, np.int64)
    for number in run.finished_parts():
        part = run.read_part_columns(["row", "rollouts"], [number])
        at = np.searchsorted(rows, part["row"].to_numpy())
        held[at] = True
        asked[at] = [count != NOT_DRAWN for count in part["rollouts"].to_pylist()]
    return held, asked


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
    drawn: NDArray[np.bool_] | None = None,
    also: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Group the measured samples, join the parts into tables, render, and write the manifest.

    Args:
        drawn: (N,), the samples that completions were drawn of; None for all.
        also: fields of the manifest that say more, or other, than of a profile.
    """
    # Here: drawing loads slowly, and wrong input should be told at once.
    from durian.report import keep_leaks, keep_thumbnails, render_run

    progress.start("report", None)
    with watch.time("tables"):
        # Quantiles need all samples, so groups are cut when every part is there; the parts are read
        # for it by column, and again one by one for the tables. The manifest is written last, which
        # makes the run complete.
        write_columns(run)
        duplicates = _duplicates(config, run, identity, watch, progress)
        estimates = estimate_samples(run)
        estimated = estimates.columns
        grouped = config
        if drawn is not None and not drawn.all():
            if estimates.made is None:
                progress.note(
                    "samples that were not drawn are not estimated: fewer than ten images have "
                    "scored completions"
                )
            grouped = _grouped_by_estimates(config, estimated, progress)
        groups = group_samples(grouped, run, estimated)
        thresholds = asked_thresholds(config.why)
        groups = replace(groups, cuts=replace(groups.cuts, why=thresholds))
        together = {**duplicates.columns, **estimated}
        why = causes_of_parts(run, together, thresholds)
        run.join_parts({**together, **groups.columns, WHY: why}, groups.cuts)
    manifest = describe_run(config, reader, index, run, identity, groups, estimates.made)
    if drawn is not None and not drawn.all():
        manifest = replace(manifest, sampled=Sampled(asked=config.sample, drawn=int(drawn.sum())))
    if run.held.lease is not None:
        manifest = replace(manifest, locks=LEASES)
    manifest = replace(manifest, **duplicates.told, **also)
    with watch.time("report"):
        if duplicates.leaks:
            keep_leaks(run.path, reader, duplicates.leaks, config.pixel_limit)
        render_run(
            run.path,
            manifest,
            keep=lambda rows: keep_thumbnails(run.path, reader, rows, config.pixel_limit),
        )
    for number in run.finished_parts():
        for stage, seconds in run.part_seconds(number).items():
            watch.add(stage, seconds)
    run.finish(replace(manifest, seconds={k: round(v, 3) for k, v in watch.seconds.items()}))


@dataclass(frozen=True, kw_only=True)
class _Duplicates:
    """Columns that need the images of all samples, and what the manifest tells of them."""

    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    leaks: Sequence[Leak] = ()


def _duplicates(
    config: ProfileConfig,
    run: RunFolder,
    identity: JsonObject,
    watch: Stopwatch,
    progress: Progress,
) -> _Duplicates:
    """Cluster the images of all samples, and look for the samples in other datasets."""
    if not config.needs_signatures:
        return _Duplicates()
    with watch.time("duplicates"):
        write_signatures(run)
        columns = dict(cluster_samples(run))
        found = count_duplicates(run, columns["image_cluster"])
    progress.note(
        f"duplicates: {found.samples:,} samples share nearly the same image with another, in "
        f"{found.clusters:,} clusters; {found.conflicts:,} have labels in conflict"
    )
    if not config.against:
        return _Duplicates(columns=columns, told={"duplicates": found})
    with watch.time("against"):
        columns["also_in"], sets, leaks = look_for_samples(
            config, run, identity["against"], progress
        )
    for other in sets:
        ways = ", ".join(f"{count:,} by {way}" for way, count in other.by.items() if count)
        progress.note(
            f"against {other.name}: holds {other.held:,} of the samples{f' ({ways})' * bool(ways)}"
        )
    return _Duplicates(columns=columns, told={"duplicates": found, "against": sets}, leaks=leaks)


def _grouped_by_estimates(
    config: ProfileConfig, estimated: Mapping[str, pa.Array], progress: Progress
) -> ProfileConfig:
    """Let the bins stand on `confidence`, which samples have that were not drawn, too."""
    if config.reasoning != "mean_logprob" or "confidence" not in estimated:
        return config
    progress.note("reasoning bins stand on confidence: mean_logprob is of the drawn samples alone")
    return replace(config, reasoning="confidence")
