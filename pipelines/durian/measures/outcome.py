"""Outcome: how often the policy is right on a sample, and how long it writes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from durian.measures.base import Column, RolloutMeasure, Values
from durian.samples import Rollout, Score

NOT_DRAWN = 0  # rollouts of a sample that none were asked for; null where none could be had


def outcome(
    rollouts: Sequence[Rollout], scores: Sequence[Score], unboxed: Sequence[bool | None] = ()
) -> Values:
    """Shares, means and the spread of one sample's completions.

    Args:
        rollouts: one or more.
        scores: one a rollout, or none where the reward failed: what needs them is left out.
        unboxed: one a score; of a wrong completion, whether the reference stands outside a box.
    Returns:
        By column. `format_rate` is over the completions whose format was judged; `reward_std` has
        n - 1, and is None of a single completion.
    """
    of_rollouts: Values = {
        "rollouts": len(rollouts),
        "mean_tokens": fmean(r.n_tokens for r in rollouts),
        "truncated": fmean(r.finish_reason == "length" for r in rollouts),
    }
    if not scores:
        return of_rollouts
    rewards = [s.reward for s in scores]
    formatted = [s.formatted for s in scores if s.formatted is not None]
    outside = [found for found in unboxed if found is not None]
    return {
        **of_rollouts,
        "answer_kind": scores[0].kind,
        "right_unboxed": fmean(outside) if outside else None,
        "pass_rate": fmean(s.correct for s in scores),
        "format_rate": fmean(formatted) if formatted else None,
        "reward_mean": fmean(rewards),
        "reward_std": stdev(rewards) if len(rewards) > 1 else None,
    }


OUTCOME = RolloutMeasure(
    name="outcome",
    take=lambda written: outcome(written.rollouts, written.scores, written.unboxed),
    columns=(
        Column(
            name="rollouts", type="int32", unit="completions", meaning="completions written (G)"
        ),
        Column(
            name="pass_rate", unit="share", meaning="completions that are right", harder="lower"
        ),
        Column(
            name="format_rate",
            unit="share",
            meaning="completions in the asked format",
            harder="lower",
        ),
        Column(
            name="reward_mean",
            unit="reward",
            meaning="mean over the completions, 0 to 1",
            harder="lower",
        ),
        Column(
            name="reward_std",
            unit="reward",
            meaning="standard deviation over the completions, n - 1",
        ),
        Column(
            name="mean_tokens",
            unit="tokens",
            meaning="mean completion length",
            harder="higher",
            words="length alone (baseline)",
            card="length",
        ),
        Column(
            name="truncated", unit="share", meaning="completions cut by max-tokens", harder="higher"
        ),
        Column(
            name="right_unboxed",
            unit="share",
            meaning="wrong completions with the reference outside a box",
            since=2,
        ),
        Column(
            name="answer_kind",
            type="string",
            meaning="kind of the reference: by which rule answers are compared to it",
            since=2,
        ),
    ),
)
