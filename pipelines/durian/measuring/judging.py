"""Chunks of samples -> greedy and sampled completions -> the outcomes of one part, in tables."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from statistics import fmean
from typing import Any

import pyarrow as pa

from durian.config import EvalConfig
from durian.errors import one_line
from durian.measuring.chunks import Chunk, decoded_chunks
from durian.measuring.rows import arrow_table, rollout_rows
from durian.measuring.sampling import Drawn, Policy, one_behind, open_policy
from durian.readers.dataset import SampleReader
from durian.readers.scan import DatasetIndex, distinct
from durian.run.progress import Progress, Stopwatch
from durian.schema import JUDGED_ROLLOUTS

OUTCOME = ("right", "formatted", "tokens", "truncated")  # of a sample's completions
_Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class JudgedPart:
    """The judged samples of one part."""

    number: int
    outcomes: pa.Table  # one row a sample: its ids, and by way of drawing what `OUTCOME` names
    rollouts: pa.Table  # one row a completion
    seconds: dict[str, float]  # by stage


def judge_parts(
    config: EvalConfig,
    policy: str,
    reader: SampleReader,
    index: DatasetIndex,
    parts: Sequence[tuple[int, range]],
    progress: Progress,
) -> Generator[JudgedPart, None, None]:
    """Load `config.model` and judge its completions, a part at a time.

    Args:
        policy: what the rows of its completions say in the column of that name.
        parts: the number of each and its samples, rising, to the end of the index.
    Raises:
        ConfigError: the policy cannot be loaded.
        RunError: the program behind an engine failed.
    """
    first, watch = parts[0][1].start, Stopwatch()
    with watch.time("load"):
        opened = open_policy(config, progress)
    with closing(opened) as loaded:
        for stage in ("images", "greedy", "rollouts") if config.rollouts else ("images", "greedy"):
            progress.start(stage, len(index.rows), first)
        chunks = decoded_chunks(
            distinct(reader.samples(start=index.rows[first]), index, first),
            parts,
            keep=True,
            pixel_limit=config.pixel_limit,
            workers=config.workers,
            progress=progress,
        )
        # A part is scored to its end before the next is begun: a stop then would lose it.
        for number, of_part in groupby(chunks, key=lambda chunk: chunk.part):
            begun = (_begin(chunk, loaded, config.rollouts, policy, watch) for chunk in of_part)
            outcomes: _Rows = []
            completions: _Rows = []
            for of_samples, written in one_behind(begun):
                outcomes += of_samples
                completions += written
            yield JudgedPart(
                number=number,
                outcomes=pa.Table.from_pylist(outcomes, _outcome_schema(config.rollouts)),
                rollouts=arrow_table(completions, JUDGED_ROLLOUTS),
                seconds=watch.seconds,
            )
            watch = Stopwatch()


def _begin(
    chunk: Chunk, policy: Policy, rollouts: int, name: str, watch: Stopwatch
) -> Callable[[], tuple[_Rows, _Rows]]:
    """Draw a chunk's completions; the function that comes back waits for their scores."""
    watch.add("images", chunk.seconds)
    # The greedy completions are scored while the sampled ones are drawn.
    begun = {"greedy": policy.draw(chunk, watch, greedy=True)}
    if rollouts:
        begun["sampled"] = policy.draw(chunk, watch)
    chunk.looks = []  # their memory
    return partial(_rows, chunk, begun, name)


def _rows(
    chunk: Chunk, begun: Mapping[str, Callable[[], list[Drawn]]], policy: str
) -> tuple[_Rows, _Rows]:
    """The rows of a chunk's samples, and of their completions."""
    outcomes: _Rows = []
    completions: _Rows = []
    drawn = {way: scored() for way, scored in begun.items()}
    for place, sample in enumerate(chunk.samples):
        of_sample = {way: answers[place] for way, answers in drawn.items()}
        error = next((answer.error for answer in of_sample.values() if answer.error), None)
        row: dict[str, Any] = {
            "sample_id": sample.sample_id,
            "image_id": sample.image_id,
            "error": error and one_line(error),
        }
        for way, answer in of_sample.items():
            row.update((f"{way}_{kept}", value) for kept, value in _outcome(answer).items())
            completions += (
                {**written, "policy": policy, "greedy": way == "greedy"}
                for written in rollout_rows(sample, answer.rollouts, answer.scores)
            )
        outcomes.append(row)
    return outcomes, completions


def _outcome(answer: Drawn) -> dict[str, float | None]:
    if not answer.scores:
        return {}
    formatted = [score.formatted for score in answer.scores if score.formatted is not None]
    return {
        "right": sum(score.correct for score in answer.scores),
        "formatted": fmean(formatted) if formatted else None,
        "tokens": fmean(rollout.n_tokens for rollout in answer.rollouts),
        "truncated": fmean(rollout.finish_reason == "length" for rollout in answer.rollouts),
    }


def _outcome_schema(rollouts: int) -> pa.Schema:
    ways = ("greedy", "sampled") if rollouts else ("greedy",)
    numbers = [f"{way}_{kept}" for way in ways for kept in OUTCOME]
    texts = dict.fromkeys(("sample_id", "image_id", "error"), pa.string())
    return pa.schema({**texts, **dict.fromkeys(numbers, pa.float64())}, metadata={})
