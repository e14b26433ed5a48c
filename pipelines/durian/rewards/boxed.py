r"""The paper's reward: 0.1 format + 0.9 accuracy (eq. 22-24), for answers in `\boxed{}`.

Departures from EasyR1's `examples/reward_function/math.py`, which the paper builds on:
- White space may stand before the first `<think>`; a tag that the chat template wrote counts.
- The box that counts is the last one after the last `</think>` (`extract.py`).
- Spaces are forgiven inside the think tags ("< think >"), not taken out of the whole text.
- Answers are compared by the reference's kind (`grade.py`) rather than by mathruler.
- An answer of several values may stand in as many boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

from durian.rewards.extract import extract_answer, extract_boxes, is_formatted
from durian.rewards.grade import Reference, answer_kind, answers_equal
from durian.samples import Score

FORMAT_WEIGHT = 0.1
ACCURACY_WEIGHT = 0.9


def boxed_reward(
    completions: Sequence[str], n_tokens: Sequence[int], reference: str | Reference
) -> list[Score]:
    """Score one sample's completions: reward is 0, 0.1, 0.9 or 1 (eq. 22-24).

    A reference that is itself a solution with a box stands for what is in the box.

    Raises:
        RunError: math-verify, which compares mathematics, cannot be started.
    """
    given = Reference.of(reference)
    wanted = Reference(tuple(extract_answer(t) or t for t in given.accepted), given.options)
    return [_score(completion, wanted) for completion in completions]


def _score(completion: str, reference: Reference) -> Score:
    answer = extract_answer(completion)
    correct = answer is not None and answers_equal(answer, reference)
    if answer is not None and not correct and answer_kind(reference) in ("list", "choice"):
        boxes = extract_boxes(completion)
        joined = ", ".join(boxes)
        if len(boxes) > 1 and answers_equal(joined, reference):
            answer, correct = joined, True
    formatted = is_formatted(completion)
    reward = FORMAT_WEIGHT * formatted + ACCURACY_WEIGHT * correct
    return Score(reward=reward, correct=correct, formatted=formatted, answer=answer)
