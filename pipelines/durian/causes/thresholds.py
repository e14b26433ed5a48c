"""The thresholds of the causes; light, for every config and `--help` read them."""

from __future__ import annotations

from collections.abc import Mapping

from durian.errors import ConfigError

# What each rule compares with, as `--why NAME=VALUE` takes it. Chosen on planted data with one
# seed and held on another: tests/benchmarks/bench_causes.py.
THRESHOLDS: Mapping[str, float] = {
    "doubtful_label": 0.75,  # label_doubt, at least
    "looped": 0.5,  # of its wrong completions, at least
    "cut": 0.5,
    "unformatted": 0.5,
    "solved_blind": 0.625,  # blind_pass_rate, at least
    "solved": 0.875,  # pass_rate, at least
    "steady_wrong": 0.5,  # label_doubt, at least
    "guessed": 0.2,  # probability that the image adds more than `GAIN`, below
}


def asked_thresholds(
    asked: Mapping[str, object] | None, before: Mapping[str, float] | None = None
) -> dict[str, float]:
    """All thresholds, with those that were asked for in place of others.

    Args:
        asked: by name, as an option has them; None for none.
        before: what the others are; None: the defaults.
    Raises:
        ConfigError: there is none of that name, or it is no share.
    """
    found = {**THRESHOLDS, **(before or {})}
    for name, value in (asked or {}).items():
        if name not in THRESHOLDS:
            raise ConfigError(f"why has '{name}'; it must be some of {', '.join(THRESHOLDS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(f"why {name} is '{value}'; it must be a share, 0 to 1")
        found[name] = float(value)
    return found
