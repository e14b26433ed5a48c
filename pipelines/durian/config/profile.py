"""Settings of `durian profile`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from durian.config.checks import at_least, check_grouping, not_empty, shared
from durian.config.dataset import DatasetConfig
from durian.config.sampling import SamplingConfig, check_secrets
from durian.errors import ConfigError

MEASURES = ("pixel", "spectral", "confidence")
FEATURES = ("encoder", "projector")

SYSTEM_PROMPT = (
    "Think step by step inside <think> and </think>, looking closely at the image. "
    "Then give only the final answer inside \\boxed{}."
)


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """All that a profile depends on; kept in the manifest, so that a run can be repeated."""

    dataset: str
    out: str  # the run folder
    split: str = DatasetConfig.split
    problem_column: str = DatasetConfig.problem_column
    answer_column: str = DatasetConfig.answer_column
    images_column: str = DatasetConfig.images_column
    image_root: str | None = None
    id_column: str | None = None
    limit: int | None = None
    measures: tuple[str, ...] = ("pixel", "confidence")
    features: str = "encoder"  # of the spectral measure: before the projector, or after it
    model: str | None = None
    engine: str = SamplingConfig.engine
    base_url: str | None = None
    rollouts: int = SamplingConfig.rollouts  # of each sample
    temperature: float = SamplingConfig.temperature
    top_p: float = SamplingConfig.top_p
    max_tokens: int = SamplingConfig.max_tokens
    seed: int = 0
    system_prompt: str = SYSTEM_PROMPT
    prompt_template: str | None = None
    reward: str = "boxed"
    tensor_parallel: int = SamplingConfig.tensor_parallel
    data_parallel: int = SamplingConfig.data_parallel
    engine_args: dict[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    distributed: str | None = None  # 'ray': over an existing cluster; None: on this machine
    ray_address: str | None = None  # None: 'auto', as Ray finds a cluster by itself
    workers: int | None = None  # image decoding threads; None: all cores
    part_size: int = 1000  # samples a part
    min_pixels: int | None = None
    max_pixels: int | None = None
    pixel_limit: int = 178_956_970  # an image of more pixels is not decoded (Pillow's own bound)
    perceptual: str = "pixel_entropy"
    reasoning: str = "mean_logprob"
    percentiles: tuple[float, float] = (25.0, 75.0)
    bins: int = 10

    def __post_init__(self) -> None:
        for measure in self.measures:
            if measure not in MEASURES:
                known = ", ".join(MEASURES)
                raise ConfigError(f"measures has '{measure}'; it must be some of {known}")
        if not self.measures:
            raise ConfigError(f"measures is empty; name some of {', '.join(MEASURES)}")
        if self.needs_model and self.model is None:
            needing = " and ".join(m for m in MEASURES if m in self.measures and m != "pixel")
            raise ConfigError(
                f"the {needing} measure needs a policy: pass --model PATH_OR_HUB_ID, "
                "or --measures pixel for the images alone"
            )
        if self.features not in FEATURES:
            known = " or ".join(FEATURES)
            raise ConfigError(f"features is '{self.features}'; it must be {known}")
        if "spectral" in self.measures and self.engine in ("scripted", "openai"):
            raise ConfigError(
                f"the spectral measure reads the weights of the policy, and the {self.engine} "
                "engine has none; leave spectral out, or pass another --engine"
            )
        _check_distributed(self)
        if self.workers is not None:
            at_least("workers", self.workers, 1)
        at_least("part-size", self.part_size, 1)
        at_least("pixel-limit", self.pixel_limit, 1)
        at_least("seed", self.seed, 0)
        check_grouping(self.percentiles, self.bins)
        not_empty("out", self.out, "a folder to write")
        DatasetConfig(**shared(self, DatasetConfig))  # checked at birth, as its parts are
        check_secrets(self.engine_args, self.base_url)  # kept in the manifest, used or not
        if self.needs_model:
            SamplingConfig(**shared(self, SamplingConfig))

    @property
    def needs_model(self) -> bool:
        """Whether a measure was asked for that reads the policy's weights."""
        return "spectral" in self.measures or self.needs_rollouts

    @property
    def needs_rollouts(self) -> bool:
        """Whether a measure was asked for that reads what the policy writes."""
        return "confidence" in self.measures

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**shared(self, DatasetConfig))

    @property
    def sampling(self) -> SamplingConfig:
        """The part of the settings that names the policy and its engine."""
        if self.model is None:
            raise ConfigError("this needs a policy: pass --model PATH_OR_HUB_ID")
        return SamplingConfig(**shared(self, SamplingConfig))


def _check_distributed(config: ProfileConfig) -> None:
    """Refuse what does not go together with a cluster, or a cluster's address without one."""
    if config.distributed is None:
        if config.ray_address is not None:
            raise ConfigError("ray-address is for --distributed ray; pass that too, or neither")
        return
    if config.distributed != "ray":
        raise ConfigError(f"distributed is '{config.distributed}'; it must be ray")
    if config.data_parallel > 1:
        raise ConfigError(
            f"data-parallel is {config.data_parallel}, and with --distributed ray the cluster "
            "decides how many engines there are; leave it out"
        )
    if config.engine == "openai":
        raise ConfigError(
            "engine openai draws from one server, and its replicas are the way to scale; "
            "leave --distributed out"
        )
