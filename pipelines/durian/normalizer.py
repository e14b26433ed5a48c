"""Rewards and groups to advantages (eq. 2, 12-13, 18-20): the heart, pure torch.

Every normalizer centres a reward on its own sample's mean. They differ in what they divide by: the
std of that sample's rewards (GRPO), or of all rewards of its perceptual or its reasoning group
(Durian), or of the batch, or the sample's mean. `NORMALIZERS` lists them all.
A completion that nothing could score is a NaN: it counts nowhere, and its advantage is 0.

Statistics are taken in float64 and on the CPU wherever the rewards are: each process and device
then gets the same numbers to the bit (a GPU sums groups in an order that changes from run to run,
MPS has no float64), and a rollout batch is too small for a GPU to be faster.

Only tensors' own methods are used: `--help` lists the normalizers, and must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
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
    shrink: float = 0.0,
) -> Tensor:
    """Advantages scaled by a weighted mix of three stds: own, perceptual and reasoning group's.

    A = a_own A^GRPO + a_percep A^perceptual + a_reason A^reasoning, where A^perceptual and
    A^reasoning divide by the std (n - 1) of all rewards of all samples in the group.

    Args:
        rewards: shape (B, G), float: B samples, G completions; NaN where unscored.
        perceptual_group: shape (B,), integer, on the same device; equal labels are one group, -1 is
            none: the term is then the sample's own.
        reasoning_group: shape (B,), likewise.
        weights: (a_own, a_percep, a_reason).
        eps: added to every std.
        shrink: how many completions the std of the whole batch counts for in a group's, which is
            then less of a guess where a group has few: 0 leaves it alone, infinity takes the
            batch's. Of the square, (n - 1) parts are the group's and `shrink` the batch's.
    Returns:
        Shape (B, G), dtype and device of `rewards`. Each sample's advantages sum to 0. A sample
        whose rewards spread (std) less than 1e-6 gets exactly 0, and so does a single completion.
    Raises:
        ValueError: wrong shape, dtype or device, an infinite reward, or a label below -1.
    Source: eq. 12-13, 18-20; the paper does not shrink.

    >>> rewards = torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # of two samples, two completions each
    >>> easy, unsure = torch.tensor([0, 0]), torch.tensor([0, 1])
    >>> durian.durian_advantages(rewards, easy, unsure, weights=(0.0, 1.0, 0.0))
    tensor([[ 1.0000, -1.0000],
            [ 0.0000,  0.0000]])
    """
    samples, scales = _scales(rewards, perceptual_group, reasoning_group, eps, shrink)
    (a_own, a_percep, a_reason), (own, perceptual, reasoning) = weights, scales
    mixed = a_own * own + a_percep * perceptual + a_reason * reasoning
    return _scaled(samples, mixed, rewards)


def durian_terms(
    rewards: Tensor,
    perceptual_group: Tensor,
    reasoning_group: Tensor,
    *,
    eps: float = EPS,
    shrink: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms that `durian_advantages` weighs and sums: own, perceptual, reasoning.

    Arguments, shapes and errors as there. Source: eq. 2, 12, 18.
    """
    samples, scales = _scales(rewards, perceptual_group, reasoning_group, eps, shrink)
    own, perceptual, reasoning = (_scaled(samples, scale, rewards) for scale in scales)
    return own, perceptual, reasoning


def grpo_advantages(rewards: Tensor, *, eps: float = EPS) -> Tensor:
    """Scale each sample by the std of its own rewards. Otherwise as `durian_advantages`.

    Source: eq. 2.
    """
    samples = _measure(rewards)
    return _scaled(samples, _inverse(samples.std, eps), rewards)


def dr_grpo_advantages(rewards: Tensor) -> Tensor:
    """Centre each sample and do not scale it, as Dr. GRPO. Otherwise as `durian_advantages`."""
    samples = _measure(rewards)
    return _scaled(samples, samples.count.new_ones(len(rewards)), rewards)


def batch_advantages(rewards: Tensor, *, eps: float = EPS) -> Tensor:
    """Scale all samples by the std of all rewards, as TRL's `scale_rewards="batch"`."""
    samples = _measure(rewards)
    together = samples.count.new_zeros(len(rewards)).long()
    return _scaled(samples, _inverse(_std_by(samples, together, 1)[together], eps), rewards)


