"""Settings of `durian profile`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from durian.causes.thresholds import THRESHOLDS, asked_thresholds
from durian.config.checks import MOST_BINS, check_percentiles
from durian.config.dataset import DatasetConfig
from durian.config.options import DATA, GROUPS, POLICY, RUN, SAMPLING, again, as_pairs, option
from durian.config.policy import ImagesConfig, PolicyConfig, PromptConfig, check_secrets
from durian.config.shard import Shard, read_shard
from durian.errors import ConfigError
from durian.measures import (
    MEASURES,
    BlindMeasure,
    ImageMeasure,
    Measure,
    PatchMeasure,
    RolloutMeasure,
    SignatureMeasure,
    measure_names,
    measures_help,
)
from durian.measures.blind import WAYS as BLIND_WAYS

FEATURES = ("encoder", "projector")
_ENDS = "COLUMN:lower or COLUMN:higher says which end is hard."


def _share_or_count(text: str) -> float | int:
    return float(text) if "." in text else int(text)


SYSTEM_PROMPT = (
    "Think step by step inside <think> and </think>, looking closely at the image. "
    "Then give only the final answer inside \\boxed{}."
)


@dataclass(frozen=True, kw_only=True)
class ProfileConfig(PromptConfig, ImagesConfig, PolicyConfig, DatasetConfig):
    """All that a profile depends on; kept in the manifest, so that a run can be repeated."""

    out: str = option(
        ...,
        "Run folder to write.",
        panel=RUN,
        filled="a folder to write",
        identity=False,
        here=True,
    )
    measures: tuple[str, ...] = option(
        ("pixel", "confidence", "consensus"),
        lambda: f"What to measure, some of: {measures_help()}.",
        panel=RUN,
        choices=measure_names,
    )
    against: tuple[str, ...] = option(
        (),
        "Another dataset, a test set say, in which samples are looked for by bytes, pixels, near "
        "image and words; needs duplicates in --measures. DATASET@SPLIT is a split of it.",
        panel=DATA,
        repeatable=True,
        identity=False,  # what is in them is compared, not where they lie
    )
    features: str = option(
        "encoder",
        "What spectral reads: patches before the projector (encoder) or after it (projector).",
        panel=POLICY,
        choices=FEATURES,
    )
    blind: str = option(
        "none",
        "What stands in for the image where blind is measured: no image (none), a gray one of its "
        "size (gray), or another sample's (other).",
        panel=SAMPLING,
        choices=BLIND_WAYS,
        compared=True,
    )
    blind_rollouts: int | None = option(
        None,
        "Completions without the image per sample, where blind is measured.",
        panel=SAMPLING,
        default_text="as --rollouts",
        low=1,
    )
    sample: float | int = option(
        1.0,
        "Samples that completions are drawn of; the others are estimated. With a point a share, "
        "without one a number; later it may grow.",
        panel=SAMPLING,
        read=_share_or_count,
        write="a share with a point, like 0.2 (1.0 is all), or a number of samples, like 500",
        default_text="1.0, all",
        identity=False,
    )
    seed: int = option(0, "Seed of the sampling.", panel=SAMPLING, low=0)
    system_prompt: str = again(PromptConfig, "system_prompt", SYSTEM_PROMPT)
    reward: str = again(PromptConfig, "reward", "boxed")
    distributed: str | None = option(
        None,
        "ray: measure on an existing Ray cluster, one engine an actor.",
        panel=RUN,
        choices=("ray",),
        identity=False,
        telling=True,
    )
    ray_address: str | None = option(
        None,
        "Where that cluster is: auto, or HOST:PORT of its head.",
        panel=RUN,
        default_text="auto",
        identity=False,
    )
    shard: Shard | None = option(
        None,
        "Measure one of N shards, 1/N to N/N, into a run folder that N processes share; slurm: the "
        "one of this task of an array. Who finishes last completes the run.",
        panel=RUN,
        read=read_shard,
        write="I/N, like 1/4 to 4/4, or slurm",
        identity=False,
    )
    part_size: int = option(
        1000, "Samples a part; a finished part survives anything.", panel=RUN, unit="samples", low=1
    )
    perceptual: str = option(
        "pixel_entropy", f"Column behind perceptual_group; {_ENDS}", panel=GROUPS
    )
    reasoning: str = option("mean_logprob", f"Column behind reasoning_group; {_ENDS}", panel=GROUPS)
    percentiles: tuple[float, float] = option(
        (25.0, 75.0),
        "Cuts between easy, medium, hard.",
        panel=GROUPS,
        write="two numbers, like 25,75",
    )
    bins: int = option(10, "Reasoning bins.", panel=GROUPS, low=1, high=MOST_BINS)
    why: dict[str, float] | None = option(
        None,
        lambda: (
            "NAME=VALUE, as often as needed: the threshold of a cause in the column why; "
            f"{as_pairs(THRESHOLDS)}."
        ),
        panel=GROUPS,
        default_text="those",
        identity=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.needs_model and self.model is None:
            asked = self._asked(PatchMeasure, RolloutMeasure, BlindMeasure)
            needing = f"{' and '.join(asked)} measure{'s' if len(asked) > 1 else ''}"
            verb = "need" if len(asked) > 1 else "needs"
            raise ConfigError(
                f"the {needing} {verb} a policy: pass --model PATH_OR_HUB_ID, "
                "or --measures pixel for the images alone"
            )
        if self.needs_patches and self.engine in ("scripted", "openai"):
            needing = " and ".join(self._asked(PatchMeasure))
            raise ConfigError(
                f"the {needing} measure reads the weights of the policy, and the {self.engine} "
                f"engine has none; leave {needing} out, or pass another --engine"
            )
        _check_blind(self)
        _check_against(self)
        _check_sample(self)
        _check_distributed(self)
        if self.shard is not None and self.distributed is not None:
            raise ConfigError(
                "shard is for processes without a cluster, and --distributed ray cuts the work "
                "itself; leave one of them out"
            )
        check_percentiles(self.percentiles)
        asked_thresholds(self.why)
        check_secrets(self.engine_args, self.base_url)  # kept in the manifest, used or not
        if self.needs_model or self.counts_prompts:
            _ = self.sampling  # which is checked at birth

    @property
    def needs_model(self) -> bool:
        """Whether a measure was asked for that reads the policy's weights."""
        return self.needs_patches or self.needs_rollouts

    @property
    def counts_prompts(self) -> bool:
        """Whether the policy's processor is at hand, to count the tokens of prompts."""
        return self.model is not None and self.engine in ("vllm", "transformers")

    @property
    def needs_images(self) -> bool:
        """Whether a measure was asked for that a sample without images cannot have."""
        return bool(self._asked(ImageMeasure, PatchMeasure))

    @property
    def needs_patches(self) -> bool:
        """Whether a measure was asked for that reads the policy's patch features."""
        return bool(self._asked(PatchMeasure))

    @property
    def needs_signatures(self) -> bool:
        """Whether a measure was asked for that compares the images of all samples."""
        return bool(self._asked(SignatureMeasure))

    @property
    def needs_rollouts(self) -> bool:
        """Whether a measure was asked for that reads what the policy writes."""
        return bool(self._asked(RolloutMeasure, BlindMeasure))

    @property
    def asks_blind(self) -> bool:
        """Whether samples are also asked without their images."""
        return bool(self._asked(BlindMeasure))

    @property
    def blind_completions(self) -> int:
        """Completions without the image of each sample that has one; 0 where it is not measured."""
        return (self.blind_rollouts or self.rollouts) if self.asks_blind else 0

    @property
    def others(self) -> list[DatasetConfig]:
        """The datasets of `against`, read as the profile's own is."""
        found = []
        for name in self.against:
            dataset, _, split = name.rpartition("@")
            if not dataset or "/" in split or Path(name).exists():
                dataset, split = name, DatasetConfig.split
            source = replace(self.source, dataset=dataset, split=split, limit=None, id_column=None)
            found.append(source)
        return found

    @property
    def draws_all(self) -> bool:
        """Whether completions are drawn of every sample, however many there are."""
        return isinstance(self.sample, float) and self.sample == 1.0  # 1 is one sample

    def drawn_of(self, samples: int) -> int:
        """Count the samples that completions are drawn of, where there are so many in all."""
        if isinstance(self.sample, float):
            return round(self.sample * samples)
        return min(self.sample, samples)

    def _asked(self, *kinds: type[Measure]) -> list[str]:
        """The measures of some kinds that were asked for, in the order of the table."""
        return [
            name for name in MEASURES if name in self.measures and isinstance(MEASURES[name], kinds)
        ]


