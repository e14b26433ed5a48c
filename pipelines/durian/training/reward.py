"""A Durian reward as TRL calls it: one number a completion, the parts beside it in the log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from durian.rewards import Reward


class TrainingReward:
    """Scores what TRL has drawn, a sample's completions at a time."""

    __name__ = "reward"  # TRL's name for it in its log

    def __init__(self, reward: Reward) -> None:
        """Wrap a Durian reward."""
        self._reward = reward
        self.correct: list[bool] = []  # of the latest call's completions, in order

    def __call__(
        self,
        *,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        sample_id: Sequence[str],
        answer: Sequence[str],
        log_extra: Any,
        log_metric: Any,
        **_: Any,
    ) -> list[float | None]:
        """One reward a completion; None where the reward failed, which TRL leaves out."""
        texts = [completion_text(completion) for completion in completions]
        rewards: list[float | None] = []
        formatted: list[bool] = []
        failed = 0
        self.correct = []
        for _id, places in groupby(range(len(texts)), key=lambda place: sample_id[place]):
            own = list(places)
            try:
                scores = self._reward(
                    [texts[i] for i in own], [len(completion_ids[i]) for i in own], answer[own[0]]
                )
            except ValueError:
                failed += len(own)
                rewards += [None] * len(own)
                self.correct += [False] * len(own)
                continue
            rewards += [score.reward for score in scores]
            self.correct += [score.correct for score in scores]
            formatted += [score.formatted for score in scores if score.formatted is not None]
        if scored := len(texts) - failed:
            log_metric("rewards/accuracy", sum(self.correct) / scored)
        if formatted:
            log_metric("rewards/format", sum(formatted) / len(formatted))
        log_metric("rewards/failed", failed / len(texts))
        log_extra("sample_id", list(sample_id))
        return rewards


def completion_text(completion: Any) -> str:
    """The text of one completion: TRL gives messages for a conversation, plain text otherwise."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
