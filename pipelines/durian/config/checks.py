"""Checks that more than one config makes, beside those of single options."""

from __future__ import annotations

from collections.abc import Iterable

from durian.errors import ConfigError

# Arguments of libraries that are keys, and where each belongs instead.
_KEYS = {
    "api_key": "OPENAI_API_KEY",
    **dict.fromkeys(
        ("token", "hf_token", "use_auth_token", "hub_token", "push_to_hub_token"), "HF_TOKEN"
    ),
}
MOST_BINS = 10_000  # far more than have a use; each costs a quantile of the whole table


def no_keys(option: str, names: Iterable[str]) -> None:
    """Refuse a key among arguments that are passed through: they are kept in the manifest."""
    for name in names:
        if name in _KEYS:
            raise ConfigError(
                f"{option} {name} is a key, and would be written into the manifest; leave it out, "
                f"and set {_KEYS[name]} in the environment"
            )


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Refuse percentiles that cannot cut a table into groups."""
    low, high = percentiles
    if not 0 < low < high < 100:
        raise ConfigError(
            f"percentiles is {low:g},{high:g}; it must be two rising numbers between 0 and 100"
        )
