"""A profile by several processes, on one machine or many, that share nothing but the run folder.

Each measures its own parts (`--shard I/N`). Who finishes last, or `durian merge`, completes the
run: groups, estimates, tables and report need all rows, and are those of one process to the byte.
"""

from __future__ import annotations

import os
from contextlib import chdir, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from durian.config import ProfileConfig, Shard
from durian.config.options import restored
from durian.errors import RunFolderError
from durian.profile import (
    Profiled,
    Work,
    check_grows,
    finish_run,
    finished,
    measure_samples,
    prepare,
    read_once,
    unfinished_parts,
)
from durian.readers.dataset import open_dataset
from durian.run.files import read_json
from durian.run.folder import LOCK_FILE, RunFolder
from durian.run.lock import InUse, holder_of
from durian.run.manifest import Shards
from durian.run.opening import SHARDS, complete_shards, hold_shard
from durian.run.progress import Progress, Silent, Stopwatch


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A shard whose parts are not all there."""

    shard: str  # I/N
    missing: int  # parts
    parts: int  # that are its own
    holder: str | None  # the process at work on it
    begun: bool  # some process ever was

    def __str__(self) -> str:
        state = (
            f"at work, {self.holder}" if self.holder else "stopped" if self.begun else "not begun"
        )
        return f"shard {self.shard} ({state}; {self.missing:,} of {self.parts:,} parts missing)"


@dataclass(frozen=True, kw_only=True)
class ShardDone:
    """A shard that is measured, of a run that is not complete yet."""

    run: str
    shard: str  # I/N
    parts: int  # that are its own
    missing: list[Missing]  # of the others
    completing: str | None = None  # the process that completes the run now

    @property
    def rest(self) -> str:
        """What is still to come, as a clause."""
        if self.completing is not None:
            return f"all parts are there, and {self.completing} completes the run"
        return "missing: " + ", ".join(map(str, self.missing))


def profile_shard(
    config: ProfileConfig, *, fresh: bool = False, progress: Progress | None = None
) -> Profiled | ShardDone:
    """Measure one shard of a profile; complete the run where the others are done.

    Args:
        fresh: throw the shard's unfinished parts away rather than resume; all, where they are of
            another run.
    Returns:
        The finished profile, or what it still lacks.
    Raises:
        InputError: as `profile_dataset`; or the shard is in use, or the run has another number.
        RunError: as `profile_dataset`.
    """
    progress = progress or Silent()
    shard = config.shard or Shard(1, 1)
    work = prepare(config, progress)
    own = shard.parts(len(work.parts))
    if not own:
        progress.note(
            f"shard {shard} has no part of {len(work.parts)}; a smaller part-size cuts more"
        )
    settings = {"folder": os.getcwd(), **asdict(replace(work.config, shard=None))}
    with hold_shard(
        Path(config.out), work.identity, shard, settings, fresh=fresh, parts=len(work.parts),
        say=progress.note,
    ) as run:  # fmt: skip
        if run.manifest is not None:
            if check_grows(run.path, work):
                raise RunFolderError(
                    f"{run.path}: is complete, and more samples are drawn by one process; leave "
                    "--shard out"
                )
            return finished(run.path)
        measure_samples(work, run, progress, own)
        done = ShardDone(run=str(run.path), shard=str(shard), parts=len(own), missing=[])
        try:
            result = _complete(work, run, shard.count, progress)
        except InUse:
            holder = holder_of(run.parts / LOCK_FILE) or "another process"
            return replace(done, completing=holder)
        return result if isinstance(result, Profiled) else replace(done, missing=result)


def merge_run(path: Path, *, progress: Progress | None = None) -> Profiled:
    """Complete a run whose shards are all done; of a complete one only tell what it came to.

    Its dataset is read once more, which shows that it is still the one that was measured.

    Raises:
        RunFolderError: shards are missing, the run is in use, or there is none in shards.
        DatasetError: the dataset is not there.
    """
    progress = progress or Silent()
    run = RunFolder(path.resolve())
    if run.manifest is not None:
        return finished(path)
    if not run.settings.exists():
        raise RunFolderError(
            f"{path}: holds no run in shards; give the --out of a durian profile --shard I/N"
        )
    way_out = "profile again with --fresh"
    identity = read_json(run.identity, way_out)
    count = identity.pop(SHARDS)
    settings = read_json(run.settings, way_out)
    folder = settings.pop("folder")
    config = restored(ProfileConfig, settings)
    # Paths in the settings may be relative to where the shards were begun.
    with chdir(folder) if os.path.isdir(folder) else nullcontext():
        watch = Stopwatch()
        reader = open_dataset(config.source)
        with watch.time("scan"):
            index, drawn = read_once(config, reader, progress)
        if index.fingerprint != identity["dataset"]:
            raise RunFolderError(
                f"{path}: was made with another content of dataset {config.dataset}; put the old "
                "one back, or profile again with --fresh"
            )
        work = Work(
            config=config, reader=reader, index=index, drawn=drawn, identity=identity, watch=watch
        )
        result = _complete(work, run, count, progress)
    if isinstance(result, Profiled):
        return replace(result, run=str(path))
    lacking = ", ".join(map(str, result))
    raise RunFolderError(f"{path}: lacks {lacking}; give the command of each again")


def _missing(work: Work, run: RunFolder, count: int) -> list[Missing]:
    """The shards that lack parts."""
    lacking = set(unfinished_parts(work, run))
    if not lacking:
        return []
    holders, found = run.shards_at_work(), []
    for shard in (Shard(number, count) for number in range(1, count + 1)):
        own = shard.parts(len(work.parts))
        if missing := len(lacking.intersection(own)):
            found.append(
                Missing(
                    shard=str(shard),
                    missing=missing,
                    parts=len(own),
                    holder=holders.get(shard.number),
                    begun=run.shard_lock(shard.number).exists(),
                )
            )
    return found


def _complete(
    work: Work, run: RunFolder, count: int, progress: Progress
) -> Profiled | list[Missing]:
    """Put the shards together where all are done, unless another process has done so meanwhile.

    Raises:
        InUse: it is at it.
    """
    if run.manifest is None and (missing := _missing(work, run, count)):
        return missing
    with complete_shards(run, progress.note) as whole:
        if whole.manifest is None:
            # Asked again: a shard may have been begun afresh before the run was held.
            if missing := _missing(work, run, count):
                return missing
            seconds = [
                _seconds(run, Shard(number, count).parts(len(work.parts)))
                for number in range(1, count + 1)
            ]
            finish_run(
                replace(work.config, shard=None), work.reader, work.index, whole, work.identity,
                work.watch, progress, drawn=work.drawn,
                also={"shards": Shards(count=count, seconds=seconds)},
            )  # fmt: skip
        return finished(whole.path)


def _seconds(run: RunFolder, parts: range) -> dict[str, float]:
    watch = Stopwatch()
    for number in parts:
        for stage, seconds in run.part_seconds(number).items():
            watch.add(stage, seconds)
    return {stage: round(seconds, 3) for stage, seconds in watch.seconds.items()}
