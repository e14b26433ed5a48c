"""Rollouts that exist already -> the run of a profile, without a model.

log -> completions -> their samples -> images, rewards -> measures -> difficulty table -> report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import dropwhile, islice
from pathlib import Path

from durian.config import ImportConfig
from durian.config.options import as_kept, identifying
from durian.errors import ConfigError
from durian.logs.files import LogFiles
from durian.logs.kept import KeptLogs, part_size
from durian.logs.matching import Matcher
from durian.manifest import file_fingerprint
from durian.measuring.decoding import decoded
from durian.measuring.first_rows import check_first_rows
from durian.measuring.logged import measure_logged
from durian.measuring.look import Look
from durian.measuring.measuring import Measured, part_tables, together
from durian.profile import Profiled, finish_run
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import DatasetIndex, distinct, scan
from durian.records import JsonObject
from durian.rewards import Reward, open_reward, reward_fingerprint
from durian.run.folder import RunFolder, check_usable
from durian.run.manifest import ImportedLogs
from durian.run.opening import hold_run
from durian.run.progress import Progress, Silent, Stopwatch, timed
from durian.samples import Sample
from durian.schema import SCHEMA_VERSION
from durian.table.checked import check_manifest, check_summary
from durian.table.grouping import check_measure

IMPORT = "import"  # the kind of run


def import_logs(
    config: ImportConfig, *, fresh: bool = False, progress: Progress | None = None
) -> Profiled:
    """Make a run of completions that were logged, as a profile makes one of those it draws.

    Args:
        fresh: throw unfinished parts away rather than resume.
    Raises:
        InputError: an option, the log, the dataset or the folder is wrong, or nothing of the log
            is of the dataset; nothing is written.
        RunError: the run stopped part-way, and the same call resumes it.
    """
    progress, watch = progress or Silent(), Stopwatch()
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    check_usable(Path(config.out))
    logs = LogFiles(config.logs, config.form)
    reader = open_dataset(config.source)
    for line in reader.said:
        progress.note(line)
    graded = None if config.logged_rewards else config
    check_first_rows(reader, graded, pixel_limit=config.pixel_limit)
    matcher = Matcher(reader.described["problem"], config.id_column, config.key)
    with watch.time("scan"):
        samples = matcher.seeing(reader.samples())
        index = scan(samples, progress, own_ids=config.id_column is not None)
    identity = _identity(config, logs, index)
    with hold_run(Path(config.out), identity, fresh=fresh, config=ImportConfig) as run:
        if run.manifest is None:
            parts = index.parts(part_size(len(index.rows), logs.bytes))
            kept = KeptLogs(run.parts)
            with watch.time("logs"):
                found = kept.fill(logs, matcher, parts, progress)
            _check_told(config, found, progress)
            begin = partial(_begin, index=index, kept=kept, opened=found.opened)
            _measure(config, reader, index, run, parts, begin, progress)
            also = {
                "kind": IMPORT, "logs": found, "config": as_kept(config.profile) | as_kept(config),
                "logprobs_mode": "as logged" if found.with_logprob else None,
            }  # fmt: skip
            finish_run(config.profile, reader, index, run, identity, watch, progress, also=also)
        return Profiled(
            run=str(run.path), manifest=check_manifest(run.path), summary=check_summary(run.path)
        )


def _identity(config: ImportConfig, logs: LogFiles, index: DatasetIndex) -> JsonObject:
    return {
        "kind": IMPORT,
        "schema": SCHEMA_VERSION,
        **identifying(config),
        "logs": logs.fingerprint(),
        "model": None,
        "dataset": index.fingerprint,
        "reward": None if config.logged_rewards else reward_fingerprint(config.reward),
        "prompt_template": file_fingerprint(config.prompt_template),
    }


def _check_told(config: ImportConfig, found: ImportedLogs, progress: Progress) -> None:
    """Say what the log lacks for the whole run to be had.

    Raises:
        ConfigError: its own rewards are asked for, and it has none.
    """
    if config.logged_rewards and not found.with_reward:
        raise ConfigError(
            f"logged-rewards: no completion of {config.logs} has a reward; leave it out, and "
            "--reward grades them anew"
        )
    if not found.with_logprob and config.reasoning in ("mean_logprob", "sum_logprob"):
        progress.note(
            "the log has no log-probabilities with the number of tokens, so there is no confidence "
            "and there are no reasoning groups; --reasoning pass_rate, or any column of numbers, "
            "makes some"
        )


def _measure(
    config: ImportConfig,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder,
    parts: list[range],
    begin: Callable[..., Iterator[Callable[[], Measured]]],
    progress: Progress,
) -> None:
    """Measure the samples that no finished part holds, and keep them part by part."""
    todo = list(dropwhile(lambda part: run.has_part(part[0]), enumerate(parts)))
    if not todo:
        return
    first = todo[0][1].start
    progress.start("images", len(index.rows), first)
    seen = decoded(
        distinct(reader.samples(start=index.rows[first]), index, first),
        keep=False,
        pixel_limit=config.pixel_limit,
        workers=config.workers,
        progress=progress,
    )
    reward = None if config.logged_rewards else open_reward(config.reward, config)
    watch = Stopwatch()
    try:
        with closing(seen):
            for number, places in todo:
                of_part = zip(
                    places, timed(islice(seen, len(places)), "images", watch), strict=True
                )
                with watch.time("rewards"):
                    begun = list(begin(reward, number, of_part))
                    part = together((finish() for finish in begun), watch)
                run.write_part(number, *part_tables(part))
    finally:
        if reward is not None:
            reward.close()


def _begin(
    reward: Reward | None,
    number: int,
    samples: Iterable[tuple[int, tuple[Sample, Look]]],
    *,
    index: DatasetIndex,
    kept: KeptLogs,
    opened: bool,
) -> Iterator[Callable[[], Measured]]:
    """Begin with the samples of one part, each with its place: by what was kept of it."""
    logged = kept.part(number)
    for place, (sample, seen) in samples:
        yield measure_logged(
            reward, sample, seen, index.copies[place], logged.get(place, ()), opened=opened
        )
