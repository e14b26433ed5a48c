"""Settings of `durian eval`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from durian.config.checks import at_least, shared
from durian.config.dataset import DatasetConfig
from durian.config.profile import ProfileConfig
from durian.config.sampling import SamplingConfig
from durian.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """All that an evaluation depends on. What is None is taken as the table's profile had it."""

    dataset: str
    model: str
    compare: str | None = None  # another policy, judged on the same samples
    table: str | None = None  # run folder of a profile, for its groups
    out: str | None = None  # a JSON file
    split: str = DatasetConfig.split
    problem_column: str = DatasetConfig.problem_column
    answer_column: str = DatasetConfig.answer_column
    images_column: str = DatasetConfig.images_column
    image_root: str | None = None
    id_column: str | None = None
    limit: int | None = None
    engine: str = SamplingConfig.engine
    base_url: str | None = None
    rollouts: int = SamplingConfig.rollouts  # sampled, beside the greedy one; 0: greedy alone
    temperature: float = SamplingConfig.temperature
    top_p: float = SamplingConfig.top_p
    max_tokens: int = SamplingConfig.max_tokens
    seed: int = 0
    system_prompt: str | None = None
    prompt_template: str | None = None
    reward: str | None = None
    tensor_parallel: int = SamplingConfig.tensor_parallel
    data_parallel: int = SamplingConfig.data_parallel
    engine_args: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    workers: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    pixel_limit: int = ProfileConfig.pixel_limit

    def __post_init__(self) -> None:
        at_least("rollouts", self.rollouts, 0)
        if self.rollouts and self.temperature == 0:
            raise ConfigError("temperature is 0, which is greedy; pass --rollouts 0 for it alone")
        if self.workers is not None:
            at_least("workers", self.workers, 1)
        at_least("pixel-limit", self.pixel_limit, 1)
        at_least("seed", self.seed, 0)
        DatasetConfig(**shared(self, DatasetConfig))
        SamplingConfig(**self._sampling())

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**shared(self, DatasetConfig))

    @property
    def sampling(self) -> SamplingConfig:
        """The part of the settings that names the policy and its engine."""
        return SamplingConfig(**self._sampling())

    def _sampling(self) -> dict[str, Any]:
        # With no rollouts the engine is asked for greedy completions alone, one each.
        return shared(self, SamplingConfig) | {"rollouts": max(1, self.rollouts)}
