"""Answer entropy: how many different final answers the policy gives to one question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from durian.measures.base import Column, RolloutMeasure


def answer_entropy(answers: Sequence[Hashable | None]) -> float:
    """Entropy of the distribution of distinct final answers over a sample's completions.

    H = ln G - (1/G) sum_a c_a ln c_a, where c_a of the G completions give answer a.

    Args:
        answers: G final answers, equal where they mean the same (`rewards.distinct_answers`); None
            where a completion gives none. All the Nones count as one answer of their own, told
            apart from every other: a policy that half the time fails to answer is not sure, and
            one that never answers does always the same.
    Returns:
        Nats, from 0 (exactly, when all answers are one) to ln G.
    Raises:
        ValueError: no answers.
    Source: semantic entropy over exact classes of meaning (Kuhn et al., 2023); not in the paper.
    """
    if not answers:
        raise ValueError("answers is empty; a sample has at least 1 completion")
    counts = Counter(answers)
    if len(counts) == 1:
        return 0.0  # exactly: the formula below could leave round-off
    total = len(answers)
    return math.log(total) - math.fsum(c * math.log(c) for c in counts.values()) / total


ANSWER_ENTROPY = RolloutMeasure(
    name="answer_entropy",
    take=lambda written: (
        {"answer_entropy": answer_entropy(written.answers)} if written.answers else {}
    ),
    columns=(
        Column(
            name="answer_entropy",
            unit="nats",
            meaning="entropy of the distinct final answers",
            harder="higher",
            words="scatter of the answers",
            card="scatter",
        ),
    ),
)
