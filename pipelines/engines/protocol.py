"""What an engine promises, whichever program runs the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from pipelines.config import SamplingConfig
from pipelines.errors import ConfigError
from pipelines.samples import Failed, Prompt, Rollout

if TYPE_CHECKING:
    import torch
    from PIL import Image

Finished = Callable[[int], None]  # told how many more prompts are done


class RolloutEngine(Protocol):
    """Draws completions from a policy. vLLM, transformers and the script fill these methods."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int,
        finished: Finished,
        greedy: bool = False,
        numbers: range | None = None,
    ) -> list[list[Rollout] | Failed]:
        """Draw `rollouts` completions a prompt, or the greedy one; in the order of `prompts`.

        The same prompts, seed and numbers give the same completions, whatever was drawn before, as
        far as the engine's program is repeatable. A prompt that cannot be used comes back as
        `Failed(error)`; the batch goes on.

        Args:
            greedy: give one completion a prompt, at temperature 0, whatever the config's
                sampling.
            numbers: draw only the completions of these consecutive numbers, say the third and
                fourth: range(2, 4). They are other draws than those of numbers before. None: all
                of the config's, from 0.
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


def open_engine(config: SamplingConfig) -> RolloutEngine:
    """Load the policy of `config` into its engine; each is imported only when chosen.

    Raises:
        ConfigError: its package is not installed, or the model cannot be loaded.
    """
    if config.data_parallel > 1:
        from pipelines.engines.parallel import ParallelEngine

        return ParallelEngine(config)
    match config.engine:
        case "vllm":
            from pipelines.engines.vllm import VLLMEngine

            return VLLMEngine(config)
        case "transformers":
            from pipelines.engines.transformers import TransformersEngine

            return TransformersEngine(config)
        case "openai":
            from pipelines.engines.openai import OpenAIEngine

            return OpenAIEngine(config)
        case "scripted":
            from pipelines.engines.scripted import ScriptedEngine

            return ScriptedEngine(config)
        case unknown:
            raise ConfigError(f"engine '{unknown}' has no implementation")


def nth_seed(seed: int, place: int) -> int:
    """A seed of 31 bits for what stands at `place`, unlike those of its neighbours."""
    digest = blake2b(f"{seed}:{place}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_of(seed: int, numbers: range) -> int:
    """The seed of a call that draws completions of these numbers; `seed` itself from 0 on."""
    return nth_seed(seed, numbers.start) if numbers.start else seed


def check_encoder(config: SamplingConfig) -> None:
    """Refuse a policy whose vision encoder cannot be had alone; loads no weights.

    Raises:
        ConfigError: no such model, or an architecture that is not supported.
    """
    from pipelines.engines.patches import find_family

    find_family(config)


def open_encoder(config: SamplingConfig, *, features: str) -> PatchEncoder:
    """Load the vision encoder of `config.model`, and nothing else of it.

    Args:
        features: one of `config.FEATURES`: as they enter the projector, or as they leave it.
    Raises:
        ConfigError: as `check_encoder`, or the model cannot be loaded.
    """
    from pipelines.engines.patches import VisionTower

    return VisionTower(config, features)
