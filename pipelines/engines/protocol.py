"""What an engine promises, whichever program runs the policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipelines.config import SamplingConfig
from pipelines.errors import ConfigError
from pipelines.samples import Failed, Prompt, Rollout


class RolloutEngine(Protocol):
    """Draws completions from a policy. vLLM, transformers and the script fill these methods."""

    def generate(self, prompts: Sequence[Prompt], *, seed: int) -> list[list[Rollout] | Failed]:
        """Draw `rollouts` completions a prompt; the outer list keeps the order of `prompts`.

        Equal prompts and seed give equal completions where the engine can promise that.
        A prompt that cannot be used comes back as `Failed(error)`; the batch goes on.
        """

    def close(self) -> None:
        """Give back the memory of the policy."""


def open_engine(config: SamplingConfig) -> RolloutEngine:
    """Load the policy of `config` into its engine; each is imported only when chosen.

    Raises:
        ConfigError: no such engine, its package is not installed, or the model cannot be loaded.
    """
    match config.engine:
        case "vllm":
            from pipelines.engines.vllm import VLLMEngine

            return VLLMEngine(config)
        case "transformers":
            from pipelines.engines.transformers import TransformersEngine

            return TransformersEngine(config)
        case "scripted":
            from pipelines.engines.scripted import ScriptedEngine

            return ScriptedEngine(config)
        case _:
            raise ConfigError(f"engine is '{config.engine}'; it must be one of {ENGINES_TEXT}")


ENGINES_TEXT = "vllm, transformers, scripted"
