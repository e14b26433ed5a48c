"""A sample and what was logged of it -> the measured sample, as a profile has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from durian.logs.kept import Written
from durian.measures import BlindMeasure, ImageMeasure, RolloutMeasure, taken
from durian.measuring.look import Look
from durian.measuring.measuring import Measured, Pictured, of_images, of_rollouts, pictured
from durian.measuring.rows import rollout_rows
from durian.measuring.sampling import Drawn, attempts
from durian.measuring.taking import Taken
from durian.rewards import Attempts, Reward, extract_answer
from durian.rewards.score import Pending
from durian.samples import NOT_LOGGED, Rollout, Sample, Score


def measure_logged(
    reward: Reward | None,
    sample: Sample,
    seen: Look,
    copies: int,
    written: Sequence[Written],
    *,
    opened: bool,
) -> Callable[[], Measured]:
    """Measure a sample by its images and by the completions that were logged.

    It is being scored when this returns: begin others, then ask the function that it gives for what
    was measured. It holds no image.

    Args:
        reward: grades the completions anew; None: the log's own rewards stand.
        copies: how many rows of the dataset the sample stands for.
        opened: the prompts end with the opening think tag.
    """
    written = sorted(written, key=lambda one: one.blind)  # those with the image first
    images = of_images(seen, taken(ImageMeasure, ("pixel",)))
    pending = (
        partial(_own_scores, written)
        if reward is None
        else reward.start(_attempts(sample, seen, written, opened))
    )
    known = pictured(sample, seen, copies, images, asked=True, needs_images=True)
    return partial(_measured, known, written, pending)


def _measured(of: Pictured, written: Sequence[Written], pending: Pending) -> Measured:
    scores: Sequence[Score] = ()
    first = sum(not one.blind for one in written)
    unscored = None if first else NOT_LOGGED
    if written and of.sample.question_error is None:
        try:
            scores = pending()
        except ValueError as error:
            unscored = str(error)
    rollouts = [_rollout(one) for one in written]
    outcome = _outcome(of.sample, written[:first], rollouts[:first], scores[:first])
    unseen = Drawn(rollouts=rollouts[first:], scores=scores[first:])
    without = of_rollouts(of.sample, unseen, taken(BlindMeasure, ("blind",)))
    rows = [
        of_rollout
        | {
            "n_tokens": one.n_tokens,
            "sum_logprob": one.sum_logprob,
            "finish_reason": one.finish_reason,
            "step": one.step,
            "blind": one.blind,
        }
        for of_rollout, one in zip(rollout_rows(of.sample, rollouts, scores), written, strict=True)
    ]
    return Measured(
        difficulty=[of.row({**outcome.values, **without.values}, unscored, outcome.error)],
        completions=rows,
        further=[of.further],
    )


def _outcome(
    sample: Sample, written: Sequence[Written], rollouts: Sequence[Rollout], scores: Sequence[Score]
) -> Taken:
    """All that is measured of completions, as far as the log tells what it is taken from."""
    if not written:
        return Taken()
    known = [one.sum_logprob is not None and one.n_tokens is not None for one in written]
    asked = ("confidence", "consensus") if all(known) else ("consensus",)
    drawn = Drawn(rollouts=rollouts, scores=scores)
    found = of_rollouts(sample, drawn, taken(RolloutMeasure, asked))
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
    sizes = [(image.width, image.height) for image in seen.decoded]
    drawn = attempts(sample, sizes, [_rollout(one) for one in written], None)
    told = [reason or "stop" for reason in reasons] if all(reasons) else ()
    return replace(drawn, finish_reasons=told, opened=opened)


def _own_scores(written: Sequence[Written]) -> list[Score]:
    """The rewards that were logged, right by the log's own verdict."""
    scores = []
    for one in written:
        if one.reward is None or one.right is None:
            raise ValueError("a completion is logged without a reward")
        answer = extract_answer(one.completion)
        scores.append(Score(reward=one.reward, correct=one.right, formatted=None, answer=answer))
    return scores
