"""Chunks of samples and what was logged of them -> measured chunks, as a profile has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from durian.logs.kept import Written
from durian.measures import Completions, ImageMeasure, RolloutMeasure, taken
from durian.measuring.chunks import Chunk
from durian.measuring.look import Look
from durian.measuring.measuring import NO_IMAGE, Measured
from durian.measuring.rows import difficulty_row, rollout_rows
from durian.measuring.taking import Taken, take
from durian.rewards import Attempts, Reward, distinct_answers, extract_answer
from durian.rewards.score import Pending
from durian.run.progress import Stopwatch
from durian.samples import Rollout, Sample, Score
from durian.table.columns import SOURCE_FILE, Further

NOT_LOGGED = "no completion is logged"


def measure_logged(
    reward: Reward | None,
    chunk: Chunk,
    copies: Sequence[int],
    logged: Mapping[int, Sequence[Written]],
    *,
    opened: bool,
) -> Callable[[], Measured]:
    """Measure the samples of a chunk by their images and by the completions that were logged.

    They are being scored when this returns: begin the next chunk, then ask the function that it
    gives for what was measured.

    Args:
        reward: grades the completions anew; None: the log's own rewards stand.
        copies: how many rows of the dataset each sample stands for.
        logged: completions by the number of their sample.
        opened: their prompts end with the opening think tag.
    """
    watch = Stopwatch()
    watch.add("images", chunk.seconds)
    written = [logged.get(chunk.first + place, ()) for place in range(len(chunk.samples))]
    with watch.time("rewards"):
        begun = [
            partial(_own_scores, of_sample)
            if reward is None
            else reward.start(_attempts(sample, seen, of_sample, opened))
            for sample, seen, of_sample in zip(chunk.samples, chunk.looks, written, strict=True)
        ]

    def measured() -> Measured:
        found = Measured(
            further=[
                Further(sample.image_id, {**sample.columns, SOURCE_FILE: sample.source_file})
                for sample in chunk.samples
            ],
            seconds=watch.seconds,
        )
        for place, sample in enumerate(chunk.samples):
            row, rollouts = _rows(
                sample, chunk.looks[place], copies[place], written[place], begun[place], watch
            )
            found.difficulty.append(row)
            found.completions.extend(rollouts)
        return found

    return measured


def _rows(
    sample: Sample,
    seen: Look,
    copies: int,
    written: Sequence[Written],
    pending: Pending,
    watch: Stopwatch,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    images = Taken()
    if seen.decoded:
        of_images = taken(ImageMeasure, ("pixel",))
        images = take((measure, partial(measure.take, seen.decoded)) for measure in of_images)
    scores: Sequence[Score] = ()
    unscored = None if written else NOT_LOGGED
    if written and sample.question_error is None:
        try:
            with watch.time("rewards"):
                scores = pending()
        except ValueError as error:
            unscored = str(error)
    rollouts = [_rollout(one) for one in written]
    outcome = _outcome(written, rollouts, scores)
    reasons = (
        sample.error, sample.question_error, seen.error, None if sample.images else NO_IMAGE,
        images.error, unscored, outcome.error,
    )  # fmt: skip
    row = difficulty_row(
        sample,
        copies=copies,
        width=seen.width,
        height=seen.height,
        values={**images.values, **outcome.values},
        error="; ".join(dict.fromkeys(filter(None, reasons))) or None,
    )
    rows = [
        of_rollout
        | {
            "n_tokens": one.n_tokens,
            "sum_logprob": one.sum_logprob,
            "finish_reason": one.finish_reason,
            "step": one.step,
        }
        for of_rollout, one in zip(rollout_rows(sample, rollouts, scores), written, strict=True)
    ]
    return row, rows


def _outcome(
    written: Sequence[Written], rollouts: Sequence[Rollout], scores: Sequence[Score]
) -> Taken:
    """All that is measured of completions, as far as the log tells what it is taken from."""
    if not written:
        return Taken()
    known = [one.sum_logprob is not None and one.n_tokens is not None for one in written]
    completions = Completions(
        rollouts=rollouts,
        scores=scores,
        answers=distinct_answers([score.answer for score in scores]),
    )
    asked = ("confidence",) if all(known) else ()
    measures = taken(RolloutMeasure, asked)
    found = take((measure, partial(measure.take, completions)) for measure in measures)
    values = dict(found.values)
    if any(one.n_tokens is None for one in written):
        values["mean_tokens"] = None
    if any(one.finish_reason is None for one in written):
        values["truncated"] = None
    some = "no confidence per token: not logged of all completions"
    lacking = some if any(known) and not all(known) else None
    return Taken(values, "; ".join(filter(None, (found.error, lacking))) or None)


def _rollout(written: Written) -> Rollout:
    """A completion as the measures take it; what it lacks is taken out of the row again."""
    reasons: dict[str | None, Any] = {"length": "length", "error": "error"}
    return Rollout(
        completion=written.completion,
        n_tokens=written.n_tokens or 0,
        sum_logprob=written.sum_logprob or 0.0,
        finish_reason=reasons.get(written.finish_reason, "stop"),
    )


def _attempts(sample: Sample, seen: Look, written: Sequence[Written], opened: bool) -> Attempts:
    reasons = [one.finish_reason for one in written]
    return Attempts(
        completions=[one.completion for one in written],
        n_tokens=[one.n_tokens or 0 for one in written],
        finish_reasons=[reason or "stop" for reason in reasons] if all(reasons) else (),
        answer=sample.answer,
        question=sample.problem,
        options=sample.options,
        columns=sample.cells,
        image_sizes=[(image.width, image.height) for image in seen.decoded],
        opened=opened,
    )


def _own_scores(written: Sequence[Written]) -> list[Score]:
    """The rewards that were logged, right by the log's own verdict."""
    scores = []
    for one in written:
        if one.reward is None or one.right is None:
            raise ValueError("a completion is logged without a reward")
        answer = extract_answer(one.completion)
        scores.append(Score(reward=one.reward, correct=one.right, formatted=None, answer=answer))
    return scores