def _check_blind(config: ProfileConfig) -> None:
    """Refuse a way to ask blind where nothing is, or more than one completion that is greedy."""
    for name, value in (("blind", config.blind), ("blind-rollouts", config.blind_rollouts)):
        if value not in (None, "none") and not config.asks_blind:
            raise ConfigError(
                f"{name} is {value}, and blind is not measured; add blind to --measures, or leave "
                f"{name} out"
            )
    check_greedy_blind(config.temperature, config.blind_completions)


def check_greedy_blind(temperature: float, completions: int) -> None:
    """Refuse several completions at temperature 0, which are one."""
    if temperature == 0 and completions > 1:
        raise ConfigError(
            f"temperature 0 writes one completion {completions} times; pass --blind-rollouts 1"
        )


def _check_against(config: ProfileConfig) -> None:
    """Refuse other sets without the measure that looks into them, one without a name, or twice."""
    if not config.against:
        return
    if not config.needs_signatures:
        raise ConfigError(
            "against is for duplicates: add that to --measures, like --measures pixel,duplicates"
        )
    if "" in config.against:
        raise ConfigError("against is empty; name a dataset")
    if len(set(config.against)) < len(config.against):
        raise ConfigError("against names one dataset twice; leave one out")


def _check_sample(config: ProfileConfig) -> None:
    """Refuse a share that is none, no samples at all, or a part of what is not drawn."""
    sample = config.sample
    if isinstance(sample, float) and not 0 < sample <= 1:
        raise ConfigError(f"sample is {sample}; with a point it is a share, above 0 and at most 1")
    if isinstance(sample, int) and sample < 1:
        raise ConfigError(f"sample is {sample}; without a point it is a number, 1 or more")
    if not config.draws_all and not config.needs_rollouts:
        raise ConfigError(
            "sample is the part that completions are drawn of, and no measure here draws any; "
            "leave it out, or pass --measures with confidence"
        )


def _check_distributed(config: ProfileConfig) -> None:
    """Refuse what does not go together with a cluster, or a cluster's address without one."""
    if config.distributed is None:
        if config.ray_address is not None:
            raise ConfigError("ray-address is for --distributed ray; pass that too, or neither")
        return
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
