"""A Durian reward as TRL calls it: one number a completion, the parts beside it in the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from durian.engines.resizing import Resizing
from durian.rewards import Attempts, Reward
from durian.rewards.for_trainers import completion_text
from durian.samples import Score


@dataclass(frozen=True, kw_only=True)
class Overlong:
    """What a completion loses that comes near the longest one: DAPO's soft punishment (eq. 13).

    Source: Yu et al., 2025 (arXiv 2503.14476).
    """

    longest: int  # tokens
    buffer: int  # tokens before it within which the loss grows, from 0
    penalty: float  # at the longest

    def of(self, n_tokens: int) -> float:
        """The loss of a completion, 0 or less."""
        into = n_tokens - (self.longest - self.buffer)
        return -self.penalty * min(max(into, 0) / self.buffer, 1.0)


class TrainingReward:
    """Scores what TRL has drawn, a sample's completions at a time."""

    __name__ = "reward"  # TRL's name for it in its log

    def __init__(
        self,
        reward: Reward,
        *,
        opened: bool = False,
        resizing: Resizing | None = None,
        overlong: Overlong | None = None,
    ) -> None:
        """Wrap a Durian reward.

        Args:
            opened: the policy's prompts end with the opening think tag.
            resizing: of the policy's processor, where it is known.
            overlong: what long completions lose; whether they are right stays as it is.
        """
        self._reward = reward
        self._opened = opened
        self._resizing = resizing
        self._overlong = overlong
        self.correct: list[bool] = []  # of the latest call's completions, in order
        self.scores: list[Score | None] = []  # likewise
        self.known: list[Score | None] | None = None  # of the next call's, if they are judged

    def close(self) -> None:
        """End what the reward has started."""
        self._reward.close()

    def __call__(
        self,
        *,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        sample_id: Sequence[str],
        answer: Sequence[str],
        image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None,
        sample: Sequence[str] | None = None,
        log_extra: Any,
        log_metric: Any,
        **_: Any,
    ) -> list[float | None]:
        """One reward a completion; None where the reward failed, which TRL leaves out."""
        scores, self.known = self.known, None
        if scores is None:
            scores = self.judge(
                [completion_text(completion) for completion in completions],
                n_tokens=[len(ids) for ids in completion_ids],
                sample_id=sample_id,
                answer=answer,
                image_sizes=image_sizes,
                sample=sample,
            )
        rewards = [None if score is None else score.reward for score in scores]
        self.scores = scores
        self.correct = [score is not None and score.correct for score in scores]
        known = [score for score in scores if score is not None]
        formatted = [score.formatted for score in known if score.formatted is not None]
        if known:
            log_metric("rewards/accuracy", sum(self.correct) / len(known))
        if formatted:
            log_metric("rewards/format", sum(formatted) / len(formatted))
        if self._overlong is not None:
            losses = [self._overlong.of(len(ids)) for ids in completion_ids]
            rewards = [
                None if reward is None else reward + loss
                for reward, loss in zip(rewards, losses, strict=True)
            ]
            log_metric("rewards/overlong", sum(losses) / len(losses))
        log_metric("rewards/failed", (len(scores) - len(known)) / len(scores))
        log_extra("sample_id", list(sample_id))
        return rewards

    def judge(
        self,
        completions: Sequence[str],
        *,
        n_tokens: Sequence[int],
        sample_id: Sequence[str],
        answer: Sequence[str],
        image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None,
        sample: Sequence[str] | None = None,
    ) -> list[Score | None]:
        """One score a completion, as the reward gives it; None where it failed.

        All that is given has one entry a completion; those of a sample stand in a row.
        """
        begun = []
        # TRL repeats each sample in a row, G times, so neighbours of one id are one sample's
        # completions: the reward reads its reference once, and may compare them with each other.
        for _id, places in groupby(range(len(completions)), key=lambda place: sample_id[place]):
            own = list(places)
            sizes = list(image_sizes[own[0]]) if image_sizes else []
            row = json.loads(sample[own[0]]) if sample else {}
            row["options"] = tuple(row.get("options", ()))
            attempts = Attempts(
                completions=[completions[i] for i in own],
                n_tokens=[n_tokens[i] for i in own],
                answer=answer[own[0]],
                image_sizes=sizes,
                seen_sizes=[self._resizing.of(s) or s for s in sizes] if self._resizing else [],
                opened=self._opened,
                **row,
            )
            begun.append((own, self._reward.start(attempts)))
        scores: list[Score | None] = []
        # All of them are judged at once, on all cores, before the first is waited for.
        for own, pending in begun:
            try:
                scores += pending()
            except ValueError:
                scores += [None] * len(own)
        return scores
