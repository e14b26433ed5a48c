"""The engine and the vision encoder that a policy's settings ask for, each imported when chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from durian.config import EvalConfig, ProfileConfig, SamplingConfig
from durian.engines.base import PatchEncoder, RolloutEngine
from durian.errors import ConfigError, require

if TYPE_CHECKING:
    from durian.engines.base import Renderer

Settings = TypeVar("Settings", ProfileConfig, EvalConfig)

# By engine. A completion may hold mathematics, which the boxed reward then compares; only what
# replays a table can do without, where all answers are choices, words and numbers.
_NEEDED = {
    "vllm": ("math_verify", "torch", "transformers", "vllm"),
    "transformers": ("math_verify", "torch", "transformers"),
    "openai": ("math_verify", "openai"),
}


def open_engine(config: SamplingConfig) -> RolloutEngine:
    """Load the policy of `config` into its engine; each is imported only when chosen.

    Raises:
        ConfigError: its package is not installed, or the model cannot be loaded.
    """
    if config.data_parallel > 1:
        from durian.engines.parallel import ParallelEngine

        return ParallelEngine(config, open_engine)
    match config.engine:
        case "vllm":
            from durian.engines.vllm import VLLMEngine

            return VLLMEngine(config)
        case "transformers":
            from durian.engines.transformers import TransformersEngine

            return TransformersEngine(config)
        case "openai":
            from durian.engines.openai import OpenAIEngine

            return OpenAIEngine(config)
        case "scripted":
            from durian.engines.scripted import ScriptedEngine

            return ScriptedEngine(config)
        case unknown:
            raise ConfigError(f"engine '{unknown}' has no implementation")


def settle_repeatable(config: Settings) -> Settings:
    """The settings with `repeatable` decided, where they leave it open: on without a GPU.

    A part of a run's identity: on another machine the same command must not go on otherwise. On a
    cluster each node's engine decides, for the driver need not have the GPUs.
    """
    if config.repeatable is not None or config.engine != "vllm":
        return config
    if isinstance(config, ProfileConfig) and (config.distributed or not config.needs_rollouts):
        return config
    import torch

    return replace(config, repeatable=not torch.cuda.is_available())


def check_engine(config: SamplingConfig) -> None:
    """Refuse an engine whose packages are not installed, before anything is read; loads nothing.

    Raises:
        ConfigError: names the extra that brings them, or an argument that the engine has not.
    """
    require(f"engine {config.engine}", *_NEEDED.get(config.engine, ()))
    for name in ("sampling_args", "chat_template_args"):
        if config.engine == "scripted" and getattr(config, name):
            option = name.replace("_", "-").removesuffix("s")
            raise ConfigError(f"{option}: engine scripted replays what was drawn; leave it out")
    if config.adapter is not None and config.engine == "transformers":
        require("adapter", "peft")
    if config.sampling_args and config.engine == "transformers":
        from durian.engines.sampling_args import check_transformers

        check_transformers(config.sampling_args)


def check_encoder(config: SamplingConfig) -> None:
    """Refuse a policy whose vision encoder cannot be had alone; loads no weights.

    Raises:
        ConfigError: no such model, an architecture that is not supported, an adapter over it, or no
            torch.
    """
    require("spectral entropy", "torch", "transformers")
    if config.adapter is not None:
        from durian.engines.adapter import changes_vision, read_adapter

        read_adapter(config.adapter)
        if changes_vision(config.adapter):
            raise ConfigError(
                f"adapter '{config.adapter}': changes the vision encoder, of which spectral reads "
                "the model's own weights; leave spectral out, or merge the adapter into its model"
            )
    from durian.engines.patches import find_family

    find_family(config)


def chat_of(config: SamplingConfig) -> Callable[[], Renderer] | None:
    """Loads what tells whether the policy's chat template takes a prompt; None for a script."""

    def load() -> Renderer:
        if config.engine == "openai":
            from durian.engines.openai import ServedChat

            return ServedChat(config)
        from durian.engines.chat import load_chat

        return load_chat(config)

    return None if config.engine == "scripted" else load


def open_encoder(config: SamplingConfig, *, features: str) -> PatchEncoder:
    """Load the vision encoder of `config.model`, and nothing else of it.

    Args:
        features: one of `config.FEATURES`: as they enter the projector, or as they leave it.
    Raises:
        ConfigError: as `check_encoder`, or the model cannot be loaded.
    """
    from durian.engines.patches import VisionTower

    return VisionTower(config, features)
