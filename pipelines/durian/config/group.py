"""Settings of `durian group`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from durian.causes.thresholds import asked_thresholds
from durian.config.checks import check_percentiles
from durian.config.options import again, option
from durian.config.profile import ProfileConfig
from durian.config.runs import RunConfig
from durian.errors import ConfigError

ROLLOUT_BATCH = 512  # prompts, the paper's
_COLUMN = (
    "a column of numbers, of the table or of the dataset; COLUMN:lower or COLUMN:higher says which "
    "end is hard."
)


@dataclass(frozen=True, kw_only=True)
class GroupConfig(RunConfig):
    """Other groups for a run. What is None stays as the run's present grouping has it."""

    perceptual: str | None = again(
        ProfileConfig,
        "perceptual",
        None,
        help=f"Measure of the perceptual groups: {_COLUMN}",
        panel=None,
        default_text="as it is",
    )
    reasoning: str | None = again(
        ProfileConfig,
        "reasoning",
        None,
        help=f"Measure of the reasoning bins: {_COLUMN}",
        panel=None,
        default_text="as it is",
    )
    percentiles: tuple[float, float] | Literal["auto"] | None = again(
        ProfileConfig,
        "percentiles",
        None,
        help="Cuts of the perceptual groups, like 25,75; auto: where the error rate changes.",
        panel=None,
        default_text="as they are",
    )
    bins: int | Literal["auto"] | None = again(
        ProfileConfig,
        "bins",
        None,
        help="Reasoning bins, like 10; auto: as many as differ in their error rate.",
        panel=None,
        default_text="as they are",
        write="a number, or auto",
    )
    why: dict[str, float] | None = again(
        ProfileConfig, "why", panel=None, default_text="as they are"
    )
    min_per_batch: int | None = option(
        None,
        "Prompts that each group must be expected to have in a rollout batch of training; fewer "
        "are refused, and auto merges until all have them.",
        unit="prompts",
        low=1,
    )
    rollout_batch: int | None = option(
        None,
        "Prompts of a rollout batch, for --min-per-batch.",
        unit="prompts",
        default_text=f"{ROLLOUT_BATCH}",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        asked_thresholds(self.why)
        if isinstance(self.percentiles, tuple):
            check_percentiles(self.percentiles)
        if self.min_per_batch is None:
            if self.rollout_batch is not None:
                raise ConfigError("rollout-batch says nothing alone; pass --min-per-batch N too")
        elif self.min_per_batch > self.prompts:
            raise ConfigError(
                f"min-per-batch is {self.min_per_batch}, and a rollout batch has {self.prompts} "
                "prompts; lower it, or raise --rollout-batch"
            )

    @property
    def prompts(self) -> int:
        """Number of prompts in a rollout batch."""
        return ROLLOUT_BATCH if self.rollout_batch is None else self.rollout_batch

    def least_samples(self, samples: int) -> int:
        """Samples that a group needs, of `samples` in all, to be expected in a batch as asked."""
        # Of a group of n in N samples, a batch of M holds n M / N on average; n is rounded up.
        return 1 if self.min_per_batch is None else -(-self.min_per_batch * samples // self.prompts)
