"""Settings of the estimate that `durian profile --dry-run` gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from durian.config.checks import at_least
from durian.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """What the cost of a profile is estimated from. No part of a run: no number depends on it."""

    cost_sample: int = 128  # prompts that are rendered, spread over the dataset
    rate_from: str | None = None  # a finished run, for the length of completions and their rate
    tokens_per_second: float | None = None  # completion tokens, of all engines together
    price_per_mtok: tuple[float, float] | None = None  # of a million prompt, completion tokens
    gpu_hour_price: float | None = None  # of one GPU

    def __post_init__(self) -> None:
        at_least("cost-sample", self.cost_sample, 1)
        if (rate := self.tokens_per_second) is not None and not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"tokens-per-second is {rate:g}; it must be above 0")
        if not all(math.isfinite(price) and price >= 0 for price in self.price_per_mtok or ()):
            prices = ",".join(f"{price:g}" for price in self.price_per_mtok or ())
            raise ConfigError(f"price-per-mtok is {prices}; each must be 0 or more")
        price = self.gpu_hour_price
        if price is not None and not (math.isfinite(price) and price >= 0):
            raise ConfigError(f"gpu-hour-price is {price:g}; it must be 0 or more")

    @property
    def asked(self) -> list[str]:
        """The options, as typed, that were given another value than their default."""
        given = {
            "cost-sample": self.cost_sample != CostConfig.cost_sample,
            "rate-from": self.rate_from is not None,
            "tokens-per-second": self.tokens_per_second is not None,
            "price-per-mtok": self.price_per_mtok is not None,
            "gpu-hour-price": self.gpu_hour_price is not None,
        }
        return [option for option, is_given in given.items() if is_given]
