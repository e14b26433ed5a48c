"""The settings of each command: frozen, checked at birth, standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from pipelines.errors import ConfigError

ENGINES = ("vllm", "transformers", "scripted")
MEASURES = ("pixel", "confidence")

SYSTEM_PROMPT = (
    "Think step by step inside <think> and </think>, looking closely at the image. "
    "Then give only the final answer inside \\boxed{}."
)


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be {least} or more")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """A policy and how completions are drawn from it."""

    model: str  # hub id or local folder; for the scripted engine, a rollouts table
    engine: str = "vllm"
    rollouts: int = 8  # per sample; G in the paper
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048  # of one completion
    tensor_parallel: int = 1
    min_pixels: int | None = None  # an image smaller than this is enlarged for the policy
    max_pixels: int | None = None  # an image larger than this is shrunk for the policy
    engine_args: dict[str, Any] = field(default_factory=dict)  # passed through to the engine
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine is '{self.engine}'; it must be one of {', '.join(ENGINES)}")
        _at_least("rollouts", self.rollouts, 1)
        _at_least("max-tokens", self.max_tokens, 1)
        _at_least("tensor-parallel", self.tensor_parallel, 1)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature is {self.temperature}; it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p is {self.top_p}; it must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Where the samples are, and which columns hold what."""

    dataset: str  # hub id, folder, file or glob
    split: str = "train"
    problem_column: str = "problem"
    answer_column: str = "answer"
    images_column: str = "images"  # a single-image column too; `image` is found by itself
    id_column: str | None = None  # default: content hash
    limit: int | None = None  # first rows only

    def __post_init__(self) -> None:
        if self.limit is not None:
            _at_least("limit", self.limit, 1)
