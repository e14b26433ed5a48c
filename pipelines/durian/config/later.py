"""Settings that training and evaluation take over from a profile."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.dataset import DatasetConfig
from durian.config.options import RUN, option
from durian.config.policy import ArgumentsConfig, ImagesConfig, PromptConfig


@dataclass(frozen=True, kw_only=True)
class LaterConfig(PromptConfig, ImagesConfig, ArgumentsConfig, DatasetConfig):
    """Settings of a stage after a profile: what of `profiled` is None, is as the table's had it."""

    table: str | None = option(
        None,
        "Run folder of a profile: accuracy by its groups; prompt, reward and pixel bounds as it "
        "had them, where not given.",
        panel=RUN,
        identity=False,
    )
