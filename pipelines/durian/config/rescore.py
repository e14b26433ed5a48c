"""Settings of `durian rescore`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durian.config.dataset import ProfiledDatasetConfig
from durian.config.options import again
from durian.config.policy import ImagesConfig, PromptConfig
from durian.config.profile import ProfileConfig
from durian.config.runs import LocalRunConfig

_REWARD = ("reward_args", "tolerance", "coords", "iou", "judge_model", "judge_url")


@dataclass(frozen=True, kw_only=True)
class RescoreConfig(ProfiledDatasetConfig, LocalRunConfig):
    """A finished run, the reward that its completions get, and the run that this makes.

    What is None of the reward's own settings has its default, not the finished run's value: that
    was of another reward.
    """

    reward: str = again(PromptConfig, "reward", ..., default_text=None)
    reward_args: dict[str, Any] | None = again(PromptConfig, "reward_args")
    tolerance: float | None = again(PromptConfig, "tolerance")
    coords: tuple[str, ...] | None = again(PromptConfig, "coords")
    iou: float | None = again(PromptConfig, "iou")
    judge_model: str | None = again(PromptConfig, "judge_model")
    judge_url: str | None = again(PromptConfig, "judge_url")
    out: str = again(ProfileConfig, "out", ...)
    workers: int | None = again(ImagesConfig, "workers")

    @property
    def rewarding(self) -> dict[str, Any]:
        """The reward and its settings, by the names that a profile has for them."""
        return {"reward": self.reward, **{name: getattr(self, name) for name in _REWARD}}

    @property
    def rollouts_file(self) -> Path:
        """The table of the completions that are scored anew."""
        return self.run / "rollouts.parquet"
