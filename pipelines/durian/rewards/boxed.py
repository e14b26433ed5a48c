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
from concurrent.futures import Future
from dataclasses import dataclass
from typing import ClassVar

from durian.rewards.extract import extract_answer, extract_boxes, is_formatted
from durian.rewards.formula import TOLERANCE
from durian.rewards.grade import Reference, answer_kind
from durian.rewards.graders import Pair, graders, judged
from durian.rewards.score import Attempts, Pending
from durian.samples import Score

FORMAT_WEIGHT = 0.1
ACCURACY_WEIGHT = 0.9


@dataclass(frozen=True, kw_only=True)
class BoxedReward:
    """Rewards of 0, 0.1, 0.9 or 1."""

    tolerance: float = TOLERANCE  # relative error at which numbers are equal
    reads_images: ClassVar[bool] = False
    apart: bool = True  # judge in the grader processes; else here and at once

    def start(self, attempts: Attempts) -> Pending:
        """See `Reward.start`."""
        reference = within_boxes(attempts.reference)
        begun = [
            self._begin(completion, reference, attempts) for completion in attempts.completions
        ]
        return lambda: [one.score() for one in begun]

    def close(self) -> None:
        """End the grader processes."""
        graders().close()

    def _begin(self, completion: str, reference: Reference, attempts: Attempts) -> _Begun:
        answer = extract_answer(completion)
        written = [] if answer is None else [answer]
        if written and answer_kind(reference) in ("list", "choice"):
            # "x = \boxed{1} or x = \boxed{-4}" is one answer in two boxes: where the reference has
            # several parts, all boxes together are tried beside the last one alone. Together all
            # must be right, so nothing is won by boxing guesses.
            boxes = extract_boxes(completion)
            if len(boxes) > 1:
                written.append(", ".join(boxes))
        pairs = [Pair(text, reference, attempts.question, self.tolerance) for text in written]
        return _Begun(
            written=written,
            verdicts=graders().submit(pairs) if self.apart else [judged(pair) for pair in pairs],
            formatted=is_formatted(completion, opened=attempts.opened),
            kind=answer_kind(reference),
        )


@dataclass(frozen=True, kw_only=True)
class _Begun:
    written: list[str]  # what may be the answer; the first that is right is
    verdicts: list[Future[bool]]
    formatted: bool
    kind: str

    def score(self) -> Score:
        for answer, verdict in zip(self.written, self.verdicts, strict=True):
            if verdict.result():
                return scored(answer, correct=True, formatted=self.formatted, kind=self.kind)
        answer_or_none = self.written[0] if self.written else None
        return scored(answer_or_none, correct=False, formatted=self.formatted, kind=self.kind)


def boxed_reward(
    completions: Sequence[str], n_tokens: Sequence[int], reference: str
) -> list[Score]:
    """Score one sample's completions here and now: reward is 0, 0.1, 0.9 or 1 (eq. 22-24).

    A reference that is itself a solution with a box stands for what is in the box.

    Raises:
        RunError: math-verify, which compares mathematics, cannot be started.
    """
    attempts = Attempts(completions=completions, n_tokens=n_tokens, answer=reference)
    return BoxedReward(apart=False).start(attempts)()


def scored(answer: str | None, *, correct: bool, formatted: bool, kind: str) -> Score:
    """The score of an answer that was judged."""
    reward = FORMAT_WEIGHT * formatted + ACCURACY_WEIGHT * correct
    return Score(reward=reward, correct=correct, formatted=formatted, answer=answer, kind=kind)


def within_boxes(reference: Reference) -> Reference:
    """The reference, each accepted answer out of its box where it is in one."""
    accepted = tuple(extract_answer(text) or text for text in reference.accepted)
    return Reference(accepted, reference.options)