def rloo_advantages(rewards: Tensor) -> Tensor:
    """Subtract from each reward its sample's other rewards' mean. Otherwise as `durian_advantages`.

    A_i = r_i - mean_{j != i} r_j = (r_i - mean r) n / (n - 1), over the n scored completions.

    Source: Ahmadian et al., 2024 (arXiv 2402.14740).
    """
    samples = _measure(rewards)
    return _scaled(samples, samples.count / (samples.count - 1).clamp(min=1), rewards)


def maxrl_advantages(rewards: Tensor) -> Tensor:
    """Centre each sample and divide it by its mean reward. Otherwise as `durian_advantages`.

    A_i = (r_i - mean r) / mean r, so that the rarer a right completion is, the more it counts.
    A sample whose mean is below 1e-6 gets exactly 0: nothing is right, or the mean is round-off.

    Source: Tajwar et al., 2026 (arXiv 2602.02710), for rewards of 0 and 1.
    """
    samples = _measure(rewards)
    mean = samples.total / samples.count.clamp(min=1)
    return _scaled(samples, (1 / mean).masked_fill(mean < SPREAD, 0.0), rewards)


class Groups(NamedTuple):
    """Difficulty groups of the samples of one rollout batch; each (B,), integer, -1 is none."""

    perceptual: Tensor
    reasoning: Tensor


class Scaling(NamedTuple):
    """How stds become factors; each normalizer heeds what it has a use for."""

    weights: tuple[float, float, float] = (0.4, 0.3, 0.3)  # own, perceptual, reasoning
    eps: float = EPS
    shrink: float = 0.0  # see `durian_advantages`


@dataclass(frozen=True)
class Normalizer:
    """A way from rewards to advantages, as `durian train --normalizer` calls it by its name."""

    advantages: Callable[[Tensor, Groups, Scaling], Tensor]
    """Rewards (B, G), groups, how they scale -> advantages (B, G)."""
    weighted: bool = False  # it is eq. 20: three terms by the weights, so group sizes matter


NORMALIZERS = {
    "durian": Normalizer(
        lambda r, groups, by: durian_advantages(
            r, *groups, by.weights, eps=by.eps, shrink=by.shrink
        ),
        weighted=True,
    ),
    "grpo": Normalizer(lambda r, groups, by: grpo_advantages(r, eps=by.eps)),
    "dr_grpo": Normalizer(lambda r, groups, by: dr_grpo_advantages(r)),
    "batch": Normalizer(lambda r, groups, by: batch_advantages(r, eps=by.eps)),
    "rloo": Normalizer(lambda r, groups, by: rloo_advantages(r)),
    "maxrl": Normalizer(lambda r, groups, by: maxrl_advantages(r)),
}


def group_spread(rewards: Tensor, group: Tensor) -> dict[int, tuple[float, int]]:
    """Take the std of all rewards of each group: label -> (std, number of its samples).

    Samples in no group (-1), and those with no scored completion, are left out. Arguments as
    `durian_advantages`. Source: eq. 13, 19.
    """
    samples = _measure(rewards)
    label = _labels(group, rewards)
    labels, number = label.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    stds = _std_by(samples, number, len(labels))
    sizes = number[samples.count > 0].bincount(minlength=len(labels))
    rows = zip(labels.tolist(), stds.tolist(), sizes.tolist(), strict=True)
    return {label: (std, size) for label, std, size in rows if label >= 0 and size}


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """The statistics of each sample that all normalizers use, taken once. Float64, on the CPU."""

    centred: Tensor  # (B, G) rewards less their sample's mean; 0 where unscored or without spread
    count: Tensor  # (B,) scored completions
    total: Tensor  # (B,) sum of the rewards
    squares: Tensor  # (B,) sum of the squares of `centred`

    @property
    def std(self) -> Tensor:
        """Std (n - 1) of each sample's own rewards; 0 for a single one. (B,)"""
        return (self.squares / (self.count - 1).clamp(min=1)).sqrt()


