"""Settings of the estimate that `durian profile --dry-run` gives."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.options import COST, Config, given, option


def _prices(text: str) -> tuple[float, float]:
    read, *written = map(float, text.split(","))
    (written_at,) = written or (read,)
    return read, written_at


@dataclass(frozen=True, kw_only=True)
class CostConfig(Config):
    """Settings of a cost estimate. No part of a run: no number of it depends on them."""

    cost_sample: int = option(
        128, "Prompts counted for the estimate of all.", panel=COST, unit="prompts", low=1
    )
    rate_from: str | None = option(
        None,
        "A finished run, whose length and rate of completions this one is given.",
        panel=COST,
    )
    tokens_per_second: float | None = option(
        None, "Completion tokens a second, of all GPUs.", panel=COST, unit="tokens/s", above=0
    )
    price_per_mtok: tuple[float, float] | None = option(
        None,
        "Price of a million tokens: of prompts and completions, like 0.4,1.6, or one.",
        panel=COST,
        low=0,
        read=_prices,
        write="the prices of a million prompt and completion tokens, like 0.4,1.6, or one number "
        "for both",
    )
    gpu_hour_price: float | None = option(None, "Price of an hour of one GPU.", panel=COST, low=0)

    @property
    def asked(self) -> list[str]:
        """The options, as typed, that were given another value than their default."""
        return list(given(self))
