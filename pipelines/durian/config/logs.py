"""Settings of `durian import`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from durian.config.dataset import DatasetConfig
from durian.config.options import RUN, again, option, shared
from durian.config.policy import ImagesConfig, PromptConfig
from durian.config.profile import SYSTEM_PROMPT, ProfileConfig
from durian.errors import ConfigError

FORMS = ("verl", "trl", "swift", "lmms-eval", "jsonl")


def _read_key(text: str) -> tuple[str, str]:
    log, equals, data = text.partition("=")
    if not (equals and log.strip() and data.strip()):
        raise ValueError
    return log.strip(), data.strip()


@dataclass(frozen=True, kw_only=True)
class ImportConfig(PromptConfig, ImagesConfig, DatasetConfig):
    """All that an imported run depends on; kept in the manifest."""

    logs: str = option(
        ...,
        "Log of a training or an evaluation: a file, a folder or a glob.",
        positional=True,
        filled="a file or a folder",
        identity=False,  # a run is of what is in it
    )
    form: str = option(..., "Program that wrote the log.", typed="from", panel=RUN, choices=FORMS)
    dataset: str = again(DatasetConfig, "dataset", ..., positional=False, panel=RUN)
    out: str = again(ProfileConfig, "out", ...)
    key: tuple[str, str] | None = option(
        None,
        "LOG_COLUMN=DATASET_COLUMN: match completions to samples by these; `row` is a row's place "
        "in the dataset.",
        panel=RUN,
        default_text="sample_id, the id column, or the prompt's text",
        read=_read_key,
        write="LOG_COLUMN=DATASET_COLUMN",
    )
    logged_rewards: bool = option(
        False, "Keep the log's own rewards rather than grade anew by --reward.", panel=RUN
    )
    system_prompt: str = again(
        PromptConfig,
        "system_prompt",
        SYSTEM_PROMPT,
        help="System prompt of the policy that was logged, for stages that take it over; '' for "
        "none.",
    )
    reward: str = again(PromptConfig, "reward", "boxed")
    perceptual: str = again(ProfileConfig, "perceptual")
    reasoning: str = again(ProfileConfig, "reasoning")
    percentiles: tuple[float, float] = again(ProfileConfig, "percentiles")
    bins: int = again(ProfileConfig, "bins")
    why: dict[str, float] | None = again(ProfileConfig, "why")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.logged_rewards and self.reward != "boxed":
            raise ConfigError(
                "logged-rewards keeps what was logged, and --reward grades anew; pass one of them"
            )
        _ = self.profile  # which is checked at birth

    @property
    def profile(self) -> ProfileConfig:
        """The profile that measures images and cuts groups as this import does."""
        both: dict[str, Any] = shared(self, PromptConfig) | shared(self, ImagesConfig)
        groups = ("perceptual", "reasoning", "percentiles", "bins", "why")
        return ProfileConfig(
            **both,
            **shared(self, DatasetConfig),
            **{name: getattr(self, name) for name in groups},
            out=self.out,
            measures=("pixel",),
        )
