"""Settings of `durian train`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from durian.config.checks import at_least, check_grouping, no_keys, not_empty, one_of, shared
from durian.config.dataset import DatasetConfig
from durian.config.profile import ProfileConfig
from durian.config.sampling import SamplingConfig
from durian.errors import ConfigError
from durian.normalizer import NORMALIZERS


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All that a training depends on. What is None is taken as the table's profile had it."""

    dataset: str
    table: str  # run folder of a profile
    model: str
    out: str
    split: str = DatasetConfig.split
    problem_column: str = DatasetConfig.problem_column
    answer_column: str = DatasetConfig.answer_column
    images_column: str = DatasetConfig.images_column
    image_root: str | None = None
    id_column: str | None = None
    limit: int | None = None
    system_prompt: str | None = None
    prompt_template: str | None = None
    reward: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    pixel_limit: int = ProfileConfig.pixel_limit
    max_prompt_tokens: int | None = None  # longer prompts are left out; None: the model's context
    trust_remote_code: bool = False
    workers: int | None = None
    normalizer: str = "durian"
    weights: tuple[float, float, float] = (0.4, 0.3, 0.3)  # own, perceptual, reasoning (eq. 20)
    eps: float = 1e-6  # added to every std
    groups: str = "offline"
    percentiles: tuple[float, float] | None = None  # None: the table's own perceptual groups
    bins: int | None = None  # None: the table's own reasoning groups
    missing: str = "error"  # samples that the table lacks
    rollout_batch: int | None = None  # prompts over which std(R_a) is taken; None: GRPOConfig's
    filter: str | None = None  # SQL condition over the table's columns
    order: str = "shuffle"
    lora_r: int | None = None  # None: all weights are trained
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: tuple[str, ...] = ("all-linear",)
    freeze_vision: bool = False
    processes: int | None = None  # that the launch must have; None: whatever it has
    grpo: dict[str, Any] = field(default_factory=dict)  # fields of trl.GRPOConfig

    def __post_init__(self) -> None:
        one_of("normalizer", self.normalizer, NORMALIZERS)
        one_of("groups", self.groups, ("offline", "online"))
        one_of("missing", self.missing, ("error", "own"))
        one_of("order", self.order, ("shuffle", "easy_first", "hard_first"))
        usable = all(math.isfinite(w) and w >= 0 for w in self.weights)
        if len(self.weights) != 3 or not usable or not any(self.weights):
            raise ConfigError(
                f"weights is {','.join(f'{w:g}' for w in self.weights)}; it must be three numbers "
                "of 0 or more, not all 0: own, perceptual, reasoning"
            )
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise ConfigError(f"eps is {self.eps}; it must be 0 or more")
        check_grouping(self.percentiles or (25.0, 75.0), 1 if self.bins is None else self.bins)
        for name in ("rollout_batch", "lora_r", "workers", "processes", "max_prompt_tokens"):
            if (value := getattr(self, name)) is not None:
                at_least(name.replace("_", "-"), value, 1)
        at_least("pixel-limit", self.pixel_limit, 1)
        no_keys("grpo:", self.grpo)
        no_keys("grpo: model_init_kwargs", self.grpo.get("model_init_kwargs") or {})
        not_empty("out", self.out, "a folder to write")
        DatasetConfig(**shared(self, DatasetConfig))

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**shared(self, DatasetConfig))

    @property
    def policy(self) -> SamplingConfig:
        """The part of the settings that names the policy, as `transformers` loads it."""
        return SamplingConfig(
            model=self.model,
            engine="transformers",
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            trust_remote_code=self.trust_remote_code,
        )
