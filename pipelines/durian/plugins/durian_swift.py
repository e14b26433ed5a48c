"""Durian inside ms-swift 4: `--external_plugins $(python -m durian.plugins.path swift)`.

ms-swift's `GRPOTrainer._compute_advantages` is called as it is, so that it logs as ever, and its
result is replaced. Importing this file installs the plug-in, since ms-swift imports the file and
calls nothing of it. Settings: the environment variables that `rows.Settings` names.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from durian.plugins.rows import (
    COLUMNS,
    SAMPLE_ID,
    PluginError,
    Rows,
    Settings,
    Teller,
    mean_logprob,
    row_advantages,
)

SIGNATURE = ["rewards_per_func", "batch_encoded_inputs"]  # its 3rd and 4th parameter, since 4.0


def wrapped(
    original: Callable[..., Tensor],
    settings: Settings,
    teller: Teller,
    gather_objects: Callable[[list[Any]], list[Any]],
) -> Callable[..., Tensor]:
    """`_compute_advantages`, its result replaced by Durian's advantages.

    Args:
        gather_objects: lists of all processes, joined in their order; rewards come gathered.
    Raises:
        PluginError: its signature is not one that is known.
    """
    found = list(inspect.signature(original).parameters)
    if found[2:4] != SIGNATURE:
        raise PluginError(
            f"durian: this ms-swift's GRPOTrainer._compute_advantages takes {', '.join(found)}; "
            "use ms-swift 4"
        )

    @functools.wraps(original)
    def _compute_advantages(
        self: Any,
        samples: Sequence[Any],
        rewards_per_func: Tensor,
        batches: list[dict[str, Any]],
    ) -> Tensor:
        _check_arguments(self)
        theirs = original(self, samples, rewards_per_func, batches)  # it logs
        rows = _rows(self, samples, rewards_per_func, batches, settings, gather_objects)
        ours, metrics = row_advantages(rows, settings, trainer="swift")
        if ours.shape != theirs.shape:
            raise PluginError(
                f"durian: ms-swift computed {len(theirs)} advantages of {len(ours)} completions, "
                "as it does with multi-turn or dynamic samples; leave those off"
            )
        if getattr(getattr(self, "accelerator", None), "is_main_process", True):
            teller.batch(metrics, settings)
        # Into ms-swift's own log, beside its rewards.
        kept = self._metrics["train" if self.model.training else "eval"]
        for name, value in metrics.items():
            kept[name].append(value)
        return ours.to(theirs)

    return _compute_advantages


def _check_arguments(trainer: Any) -> None:
    estimator = getattr(trainer, "advantage_estimator", "grpo")
    if estimator != "grpo":
        raise PluginError(f"durian: --advantage_estimator is {estimator}; leave it grpo")
    if getattr(trainer, "scale_rewards", None) == "gdpo":
        raise PluginError(
            "durian: --scale_rewards is gdpo, which Durian would replace; leave it out"
        )
    if getattr(trainer, "kl_in_reward", False) and getattr(trainer, "beta", 0.0) != 0.0:
        raise PluginError(
            "durian: --kl_in_reward with beta takes the KL from the rewards inside ms-swift, where "
            "Durian's would lack it; use the KL in the loss (--kl_in_reward false)"
        )


def _rows(
    trainer: Any,
    samples: Sequence[Any],
    rewards_per_func: Tensor,
    batches: Sequence[Mapping[str, Any]],
    settings: Settings,
    gather_objects: Callable[[list[Any]], list[Any]],
) -> Rows:
    # Until 4.3 a sample is a dict with the columns in it; since 4.4 they are in `extra`.
    local = [getattr(sample, "extra", sample) for sample in samples]
    mine = [{name: row[name] for name in COLUMNS if name in row} for row in local]
    confidence = _confidence(batches) if settings.online else None
    gathered = gather_objects(
        [(row, None if confidence is None else confidence[at]) for at, row in enumerate(mine)]
    )
    columns = [row for row, _ in gathered]
    # ms-swift tells prompts apart by their messages, images left out: two questions of one wording
    # over two images would be one sample to it.
    keys = [row.get(SAMPLE_ID) for row in columns]
    if any(key is None for key in keys):
        raise PluginError(
            f"durian: the data has no column {SAMPLE_ID!r}; "
            "write it by `durian export RUN --to swift`"
        )
    # A reward function that has nothing to say of a completion gives NaN and is left out of its
    # sum. Only a completion that none of them scored is unscored: as a 0 it would be a wrong
    # answer.
    weighed = rewards_per_func * trainer.reward_weights.unsqueeze(0)
    rewards = weighed.nansum(dim=1).masked_fill(weighed.isnan().all(dim=1), torch.nan)
    known = [value for _, value in gathered if value is not None]
    return Rows(
        sample=keys,
        rewards=rewards,
        columns=columns,
        confidence=torch.tensor(known, dtype=torch.float64) if len(known) == len(keys) else None,
    )


def _confidence(batches: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """Mean log-probability a token of each of this process's completions; None: not computed."""
    found: list[float] = []
    for encoded in batches:
        batch = encoded["grpo_batch"]
        if batch.old_per_token_logps is None:
            return None
        found += mean_logprob(batch.old_per_token_logps, batch.completion_mask).tolist()
    return found


def _reward(args: Any = None, **_: Any) -> Any:
    """Durian's reward; imported when asked for, since it needs more than torch."""
    from durian.rewards import SwiftReward

    return SwiftReward(args)


def install() -> None:
    """Wrap ms-swift's trainer, once a process, and name Durian's reward `durian`.

    Raises:
        PluginError: another version, or a back end that computes advantages elsewhere.
    """
    # By what is loaded, not by the command: a worker of its Ray back end has no command of its own.
    if any(name in sys.modules for name in ("swift.megatron", "swift.ray.megatron")):
        raise PluginError(
            "durian: ms-swift's Megatron and Ray back ends compute advantages elsewhere; use "
            "`swift rlhf`"
        )
    from accelerate.utils import gather_object
    from swift.rewards import orms
    from swift.rlhf_trainers import grpo_trainer

    trainer = grpo_trainer.GRPOTrainer
    if getattr(trainer, "__durian__", False):
        return
    settings, teller = Settings.read(), Teller("swift")
    trainer._compute_advantages = wrapped(
        trainer._compute_advantages, settings, teller, gather_object
    )
    trainer.__durian__ = True
    teller.installed("GRPOTrainer._compute_advantages")
    orms.setdefault("durian", _reward)


if not __name__.startswith("durian."):  # imported by ms-swift, which knows it by its file
    install()
