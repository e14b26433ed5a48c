"""The promises of an engine, whichever program runs the policy."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from durian.samples import Failed, Prompt, Rollout

if TYPE_CHECKING:
    import torch
    from PIL import Image

PIXELS = 256 * 1024**2  # of the images of all requests in hand: 6 GiB once a processor has them


Key = tuple[int, str]  # a sample's place in the stream, and the way in which it is drawn


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to complete: so many times as the config says, or once at temperature 0."""

    key: Key  # the caller's own, by which it knows the answer
    prompt: Prompt | Failed  # a sample without a prompt is answered at once, by its reason
    seed: int  # of its first rollout, 31 bits; the seeds of the others count on from it
    greedy: bool = False
    rollouts: int | None = None  # where they are not as many as the config says
    blind: bool = False  # asked without its own images, which a script cannot see for itself

    def completions(self, configured: int) -> int:
        """How many completions are asked for, where the config says `configured`."""
        return 1 if self.greedy else self.rollouts or configured


Answer = tuple[Key, list[Rollout] | Failed]  # the request's key, its rollouts in order


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

    told: str  # how much it does at a time, for the log; "" where a setting says it

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """Pull requests while there is room; give each one's rollouts as it finishes, in any order.

        The next request is pulled while others are being drawn, so that the engine never runs
        empty between the first and the last. A prompt that cannot be used comes back as
        `Failed(error)`; the stream goes on. Closed early, nothing stays in hand.

        With `repeatable` a rollout depends on its prompt and seed alone, as far as the engine's
        program allows: not on what else is in hand, nor on what was drawn before.

        Raises:
            RunError: the program behind the engine failed.
        """

    def close(self) -> None:
        """Give back the memory of the policy."""


class Room:
    """Room for the images of the requests that an engine has in hand, in pixels."""

    def __init__(self, pixels: int = PIXELS) -> None:
        """Make room for so many."""
        self._pixels = pixels
        self._taken: dict[Key, int] = {}

    @property
    def free(self) -> bool:
        """Whether one more request fits; where none is in hand one does, however large."""
        return not self._taken or sum(self._taken.values()) < self._pixels

    def take(self, request: Request) -> None:
        """Count a request as in hand."""
        prompt = request.prompt
        images = () if isinstance(prompt, Failed) else prompt.images
        self._taken[request.key] = sum(image.width * image.height for image in images)

    def give(self, key: Key) -> None:
        """Count a request as done."""
        del self._taken[key]


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


def seed_of(seed: int, name: str) -> int:
    """A seed of 31 bits for what has this name, unlike those of others."""
    digest = blake2b(f"{seed}:{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
