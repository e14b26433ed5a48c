"""What several settings have in common: bounds, choices, fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

from durian.errors import ConfigError

# Arguments of libraries that are keys, and where each belongs instead.
_KEYS = {
    "api_key": "OPENAI_API_KEY",
    **dict.fromkeys(
        ("token", "hf_token", "use_auth_token", "hub_token", "push_to_hub_token"), "HF_TOKEN"
    ),
}
MOST_BINS = 10_000  # far more than have a use; each costs a quantile of the whole table


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a number below its bound."""
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be {least} or more")


def not_empty(name: str, value: str, kind: str) -> None:
    """Refuse an empty text, as an unset variable of a shell gives it."""
    if not value.strip():
        raise ConfigError(f"{name} is empty; name {kind}")


def one_of(name: str, value: str, known: Collection[str]) -> None:
    """Refuse a word that is none of those known."""
    if value not in known:
        raise ConfigError(f"{name} is '{value}'; it must be one of {', '.join(known)}")


def no_keys(option: str, names: Iterable[str]) -> None:
    """Refuse a key among arguments that are passed through: they are kept in the manifest."""
    for name in names:
        if name in _KEYS:
            raise ConfigError(
                f"{option} {name} is a key, and would be written into the manifest; leave it out, "
                f"and set {_KEYS[name]} in the environment"
            )


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
