"""What a reward is to the stages: a call on one sample's completions, and a score for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durian.samples import Score


class Reward(Protocol):
    """Judges the completions of one sample."""

    def __call__(
        self, completions: Sequence[str], n_tokens: Sequence[int], reference: str
    ) -> list[Score]:
        """One score a completion, in order.

        Args:
            completions: what the policy wrote, G texts.
            n_tokens: length of each in tokens.
            reference: the sample's answer.
        Raises:
            ValueError: the reward failed on this sample; its text is a short phrase.
        """
