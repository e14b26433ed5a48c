"""The promise that an engine reads the very tokens that the policy's processor makes, tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from durian.errors import RunError
from durian.samples import Failed, Prompt

if TYPE_CHECKING:
    from durian.engines.chat import Chat

FIRST = 2  # prompts that are compared: of those without an image, with one, with several


class Agreement:
    """Holds the first prompts that an engine has read against the policy's own `Chat`.

    A difference is silent otherwise: a text that begins twice, or an image of other tokens, gives
    completions that look well, and log-probabilities of another prompt than the trainer's.
    """

    def __init__(self, chat: Chat, reader: str, way_out: str) -> None:
        """Name who reads, as the message begins, and what a user can do about a difference."""
        self._chat = chat
        self._reader = reader
        self._way_out = way_out
        self._compared = Counter[int]()

    def check(self, prompt: Prompt, read: Sequence[int]) -> None:
        """Compare a prompt's tokens, unless enough of its kind have been.

        Raises:
            RunError: they differ; the message names both numbers of tokens.
        """
        ids = self._own(prompt)
        if ids is None or list(read) == ids:
            return
        self._compare_numbers(len(read), len(ids))
        place = next(i for i in range(len(ids)) if read[i] != ids[i])
        raise self._differ(
            f"token {place + 1} of a prompt's {len(ids)} as {read[place]} where the policy's "
            f"processor makes {ids[place]}"
        )

    def check_number(self, prompt: Prompt, read: int) -> None:
        """Compare how many tokens a prompt has, of a reader that tells no more; else as `check`."""
        ids = self._own(prompt)
        if ids is not None:
            self._compare_numbers(read, len(ids))

    def _own(self, prompt: Prompt) -> list[int] | None:
        kind = min(len(prompt.images), 2)
        if self._compared[kind] == FIRST:
            return None
        self._compared[kind] += 1
        text = self._chat.render(prompt)
        return None if isinstance(text, Failed) else self._chat.token_ids(text, prompt.images)

    def _compare_numbers(self, read: int, own: int) -> None:
        if read != own:
            raise self._differ(
                f"a prompt of {read} tokens where the policy's processor makes {own}"
            )

    def _differ(self, said: str) -> RunError:
        return RunError(f"{self._reader} has read {said}; {self._way_out}")
