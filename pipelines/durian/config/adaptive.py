"""Settings of adaptive rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.checks import at_least
from durian.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AdaptiveRollouts:
    """Rollouts in rounds, more where a sample's groups are uncertain (`durian.allocation`)."""

    min_rollouts: int = 2  # of each sample, whatever the budget
    max_rollouts: int = 16  # of one sample
    token_budget: int | None = None  # completion tokens of the whole run; None: while worth it

    def __post_init__(self) -> None:
        at_least("min-rollouts", self.min_rollouts, 2)
        if self.max_rollouts <= self.min_rollouts:
            raise ConfigError(
                f"max-rollouts is {self.max_rollouts}; it must be above min-rollouts, "
                f"which is {self.min_rollouts}"
            )
        if self.token_budget is not None:
            at_least("token-budget", self.token_budget, 1)
