"""Samples -> greedy and sampled completions, in one stream -> each part's outcomes, in tables."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import Any

import pyarrow as pa

from durian.config import EvalConfig
from durian.errors import one_line
from durian.measuring.decoding import decoded
from durian.measuring.look import Look
from durian.measuring.rows import arrow_table, rollout_rows
from durian.measuring.sampling import BLIND_WAY, Drawn, open_policy, when_scored
from durian.readers.dataset import SampleReader
from durian.readers.scan import DatasetIndex, distinct
from durian.run.progress import Progress, Stopwatch, timed
from durian.samples import Sample
from durian.schema import JUDGED_ROLLOUTS

OUTCOME = ("right", "formatted", "tokens", "truncated")  # of a sample's completions
BLIND = "blind_share"  # after the way of drawing: share right of those without the image
_Row = dict[str, Any]


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
        opened = open_policy(config, progress, index.stand_ins)
    with closing(opened) as loaded:
        stages = ["images", "greedy", *(["rollouts"] if config.rollouts else [])]
        for stage in [*stages, *(["blind"] if config.asks_blind else [])]:
            progress.start(stage, len(index.rows), first)
        seen = decoded(
            distinct(reader.samples(start=index.rows[first]), index, first),
            keep=True,
            pixel_limit=config.pixel_limit,
            workers=config.workers,
            progress=progress,
            bounds=loaded.bounds,
        )
        # The greedy completion and the sampled ones in one stream: none waits for the other.
        ways = _ways(config)
        begun = loaded.draw(_named(timed(seen, "images", watch)), watch, ways=ways)
        with closing(seen), closing(begun):
            scored = when_scored(begun)
            for number, places in parts:
                # To the end of the part and no further: a stop would else lose it.
                outcomes, completions = list[_Row](), list[_Row]()
                for one in islice(scored, len(places)):
                    with watch.time("rewards"):
                        drawn = one.scored()
                    outcomes.append(_outcome_row(one.item, drawn))
                    completions += _completion_rows(one.item, drawn, policy)
                yield JudgedPart(
                    number=number,
                    outcomes=pa.Table.from_pylist(outcomes, _outcome_schema(config)),
                    rollouts=arrow_table(completions, JUDGED_ROLLOUTS),
                    seconds=watch.lap(),
                )


def _ways(config: EvalConfig) -> list[str]:
    """In which completions are drawn; those without the image last."""
    ways = ["greedy", "sampled"] if config.rollouts else ["greedy"]
    return [*ways, *(BLIND_WAY[way] for way in ways if config.asks_blind)]


def _named(samples: Iterable[tuple[Sample, Look]]) -> Iterator[tuple[Sample, Look, _Named]]:
    for sample, seen in samples:
        yield sample, seen, _Named(replace(sample, images=()), sample.image_id)


@dataclass(frozen=True)
class _Named:
    """A sample without its images, which may wait for others, and their ids."""

    sample: Sample
    image_id: str


def _outcome_row(of: _Named, drawn: Mapping[str, Drawn]) -> _Row:
    error = next((drawn[way].error for way in BLIND_WAY if way in drawn and drawn[way].error), None)
    row: _Row = {
        "sample_id": of.sample.sample_id,
        "image_id": of.image_id,
        "error": error and one_line(error),
    }
    for way in BLIND_WAY:
        if (answer := drawn.get(way)) is not None:
            row.update((f"{way}_{kept}", value) for kept, value in _outcome(answer).items())
        # A sample that cannot be asked blind is judged all the same.
        if (blind := drawn.get(BLIND_WAY[way])) is not None and blind.scores:
            row[f"{way}_{BLIND}"] = fmean(score.correct for score in blind.scores)
    return row


def _completion_rows(of: _Named, drawn: Mapping[str, Drawn], policy: str) -> Iterator[_Row]:
    for way, without in BLIND_WAY.items():
        seeing, blind = drawn.get(way, Drawn()), drawn.get(without, Drawn())
        first = len(seeing.rollouts)
        for written in (
            *rollout_rows(of.sample, seeing.rollouts, seeing.scores),
            *rollout_rows(of.sample, blind.rollouts, blind.scores, blind=True, first=first),
        ):
            yield {**written, "policy": policy, "greedy": way == "greedy"}


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


def _outcome_schema(config: EvalConfig) -> pa.Schema:
    kept = (*OUTCOME, BLIND) if config.asks_blind else OUTCOME
    numbers = [f"{way}_{of}" for way in _ways(config) if way in BLIND_WAY for of in kept]
    texts = dict.fromkeys(("sample_id", "image_id", "error"), pa.string())
    return pa.schema({**texts, **dict.fromkeys(numbers, pa.float64())}, metadata={})
