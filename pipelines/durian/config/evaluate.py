"""Settings of `durian eval`."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.later import LaterConfig
from durian.config.options import RUN, again, option
from durian.config.policy import PolicyConfig
from durian.config.profile import ProfileConfig
from durian.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EvalConfig(LaterConfig, PolicyConfig):
    """All that an evaluation depends on. What is None is taken as the table's profile had it."""

    model: str = again(PolicyConfig, "model", ...)
    compare: str | None = option(
        None,
        "Another policy, judged on the same samples; differences are --model minus it.",
        panel=RUN,
    )
    out: str | None = option(None, "JSON file to write the result to.", panel=RUN)
    rollouts: int = again(
        PolicyConfig,
        "rollouts",
        help="Sampled completions per sample, beside the greedy one; 0: greedy alone.",
        low=0,
    )
    seed: int = again(
        ProfileConfig, "seed", help="Seed of the sampling, the intervals and the tests."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollouts and self.temperature == 0:
            raise ConfigError("temperature is 0, which is greedy; pass --rollouts 0 for it alone")
        _ = self.sampling  # which is checked at birth
