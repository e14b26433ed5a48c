"""Turn a rollout batch into the numbers that training logs of its groups.

A number that the batch cannot give (no scored completion, no group, nothing to rank) is left out,
never NaN: one NaN spoils the mean that a trainer logs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from torch import Tensor

from durian.groups import PERCEPTUAL, reasoning_groups
from durian.normalizer import SPREAD, group_spread


def batch_metrics(
    *,
    rewards: Tensor,
    correct: Tensor,
    terms: tuple[Tensor, Tensor, Tensor] | None,
    weights: tuple[float, float, float],
    advantages: Tensor,
    perceptual_group: Tensor,
    reasoning_group: Tensor,
    perceptual_names: Sequence[str] = PERCEPTUAL,
) -> dict[str, float]:
    """Numbers that say how the groups of one rollout batch scale its advantages.

    Keys, each under `durian/`:
        no_variance: share of samples whose rewards spread (std) less than 1e-6.
        extreme: share of samples with exactly 1 completion right, or all but 1, of 3 or more.
        std/perceptual_easy, size/reasoning_0, ...: std of a group's rewards (eq. 13, 19), before
            any shrinking, and its number of samples.
        largest_advantage: by magnitude.
        share/own, share/perceptual, share/reasoning: a weighted term's part of the three's sum of
            magnitudes.

    Samples without a scored completion (reward NaN) are no part of any share or size.

    Args:
        rewards: shape (B, G); NaN where unscored.
        correct: shape (B, G), bool.
        terms: three of shape (B, G), unweighted, as `durian_terms`; None where the normalizer mixes
            none, and then none has a share.
        advantages: shape (B, G), those that train the policy.
        perceptual_group, reasoning_group: shape (B,); -1 is in none.
        perceptual_names: of perceptual groups 0, 1, ...
    """
    metrics = _shares_of_samples(rewards, correct)
    for label, (std, size) in group_spread(rewards, perceptual_group).items():
        metrics[f"durian/std/perceptual_{perceptual_names[label]}"] = std
        metrics[f"durian/size/perceptual_{perceptual_names[label]}"] = float(size)
    for label, (std, size) in group_spread(rewards, reasoning_group).items():
        metrics[f"durian/std/reasoning_{label}"] = std
        metrics[f"durian/size/reasoning_{label}"] = float(size)
    if advantages.numel():
        metrics["durian/largest_advantage"] = float(advantages.abs().max())
    return metrics | (_shares_of_terms(terms, weights) if terms else {})


def drift(
    stored: NDArray[np.floating], current: NDArray[np.floating], bins: int | None
) -> dict[str, float]:
    """Tell how stale offline reasoning groups are, over the samples of one rollout batch.

    Keys, each under `durian/drift/`:
        kendall_tau: Kendall's tau-b between stored and current confidence; 1 is the same order.
        changed_bin: share of samples whose bin differs when each is cut over these samples.

    Empty where fewer than 2 samples have both, or where either is constant.

    Args:
        stored, current: shape (N,), confidence when profiled and now; lower is harder, the units
            may differ; NaN where missing.
        bins: reasoning groups that are asked for; None where bins cannot be compared.
    """
    known = np.isfinite(stored) & np.isfinite(current)
    before, now = stored[known].astype(np.float64), current[known].astype(np.float64)
    if len(before) < 2 or np.ptp(before) == 0 or np.ptp(now) == 0:
        return {}
    # An exact p-value, scipy's default, is slow and of no use here; the other one divides by n - 2.
    method = "asymptotic" if len(before) > 2 else "exact"
    tau = float(kendalltau(before, now, method=method).statistic)
    if bins is None:
        return {"durian/drift/kendall_tau": tau}
    bins_then, bins_now = (np.array(reasoning_groups(x, bins).labels) for x in (before, now))
    return {
        "durian/drift/kendall_tau": tau,
        "durian/drift/changed_bin": float(np.mean(bins_then != bins_now)),
    }


def _shares_of_samples(rewards: Tensor, correct: Tensor) -> dict[str, float]:
    # Each sample as a group of its own: the std is then the normalizer's own, with its rule for
    # round-off and for what nobody scored.
    each = torch.arange(len(rewards), device=rewards.device)
    stds = [std for std, _ in group_spread(rewards, each).values()]
    if not stds:
        return {}
    scored = ~rewards.isnan()
    count, right = scored.sum(dim=1), (correct.bool() & scored).sum(dim=1)
    # Of two, one right is an even split.
    extreme = (count > 2) & ((right == 1) | (right == count - 1))
    return {
        "durian/no_variance": sum(std < SPREAD for std in stds) / len(stds),
        "durian/extreme": int(extreme.sum()) / len(stds),
    }


def _shares_of_terms(
    terms: tuple[Tensor, Tensor, Tensor], weights: tuple[float, float, float]
) -> dict[str, float]:
    sizes = [
        abs(w) * float(t.to("cpu", torch.float64).abs().sum())
        for w, t in zip(weights, terms, strict=True)
    ]
    names = ("own", "perceptual", "reasoning")
    whole = sum(sizes)
    return {
        f"durian/share/{name}": size / whole
        for name, size in zip(names, sizes, strict=True)
        if whole
    }
