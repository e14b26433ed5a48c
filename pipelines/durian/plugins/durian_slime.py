"""Durian inside slime and miles, through a hook that both document. Nothing is patched.

    --custom-reward-post-process-path durian.plugins.durian_slime.advantages
    --metadata-key metadata      (as `durian export --to slime` writes it)

With the estimators grpo, gspo and cispo what the hook returns is the advantage of every token.
Settings: the environment variables that `rows.Settings` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from durian.plugins.rows import PluginError, Rows, Settings, Teller, row_advantages

ESTIMATORS = ("grpo", "gspo", "cispo")


@cache
def _setup() -> tuple[Settings, Teller]:
    settings, teller = Settings.read(), Teller("slime")
    teller.installed("the reward hook", settings)
    return settings, teller


def advantages(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """The rewards of a rollout batch as they are, and as advantages.

    Args:
        args: slime's arguments.
        samples: its `Sample`s, flat, the whole rollout batch.
    Raises:
        PluginError: another estimator, or metadata without Durian's columns.
    """
    if args.advantage_estimator not in ESTIMATORS:
        raise PluginError(
            f"durian: --advantage-estimator is {args.advantage_estimator}, under which slime would "
            f"change the advantages once more; use one of {', '.join(ESTIMATORS)}"
        )
    settings, teller = _setup()
    raw = [float(sample.get_reward_value(args)) for sample in samples]
    # A sample that slime takes out of the loss must not stand in a group's std either.
    scored = [
        float("nan") if getattr(sample, "remove_sample", False) else reward
        for sample, reward in zip(samples, raw, strict=True)
    ]
    rows = Rows(
        sample=[sample.group_index for sample in samples],
        rewards=torch.tensor(scored, dtype=torch.float64),
        columns=[sample.metadata or {} for sample in samples],
        confidence=_confidence(samples),
    )
    found, metrics = row_advantages(rows, settings, trainer="slime")
    teller.batch(metrics)
    return raw, found.tolist()


def _confidence(samples: Sequence[Any]) -> torch.Tensor | None:
    """Mean log-probability a token of each completion, where the rollout engine gave them."""
    logprobs = [getattr(sample, "rollout_log_probs", None) for sample in samples]
    if all(values is None for values in logprobs):
        return None
    means = [sum(values) / len(values) if values else float("nan") for values in logprobs]
    return torch.tensor(means, dtype=torch.float64)
