"""Rewards and groups to advantages (eq. 2, 12-13, 18-20): the heart, pure torch.

Each term centres a reward on its own sample's mean. They differ in what they divide by: the std of
that sample's rewards (GRPO), or of all rewards of its perceptual or its reasoning group (Durian).
A completion that nothing could score is a NaN: it counts nowhere, and its advantage is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 1e-6  # a smaller std is round-off: rewards like 0.1, 0.35, 0.9 are not exact in binary
EPS = 1e-6  # added to every std


def durian_advantages(
    rewards: Tensor,
    perceptual_group: Tensor,
    reasoning_group: Tensor,
    weights: tuple[float, float, float] = (0.4, 0.3, 0.3),
    *,
    eps: float = EPS,
) -> Tensor:
    """Advantages scaled by a weighted mix of three stds: own, perceptual and reasoning group's.

    A = a_own A^GRPO + a_percep A^perceptual + a_reason A^reasoning, where A^perceptual and
    A^reasoning divide by the std (n - 1) of all rewards of all samples in the group.

    Args:
        rewards: shape (B, G), float: B samples, G completions; NaN where unscored.
        perceptual_group: shape (B,), integer; equal labels are one group, -1 is none, and the term
            is then the sample's own.
        reasoning_group: shape (B,), likewise.
        weights: (a_own, a_percep, a_reason).
        eps: added to every std.
    Returns:
        Shape (B, G), dtype and device of `rewards`. Each sample's advantages sum to 0. Where a std
        is below 1e-6 they are exactly 0.
    Raises:
        ValueError: wrong shape or dtype, an infinite reward, or a label below -1.
    Source: eq. 12-13, 18-20.
    """
    terms = durian_terms(rewards, perceptual_group, reasoning_group, eps=eps, exact=True)
    mixed = sum((w * term for w, term in zip(weights, terms, strict=True)), terms[0].new_zeros(()))
    return mixed.to(rewards.dtype)


def durian_terms(
    rewards: Tensor,
    perceptual_group: Tensor,
    reasoning_group: Tensor,
    *,
    eps: float = EPS,
    exact: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms of `durian_advantages`, unweighted: own, perceptual, reasoning.

    Args:
        exact: leave them in the dtype of the statistics, float64 where the device has it.
    Returns:
        Three tensors of shape (B, G).
    """
    _check_groups(rewards, perceptual_group, reasoning_group)
    centred, wide = _centred(rewards)
    groups = (_alone(wide), _or_alone(perceptual_group), _or_alone(reasoning_group))
    own, perceptual, reasoning = (
        _scaled(centred, _group_std(wide, group), eps).to(wide.dtype if exact else rewards.dtype)
        for group in groups
    )
    return own, perceptual, reasoning


def grpo_advantages(rewards: Tensor, *, eps: float = EPS) -> Tensor:
    """Each sample scaled by the std of its own rewards (eq. 2). Shapes as `durian_advantages`."""
    centred, wide = _centred(rewards)
    return _scaled(centred, _group_std(wide, _alone(wide)), eps).to(rewards.dtype)


def dr_grpo_advantages(rewards: Tensor) -> Tensor:
    """Each sample centred and not scaled, as Dr. GRPO. Shapes as `durian_advantages`."""
    return _centred(rewards)[0].to(rewards.dtype)


def batch_advantages(rewards: Tensor, *, eps: float = EPS) -> Tensor:
    """All samples scaled by the std of all rewards, as TRL's `scale_rewards="batch"`."""
    centred, wide = _centred(rewards)
    together = torch.zeros(len(wide), dtype=torch.long, device=wide.device)
    return _scaled(centred, _group_std(wide, together), eps).to(rewards.dtype)


def group_spread(rewards: Tensor, group: Tensor) -> dict[int, tuple[float, int]]:
    """What each group shares: label -> (std of its rewards, number of its samples).

    Samples in no group (-1) are left out. Shapes as `durian_advantages`.
    """
    _check_groups(rewards, group)
    _, wide = _centred(rewards)
    inside = group >= 0
    labels, inverse, sizes = group[inside].unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    stds = _std_of(wide[inside], inverse, len(labels))
    rows = zip(labels.tolist(), stds.tolist(), sizes.tolist(), strict=True)
    return {label: (std, size) for label, std, size in rows}


def _centred(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards less their sample's mean, and the rewards, both in the dtype of the statistics."""
    if rewards.dim() != 2 or not rewards.is_floating_point():
        raise ValueError(
            f"rewards must be a float tensor (B, G), not {rewards.dtype} {tuple(rewards.shape)}"
        )
    wide = rewards.to(torch.float32 if rewards.device.type == "mps" else torch.float64)
    if wide.isinf().any():
        raise ValueError("a reward is infinite")
    scored = ~wide.isnan()
    mean = wide.nansum(dim=1) / scored.sum(dim=1).clamp(min=1)
    centred = torch.where(scored, wide - mean[:, None], 0.0)
    # Equal rewards can miss their mean by round-off, which a group's small std would show.
    flat = centred.abs().amax(dim=1) < SPREAD if wide.numel() else centred.new_ones(len(wide))
    return torch.where(flat.bool()[:, None], 0.0, centred), wide


def _group_std(wide: Tensor, group: Tensor) -> Tensor:
    """The std of each sample's group. (B,)"""
    labels, inverse = group.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    return _std_of(wide, inverse, len(labels))[inverse]


def _std_of(wide: Tensor, number: Tensor, groups: int) -> Tensor:
    """Std (n - 1) of the scored rewards in groups numbered 0 to groups - 1. (groups,)"""
    scored = ~wide.isnan()
    zeros = wide.new_zeros(groups)
    count = zeros.index_add(0, number, scored.sum(dim=1).to(wide.dtype))
    mean = zeros.index_add(0, number, wide.nansum(dim=1)) / count.clamp(min=1)
    squares = torch.where(scored, wide - mean[number][:, None], 0.0).square().sum(dim=1)
    return (zeros.index_add(0, number, squares) / (count - 1).clamp(min=1)).sqrt()


def _scaled(centred: Tensor, std: Tensor, eps: float) -> Tensor:
    usable = (std >= SPREAD)[:, None]
    return torch.where(usable, centred / (std + eps).clamp(min=SPREAD)[:, None], 0.0)


def _alone(wide: Tensor) -> Tensor:
    return torch.arange(len(wide), device=wide.device)


def _or_alone(group: Tensor) -> Tensor:
    """Labels with each sample that is in no group put into one of its own."""
    fresh = torch.arange(len(group), device=group.device)
    above = group.max() + 1 if len(group) else 0
    return torch.where(group < 0, above + fresh, group.long())


def _check_groups(rewards: Tensor, *groups: Tensor) -> None:
    for group in groups:
        whole = not group.is_floating_point() and group.dtype != torch.bool
        if group.dim() != 1 or not whole or len(group) != len(rewards):
            raise ValueError(
                f"a group must be an integer tensor ({len(rewards)},), "
                f"not {group.dtype} {tuple(group.shape)}"
            )
        if len(group) and int(group.min()) < -1:
            raise ValueError(f"a group's label is {int(group.min())}; it must be -1 or more")
