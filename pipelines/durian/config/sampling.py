"""A policy, its engine, and how completions are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from durian.config.checks import at_least, no_keys
from durian.errors import ConfigError

ENGINES = ("vllm", "transformers", "openai", "scripted")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """A policy and how completions are drawn from it."""

    model: str  # hub id or local folder; openai: a name served; scripted: a rollouts table
    engine: str = "vllm"
    base_url: str | None = None  # of the openai engine's server
    rollouts: int = 8  # per sample; G in the paper
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048  # of one completion
    tensor_parallel: int = 1  # GPUs that share one policy
    data_parallel: int = 1  # policies side by side, each in a process of its own
    min_pixels: int | None = None  # an image smaller than this is enlarged for the policy
    max_pixels: int | None = None  # an image larger than this is shrunk for the policy
    engine_args: dict[str, Any] = field(default_factory=dict)  # passed through to the engine
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine is '{self.engine}'; it must be one of {', '.join(ENGINES)}")
        at_least("rollouts", self.rollouts, 1)
        at_least("max-tokens", self.max_tokens, 1)
        at_least("tensor-parallel", self.tensor_parallel, 1)
        at_least("data-parallel", self.data_parallel, 1)
        check_secrets(self.engine_args, self.base_url)
        _check_server(self)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature is {self.temperature}; it must be 0 or more")
        if self.temperature == 0 and self.rollouts > 1:
            raise ConfigError(
                f"temperature 0 writes one completion {self.rollouts} times; pass --rollouts 1"
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p is {self.top_p}; it must be above 0 and at most 1")


def check_secrets(engine_args: Mapping[str, Any], base_url: str | None) -> None:
    """Refuse a key where it would be kept in the manifest, whether or not it is used."""
    no_keys("engine-arg", engine_args)
    if base_url is not None:
        try:
            address = urlsplit(base_url)
        except ValueError:
            raise ConfigError(
                "base-url is no address; write it like http://localhost:8000/v1"
            ) from None
        if address.username or address.password or address.query or address.fragment:
            raise ConfigError(
                "base-url holds more than an address; "
                "a key goes into OPENAI_API_KEY, in the environment"
            )


def _check_server(config: SamplingConfig) -> None:
    """Refuse an address without its engine, or the engine without or beside what it needs."""
    if config.engine != "openai":
        if config.base_url is not None:
            raise ConfigError(f"base-url is for --engine openai, not {config.engine}; leave it out")
        return
    if config.base_url is None:
        raise ConfigError(
            "engine openai needs a server: pass --base-url, like http://localhost:8000/v1"
        )
    address = urlsplit(config.base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError(
            f"base-url is '{config.base_url}'; write it like http://localhost:8000/v1"
        )
    if config.min_pixels is not None or config.max_pixels is not None:
        raise ConfigError(
            "min-pixels and max-pixels are the server's own matter with engine openai; leave them "
            "out, and start vLLM with --mm-processor-kwargs"
        )
    for name in ("tensor_parallel", "data_parallel"):
        if (value := getattr(config, name)) > 1:
            option = name.replace("_", "-")
            raise ConfigError(
                f"{option} is {value}, which is the server's own matter with engine openai; "
                f"pass --{option} to the server"
            )
