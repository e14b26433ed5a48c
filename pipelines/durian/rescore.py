"""`durian rescore`: a finished run's completions under another reward -> a run of its own.

rollouts table -> rewards -> measures -> difficulty table -> report; no model. What was measured
with a model's weights is the finished run's; images are looked at again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from durian.config import ProfileConfig, RescoreConfig
from durian.config.dataset import ProfiledDatasetConfig
from durian.config.options import as_kept, restored, shared
from durian.errors import RunFolderError
from durian.manifest import table_fingerprint
from durian.profile import Profiled, Work, finish_run, finished, measure_samples, prepare
from durian.run.folder import DIFFICULTY_FILE, ROLLOUTS_FILE, RunFolder
from durian.run.manifest import Manifest, Rescored
from durian.run.opening import hold_run
from durian.run.progress import Progress, Silent
from durian.table.checked import check_run

# Columns that a policy's weights or processor were needed for.
_KEPT = ("spectral_entropy", "image_tokens", "prompt_tokens", "resize_factor")
_PLACES = ("dataset", "split", "image_root", "out")  # settings that may be others than the run's
# What a replay of completions has no use for.
_NOT_OF_A_REPLAY: dict[str, Any] = {
    "sampling_args": None, "chat_template_args": None, "adapter": None, "engine_args": {},
    "base_url": None, "tensor_parallel": 1, "data_parallel": 1, "distributed": None,
    "ray_address": None, "shard": None, "repeatable": None,
}  # fmt: skip


def rescore_run(
    config: RescoreConfig, *, fresh: bool = False, progress: Progress | None = None
) -> Profiled:
    """Score a finished run's completions by another reward, and make a run of them.

    Args:
        fresh: throw unfinished parts away rather than resume.
    Raises:
        InputError: an option, the run, its dataset or the folder is wrong; nothing is written.
        RunError: it stopped part-way, and the same call resumes it.
    """
    progress = progress or Silent()
    before = check_run(config.run)
    replayed = _replayed(config, before)
    work = prepare(replayed, progress)
    if work.index.fingerprint != before.dataset.fingerprint:
        raise RunFolderError(
            f"{config.run}: was made of another content than {replayed.dataset} has now; put the "
            "old one back, or name it by --dataset"
        )
    with hold_run(Path(config.out), work.identity, fresh=fresh, say=progress.note) as run:
        if run.manifest is None:
            measure_samples(work, run, progress)
            _keep(config.run, run)
            _finish(config, before, work, run, progress)
        return finished(run.path)


def _replayed(config: RescoreConfig, before: Manifest) -> ProfileConfig:
    """The settings of a profile that replays the completions.

    Raises:
        RunFolderError: the run has none, or not all that is known of drawn ones.
    """
    if before.kind is not None:
        raise RunFolderError(
            f"{config.run}: was made of a log; durian import grades that anew, by its --reward"
        )
    measures = tuple(name for name in before.config["measures"] if name != "spectral")
    if "confidence" not in measures:
        raise RunFolderError(f"{config.run}: has no completions; profile with --model first")
    where = shared(config, ProfiledDatasetConfig)
    replay = {
        **config.rewarding,
        **{name: value for name, value in where.items() if value is not None},
        "engine": "scripted",
        "model": str(config.rollouts_file),
        "measures": measures,
        "workers": config.workers,
        "out": config.out,
        **_NOT_OF_A_REPLAY,
    }
    return restored(ProfileConfig, before.config | replay)


def _keep(source: Path, run: RunFolder) -> None:
    """Take over the columns that only a policy can fill, part by part; again does no harm."""
    there = pq.read_schema(source / DIFFICULTY_FILE).names
    names = [name for name in _KEPT if name in there]
    kept = pq.read_table(
        source / DIFFICULTY_FILE, columns=["sample_id", "rollouts", "error", *names]
    )
    place = {sample: n for n, sample in enumerate(kept["sample_id"].to_pylist())}
    for number in run.finished_parts():
        part = run.read_part(number)
        places = pa.array([place.get(sample) for sample in part["sample_id"].to_pylist()])
        of_part = kept.take(places)
        columns = {name: of_part[name] for name in names}
        # Of a sample that was not prompted there is nothing to replay: its own error says why.
        undrawn = pc.is_null(of_part["rollouts"])
        columns["error"] = pc.if_else(undrawn, of_part["error"], part["error"])
        for name, column in columns.items():
            field = part.schema.field(name)
            at = part.schema.get_field_index(name)
            part = part.set_column(at, field, column.cast(field.type))
        run.write_part(number, part, run.read_rollouts(number), run.part_seconds(number))


def _finish(
    config: RescoreConfig, before: Manifest, work: Work, run: RunFolder, progress: Progress
) -> None:
    """Complete the run; it says what its completions were drawn with, and by which reward."""
    ours = as_kept(work.config)
    scored_with = {name: ours[name] for name in (*config.rewarding, *_PLACES)}
    finish_run(
        work.config, work.reader, work.index, run, work.identity, work.watch, progress,
        drawn=work.drawn,
        also={
            "model": before.model,
            "config": before.config | scored_with,
            "logprobs_mode": before.logprobs_mode,
            "tokens": before.tokens,
            "determinism": before.determinism,
            "rescored": Rescored(
                run=str(config.run),
                reward=before.config["reward"],
                completions=table_fingerprint(config.run, ROLLOUTS_FILE),
            ),
        },
    )  # fmt: skip
