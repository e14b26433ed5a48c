"""Consensus: the answer that most completions give, and whether it speaks against the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from durian.measures.base import Column, Completions, RolloutMeasure, Values


def label_doubt(answers: Sequence[Hashable | None], correct: Sequence[bool]) -> float:
    """How much the completions speak for another answer than the reference.

    D = max(0, (max_a c_a - r) / G), where r of the G completions are right and c_a of those that
    are not give answer a. 0: the reference is as common as any other answer; 1: all completions
    agree on another one. A policy that is steadily wrong has it, too: it is a reason to look, no
    verdict.

    Args:
        answers: G final answers, equal where they mean the same; None where there is none.
        correct: as many; whether each completion is right.
    Returns:
        A share, 0 to 1.
    Raises:
        ValueError: no answers, or not as many as verdicts.
    Source: the margin of confident learning (Northcutt et al., 2021), with completions as draws.
    """
    if not answers or len(answers) != len(correct):
        raise ValueError(f"{len(answers)} answers and {len(correct)} verdicts; 1 or more of each")
    wrong = Counter(
        answer
        for answer, right in zip(answers, correct, strict=True)
        if answer is not None and not right
    )
    return max(0.0, (max(wrong.values(), default=0) - sum(correct)) / len(answers))


def _of_sample(written: Completions) -> Values:
    counts = Counter(answer for answer in written.answers if answer is not None)
    if not counts:  # none at all: there is nothing that they could agree on
        return {}
    ((common, number),) = counts.most_common(1)
    spelled = Counter(
        score.answer
        for score, answer in zip(written.scores, written.answers, strict=True)
        if answer == common
    )
    return {
        "consensus": number / len(written.answers),
        "consensus_answer": spelled.most_common(1)[0][0],
        "label_doubt": label_doubt(written.answers, [score.correct for score in written.scores]),
    }


CONSENSUS = RolloutMeasure(
    name="consensus",
    help="the most common answer, and how far it speaks against the reference",
    take=_of_sample,
    columns=(
        Column(
            name="consensus",
            unit="share",
            meaning="completions with the most common answer",
            harder="lower",
            since=2,
        ),
        Column(name="consensus_answer", type="string", meaning="the most common answer", since=2),
        Column(
            name="label_doubt",
            unit="share",
            meaning="how much the completions speak for another answer than the reference, 0 to 1",
            harder="higher",
            since=2,
        ),
    ),
)
