"""The promises of an engine, whichever program runs the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from durian.samples import Failed, Prompt, Rollout

if TYPE_CHECKING:
    import torch
    from PIL import Image

Finished = Callable[[int], None]  # told how many more prompts are done


@dataclass(frozen=True)
class RefusedPrompt(Failed):
    """The policy's chat template, its server or its engine does not take a prompt of this shape."""

    way_out: str | None = None  # what a user can do, where that is known


class Renderer(Protocol):
    """Tells whether the policy's chat template takes a prompt."""

    def render(self, prompt: Prompt) -> str | Failed:
        """The text that the policy reads, where it is at hand; `RefusedPrompt` where there is none.

        Another `Failed` is the matter of this problem alone.
        """

    def notes(self, system_prompt: str | None) -> list[str]:
        """What becomes of the system prompt that the user has not asked for, a line each."""


class RolloutEngine(Protocol):
    """Draws completions from a policy; each engine fills these two methods."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int,
        finished: Finished,
        greedy: bool = False,
    ) -> list[list[Rollout] | Failed]:
        """Draw the config's `rollouts` completions a prompt, or the greedy one; in order.

        The same prompts and seed give the same completions, whatever was drawn before, as
        far as the engine's program is repeatable. A prompt that cannot be used comes back as
        `Failed(error)`; the batch goes on.

        Args:
            greedy: give one completion a prompt, at temperature 0, whatever the config's
                sampling.
        Raises:
            RunError: the program behind the engine failed.
        """

    def close(self) -> None:
        """Give back the memory of the policy."""


class PatchEncoder(Protocol):
    """Gives the patch features of images, as the policy's own vision encoder sees them."""

    def encode(self, images: Sequence[Image.Image]) -> Iterator[torch.Tensor | Failed]:
        """Features of each image, in order: shape (P, d), at least float32, on any device.

        P is the number of patches that show the image, d their width. What shares a batch with
        an image changes its features by round-off alone. An image that cannot be encoded comes
        back as `Failed(error)`; the others go on.

        Raises:
            RunError: the program behind the encoder failed.
        """

    def close(self) -> None:
        """Give back the memory of the encoder."""


def nth_seed(seed: int, place: int) -> int:
    """A seed of 31 bits for what stands at `place`, unlike those of its neighbours."""
    digest = blake2b(f"{seed}:{place}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
