r"""Does an answer equal the reference?

1. As plain text (plain.py): letter case, white space, `$`, `\text{}`, choices, numbers, units.
2. Where that finds no equality and both look like mathematics, by math-verify in a process of
   its own (math_judge.py). A dataset of words or of numbers never pays for it.
"""

from __future__ import annotations

from functools import lru_cache

from durian.rewards.math_judge import judge
from durian.rewards.plain import compare_plain, mathematics
from durian.rewards.tidy import tidy

MAX_LENGTH = 2_000  # characters; no longer text is read as a number, a choice or mathematics


def answers_equal(answer: str, reference: str) -> bool:
    """Whether an answer means the same as the reference.

    Safe for hostile text: an answer above `MAX_LENGTH` characters equals only the same text, and
    a comparison that takes too long counts as not equal. May be called from any thread.

    Raises:
        RunError: math-verify is needed and cannot be started.
    """
    answer, reference = answer.strip(), reference.strip()
    if not answer or not reference:
        return False
    if max(len(answer), len(reference)) > MAX_LENGTH:
        return answer == reference
    return _equal(answer, reference)


@lru_cache(maxsize=16_384)
def _equal(answer: str, reference: str) -> bool:
    left, right = tidy(answer), tidy(reference)
    verdict = compare_plain(left, right)
    if verdict is not None:
        return verdict
    pair = mathematics(left, right)
    if pair is None or max(map(len, pair)) > MAX_LENGTH:  # one character can become eighteen
        return False
    return judge().equal(*pair)
