r"""The paper's reward: 0.1 format + 0.9 accuracy (eq. 22-24), for answers in `\boxed{}`.

Departures from EasyR1's `examples/reward_function/math.py`, which the paper builds on:
- White space may stand before the first `<think>`.
- The box that counts is the last one after the last `</think>`, braces balanced and not empty:
  a box in the reasoning is no final answer, an empty or cut-off one is none either. Where no
  `</think>` was written, the whole completion is searched (models that do not think), which can
  earn the accuracy part only.
- Spaces are forgiven inside the think tags ("< think >"), not taken out of the whole text.
- Answers are compared by `answers_equal` rather than by mathruler.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from durian.rewards.equality import answers_equal
from durian.samples import Score

FORMAT_WEIGHT = 0.1
ACCURACY_WEIGHT = 0.9

# White space is bounded: a megabyte of blanks after a "<" must not be scanned again and again.
_OPEN = re.compile(r"\s*+<\s{0,8}think\s{0,8}>")
_CLOSE = re.compile(r"<\s{0,8}/\s{0,8}think\s{0,8}>")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*+\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is text, and so is "\\"


def extract_answer(completion: str) -> str | None:
    r"""The final answer of a completion: what its last `\boxed{...}` holds, stripped.

    Looks after the last `</think>` where there is one, else at the whole text. Of nested boxes,
    the last that was opened counts. `\fbox{...}` and white space before the brace are accepted,
    `\{` and `\}` do not count as braces. Linear in the length of the text.

    Returns:
        None if there is no box, or the last one is empty or never closed.
    """
    start = 0
    for tag in _CLOSE.finditer(completion):
        start = tag.end()
    opened = None
    for box in _BOX.finditer(completion, start):
        opened = box.end()
    if opened is None:
        return None
    depth = 1
    for mark in _BRACE.finditer(completion, opened):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return completion[opened : mark.start()].strip() or None
    return None


def is_formatted(completion: str) -> bool:
    r"""Whether the whole completion is `<think>...</think> ... \boxed{...} ...` (eq. 22)."""
    opened = _OPEN.match(completion)
    if opened is None or _CLOSE.search(completion, opened.end()) is None:
        return False
    return extract_answer(completion) is not None


def boxed_reward(
    completions: Sequence[str], n_tokens: Sequence[int], reference: str
) -> list[Score]:
    """Score one sample's completions: reward is 0, 0.1, 0.9 or 1 (eq. 22-24).

    A reference that is itself a solution with a box stands for what is in the box.

    Raises:
        RunError: math-verify, which compares mathematics, cannot be started.
    """
    wanted = extract_answer(reference) or reference
    return [_score(completion, wanted) for completion in completions]


def _score(completion: str, reference: str) -> Score:
    answer = extract_answer(completion)
    correct = answer is not None and answers_equal(answer, reference)
    formatted = is_formatted(completion)
    reward = FORMAT_WEIGHT * formatted + ACCURACY_WEIGHT * correct
    return Score(reward=reward, correct=correct, formatted=formatted, answer=answer)
