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

from durian.plugins.rows import (
    PluginError,
    Rows,
    Settings,
    Teller,
    mean_logprob,
    row_advantages,
)

ESTIMATORS = ("grpo", "gspo", "cispo")


@cache
def _setup() -> tuple[Settings, Teller]:
    settings, teller = Settings.read(), Teller("slime")
    teller.installed("the reward hook")
    return settings, teller


def advantages(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """The rewards of a rollout batch as they are, and as advantages.

    Args:
        args: slime's arguments.
        samples: its `Sample`s, flat, the whole rollout batch.
    Raises:
        PluginError: another estimator, advantages that slime would whiten once more, samples that
            belong to no prompt, or metadata without Durian's columns.
    """
    if args.advantage_estimator not in ESTIMATORS:
        raise PluginError(
            f"durian: --advantage-estimator is {args.advantage_estimator}, under which slime would "
            f"change the advantages once more; use one of {', '.join(ESTIMATORS)}"
        )
    if getattr(args, "normalize_advantages", False):
        raise PluginError(
            "durian: --normalize-advantages would scale Durian's advantages once more; leave it out"
        )
    if any(sample.group_index is None for sample in samples):
        raise PluginError(
            "durian: a sample has no group_index, so that its prompt is not known; let the rollout "
            "function copy it from the sample that slime hands out"
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
        confidence=_confidence(samples) if settings.online else None,
        judged=_last_siblings(samples),
    )
    found, metrics = row_advantages(rows, settings, trainer="slime")
    teller.batch(metrics, settings)
    return raw, found.tolist()


def _last_siblings(samples: Sequence[Any]) -> list[int]:
    """Find, for each sample, the last one cut of the same rollout, whose reward serves all."""
    keys = [
        row if (rollout := getattr(sample, "rollout_id", None)) is None else ("rollout", rollout)
        for row, sample in enumerate(samples)
    ]
    last = {key: row for row, key in enumerate(keys)}
    return [last[key] for key in keys]


def _confidence(samples: Sequence[Any]) -> torch.Tensor | None:
    """Mean log-probability a token of each completion, where the rollout engine gave them."""
    means = []
    for sample in samples:
        logprobs = getattr(sample, "rollout_log_probs", None)
        if logprobs is None:
            return None
        mask = getattr(sample, "loss_mask", None)  # 0 at what a tool said, not the policy
        own = torch.tensor([logprobs], dtype=torch.float64)
        kept = torch.ones_like(own) if mask is None else torch.tensor([mask])
        means.append(mean_logprob(own, kept))
    return torch.cat(means)
