"""What several settings have in common: bounds, choices, fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pipelines.errors import ConfigError

MOST_BINS = 10_000  # far more than have a use; each costs a quantile of the whole table


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below its bound."""
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be {least} or more")


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that is none of those known."""
    if value not in known:
        raise ConfigError(f"{name} is '{value}'; it must be one of {', '.join(known)}")


def check_grouping(percentiles: tuple[float, float], bins: int) -> None:
    """Refuse percentiles and bins that cannot cut a table into groups."""
    low, high = percentiles
    if not 0 < low < high < 100:
        raise ConfigError(
            f"percentiles is {low:g},{high:g}; it must be two rising numbers between 0 and 100"
        )
    at_least("bins", bins, 1)
    if bins > MOST_BINS:
        raise ConfigError(f"bins is {bins}; it must be {MOST_BINS:,} or fewer")


def shared(config: Any, kind: type) -> dict[str, Any]:
    """The fields of `config` that a config of that kind has too."""
    return {f.name: getattr(config, f.name) for f in fields(kind)}
