"""The settings of each command: frozen, checked at birth, standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigError

ENGINES = ("vllm", "transformers", "openai", "scripted")
MEASURES = ("pixel", "spectral", "confidence")
FEATURES = ("encoder", "projector")
NORMALIZERS = ("durian", "grpo", "dr_grpo", "batch")

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
        _at_least("rollouts", self.rollouts, 1)
        _at_least("max-tokens", self.max_tokens, 1)
        _at_least("tensor-parallel", self.tensor_parallel, 1)
        _at_least("data-parallel", self.data_parallel, 1)
        _check_server(self)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature is {self.temperature}; it must be 0 or more")
        if self.temperature == 0 and self.rollouts > 1:
            raise ConfigError(
                f"temperature 0 writes one completion {self.rollouts} times; pass --rollouts 1"
            )
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


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """All that a profile depends on; kept in the manifest, so that a run can be repeated."""

    dataset: str
    out: str  # the run folder
    split: str = DatasetConfig.split
    problem_column: str = DatasetConfig.problem_column
    answer_column: str = DatasetConfig.answer_column
    images_column: str = DatasetConfig.images_column
    id_column: str | None = None
    limit: int | None = None
    measures: tuple[str, ...] = ("pixel", "confidence")
    features: str = "encoder"  # of the spectral measure: before the projector, or after it
    model: str | None = None
    engine: str = SamplingConfig.engine
    base_url: str | None = None
    rollouts: int = SamplingConfig.rollouts
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
        if self.workers is not None:
            _at_least("workers", self.workers, 1)
        _at_least("part-size", self.part_size, 1)
        _at_least("pixel-limit", self.pixel_limit, 1)
        _at_least("seed", self.seed, 0)
        check_grouping(self.percentiles, self.bins)
        DatasetConfig(**_shared(self, DatasetConfig))  # checked at birth, as its parts are
        if self.needs_model:
            SamplingConfig(**_shared(self, SamplingConfig))

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
        return DatasetConfig(**_shared(self, DatasetConfig))

    @property
    def sampling(self) -> SamplingConfig:
        """The part of the settings that names the policy and its engine."""
        if self.model is None:
            raise ConfigError("this needs a policy: pass --model PATH_OR_HUB_ID")
        return SamplingConfig(**_shared(self, SamplingConfig))


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
        _one_of("normalizer", self.normalizer, NORMALIZERS)
        _one_of("groups", self.groups, ("offline", "online"))
        _one_of("missing", self.missing, ("error", "own"))
        _one_of("order", self.order, ("shuffle", "easy_first", "hard_first"))
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
                _at_least(name.replace("_", "-"), value, 1)
        _at_least("pixel-limit", self.pixel_limit, 1)
        DatasetConfig(**_shared(self, DatasetConfig))

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**_shared(self, DatasetConfig))

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


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is '{value}'; it must be one of {', '.join(known)}")


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
        _at_least("rollouts", self.rollouts, 0)
        if self.rollouts and self.temperature == 0:
            raise ConfigError("temperature is 0, which is greedy; pass --rollouts 0 for it alone")
        if self.workers is not None:
            _at_least("workers", self.workers, 1)
        _at_least("pixel-limit", self.pixel_limit, 1)
        _at_least("seed", self.seed, 0)
        DatasetConfig(**_shared(self, DatasetConfig))
        SamplingConfig(**self._sampling())

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**_shared(self, DatasetConfig))

    @property
    def sampling(self) -> SamplingConfig:
        """The part of the settings that names the policy and its engine."""
        return SamplingConfig(**self._sampling())

    def _sampling(self) -> dict[str, Any]:
        # With no rollouts the engine is asked for greedy completions alone, one each.
        return _shared(self, SamplingConfig) | {"rollouts": max(1, self.rollouts)}


def check_grouping(percentiles: tuple[float, float], bins: int) -> None:
    """Refuse percentiles and bins that cannot cut a table into groups."""
    low, high = percentiles
    if not 0 < low < high < 100:
        raise ConfigError(
            f"percentiles is {low:g},{high:g}; it must be two rising numbers between 0 and 100"
        )
    _at_least("bins", bins, 1)


def _check_server(config: SamplingConfig) -> None:
    """Refuse a server's address without its engine, or the engine without or beside what it needs.

    The address is kept in the manifest, so it must hold no key.
    """
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
    if address.username or address.password or address.query or address.fragment:
        raise ConfigError(
            "base-url holds more than an address; "
            "a key goes into OPENAI_API_KEY, in the environment"
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


def _shared(config: Any, kind: type) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(kind)}