def _measure(rewards: Tensor) -> _Samples:
    if rewards.dim() != 2 or not rewards.is_floating_point():
        raise ValueError(
            f"rewards must be a float tensor (B, G), not {rewards.dtype} {tuple(rewards.shape)}"
        )
    wide = rewards.cpu().double()
    unscored = wide.isnan()
    wide = wide.masked_fill(unscored, 0.0)
    total = wide.sum(dim=1)
    if not total.isfinite().all():
        raise ValueError(f"sample {int((~total.isfinite()).nonzero()[0])} has an infinite reward")
    count = rewards.shape[1] - unscored.double().sum(dim=1)
    centred = wide.sub_((total / count.clamp(min=1))[:, None]).masked_fill_(unscored, 0.0)
    raw = _Samples(centred=centred, count=count, total=total, squares=centred.square().sum(dim=1))
    # Equal rewards can miss their mean by round-off, which a group's std would let through.
    flat = raw.std < SPREAD
    return _Samples(
        centred=centred.masked_fill_(flat[:, None], 0.0),
        count=count,
        total=total,
        squares=raw.squares.masked_fill(flat, 0.0),
    )


def _std_by(samples: _Samples, number: Tensor, groups: int, shrink: float = 0.0) -> Tensor:
    """Std (n - 1) of all rewards of each group, within samples and between them. (groups,)

    Args:
        number: (B,) each sample's group, from 0 to groups - 1.
        shrink: completions that the std of the whole batch counts for in each.
    """

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(groups).index_add_(0, number, values)

    # The sum of squares about the group's mean is that about each sample's own mean, which is known
    # already, plus n times the square of how far the sample's mean lies from the group's. So no two
    # large sums are subtracted, as in mean(r^2) - mean(r)^2, which can come out below 0.
    count = summed(samples.count)
    mean = summed(samples.total) / count.clamp(min=1)
    away = samples.total / samples.count.clamp(min=1) - mean[number]
    squares = summed(samples.squares + samples.count * away.square())
    free = (count - 1).clamp(min=0)
    variance = squares / free.clamp(min=1)
    if shrink > 0:
        together = _std_by(samples, number.new_zeros(len(number)), 1)
        own = free / (free + shrink)
        variance = own * variance + (1 - own) * together.square()
    return variance.sqrt()


def _scales(
    rewards: Tensor, perceptual_group: Tensor, reasoning_group: Tensor, eps: float, shrink: float
) -> tuple[_Samples, list[Tensor]]:
    """The factors by which the three terms scale a sample's centred rewards; each (B,)."""
    samples = _measure(rewards)
    scales = [_inverse(samples.std, eps)]
    for group in (perceptual_group, reasoning_group):
        label = _labels(group, rewards)
        labels, number = label.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        # The samples of label -1 go through this as if they were a group, and then take their own
        # std instead: they are in no group, so nothing of theirs may touch that of others.
        shared = _std_by(samples, number, len(labels), shrink)[number]
        scales.append(_inverse(samples.std.where(label < 0, shared), eps))
    return samples, scales


def _inverse(std: Tensor, eps: float) -> Tensor:
    # Without spread there is nothing to learn: 1 / eps would blow round-off up to a million.
    return (1 / (std + eps)).masked_fill(std < SPREAD, 0.0)


def _scaled(samples: _Samples, scale: Tensor, like: Tensor) -> Tensor:
    return (samples.centred * scale[:, None]).to(like.device, like.dtype)


def _labels(group: Tensor, rewards: Tensor) -> Tensor:
    """A group's labels, checked, where the statistics are taken. (B,)"""
    kind = str(group.dtype)
    whole = kind.startswith(("torch.int", "torch.uint"))
    if group.shape != rewards.shape[:1] or not whole or group.device != rewards.device:
        raise ValueError(
            f"a group must be an integer tensor ({len(rewards)},) on {rewards.device}, "
            f"not {kind} {tuple(group.shape)} on {group.device}"
        )
    label = group.cpu().long()
    if (label < -1).any():
        raise ValueError(f"a group's label is {int(label.min())}; it must be -1 or more")
    return label
