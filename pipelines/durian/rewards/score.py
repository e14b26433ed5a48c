"""The promise of a reward: it takes the attempts at one sample, and scores each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from durian.rewards.grade import Reference
from durian.samples import Score

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """One sample's G completions, and all that a reward may want to know of the sample.

    What is not known is empty. The row's columns are those that hold no image, as they stand in
    the dataset.
    """

    completions: Sequence[str]  # G texts
    n_tokens: Sequence[int]  # their lengths in tokens
    answer: str  # the reference, as the table has it
    options: tuple[str, ...] = ()  # of a choice, in the order of their letters
    question: str = ""
    finish_reasons: Sequence[str] = ()  # stop, length, repetition or error
    columns: Mapping[str, Any] = field(default_factory=dict)
    image_sizes: Sequence[Size] = ()  # in the file
    seen_sizes: Sequence[Size] = ()  # as the policy sees them
    opened: bool = False  # the prompt ends with the opening think tag

    @property
    def reference(self) -> Reference:
        """The reference that the completions' answers are compared to."""
        return Reference.of(self.answer, self.options)


Pending = Callable[[], list[Score]]


class Reward(Protocol):
    """Judges the completions of one sample after another."""

    reads_images: ClassVar[bool]  # whether it may read the sizes of the images that the policy sees

    def start(self, attempts: Attempts) -> Pending:
        """Begin to score a sample's attempts; do not wait for it.

        Returns:
            A function that waits and gives one score a completion, in order. It raises
            ValueError where the reward failed on this sample (its text is a short phrase) and
            RunError where nothing can be scored any more.
        """

    def close(self) -> None:
        """End what the reward has started."""


def scored_now(score: Callable[[], list[Score]]) -> Pending:
    """Score in the caller's thread, and keep a failure for whoever asks for the scores."""
    try:
        scores = score()
    except ValueError as error:
        failed = error

        def fail() -> list[Score]:
            raise failed

        return fail
    return lambda: scores
