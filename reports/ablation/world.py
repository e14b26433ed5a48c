"""A small world with planted difficulty: samples that are hard to see, questions hard to answer.

A sample is seen as a vector `seen` = clean + noise, where the noise grows with its `clutter`: that
is perceptual difficulty. A question is of one of `KINDS` kinds; the right answer is the largest of
`ANSWERS` scores, which a teacher of that kind gives the clean vector. The policy is a softmax over
answers, of weights that all kinds share plus weights of each kind. It begins nearer to some
teachers than to others: that is reasoning difficulty.

Everything is drawn from the seed's own generator, so that a seed is the same world in every arm,
and however many seeds there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from durian.groups import PERCEPTUAL, perceptual_groups, reasoning_groups

KINDS, WIDTH, ANSWERS = 6, 16, 5
SEEN = (1 + KINDS) * WIDTH
TRAIN, HELD_OUT = 2048, 4096  # samples
SKILL = (0.1, 1.0)  # how much of its teacher the first policy has, of the worst and the best kind


@dataclass(frozen=True)
class Samples:
    """The samples of each seed's world; the first axis is the seed (S)."""

    seen: Tensor  # (S, N, SEEN) as the policy reads it: `places`
    kind: Tensor  # (S, N)
    right: Tensor  # (S, N) the right answer
    clutter: Tensor  # (S, N) 0 to 1
    entropy: Tensor  # (S, N) what is measured of the clutter: with noise

    def at(self, rows: Tensor) -> Samples:
        """Some samples of each world. rows: (S, B)."""
        seed = torch.arange(len(rows))[:, None]
        return Samples(*(values[seed, rows] for values in vars(self).values()))


@dataclass(frozen=True)
class World:
    """What a training begins with, of each seed."""

    train: Samples
    held_out: Samples
    policy: Tensor  # (S, SEEN, ANSWERS) weights


def make_world(seeds: list[int], sharpness: float) -> World:
    """Plant the worlds of some seeds.

    Args:
        sharpness: scale of the first policy's logits: the more, the more samples are always right
            or always wrong.
    """
    made = [_world(seed, sharpness) for seed in seeds]
    train, held_out, policies = zip(*made, strict=True)
    return World(_stacked(train), _stacked(held_out), torch.stack(policies))


def _stacked(worlds: Sequence[Samples]) -> Samples:
    parts = zip(*(vars(samples).values() for samples in worlds), strict=True)
    return Samples(*(torch.stack(part) for part in parts))


def _world(seed: int, sharpness: float) -> tuple[Samples, Samples, Tensor]:
    chance = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance)

    teachers = (normal(1, WIDTH, ANSWERS) + normal(KINDS, WIDTH, ANSWERS)) / WIDTH**0.5
    skill = torch.linspace(*SKILL, KINDS)[:, None, None]
    first = sharpness * (skill * teachers + 0.3 * normal(KINDS, WIDTH, ANSWERS) / WIDTH**0.5)
    shared = first.mean(0, keepdim=True)
    policy = torch.cat([shared, first - shared])

    def samples(count: int) -> Samples:
        clean = normal(count, WIDTH)
        clutter = torch.rand(count, generator=chance)
        kind = torch.randint(KINDS, (count,), generator=chance)
        right = torch.einsum("nd,ndk->nk", clean, teachers[kind]).argmax(1)
        return Samples(
            seen=places(clean + 1.5 * clutter[:, None] * normal(count, WIDTH), kind),
            kind=kind,
            right=right,
            clutter=clutter,
            entropy=clutter + 0.25 * normal(count),
        )

    return samples(TRAIN), samples(HELD_OUT), policy.flatten(0, 1)


def places(seen: Tensor, kind: Tensor) -> Tensor:
    """Repeat a vector: for the weights that all kinds share, and in the place of its own kind.

    Args:
        seen: (N, WIDTH). kind: (N,).
    Returns:
        (N, SEEN); 0 in the other kinds' places.
    """
    hot = torch.nn.functional.one_hot(kind, KINDS).to(seen.dtype)
    own = (hot[:, :, None] * seen[:, None, :]).flatten(1)
    return torch.cat([seen, own], 1)


def log_probs(policy: Tensor, samples: Samples) -> Tensor:
    """Log-probability of each answer. (S, N, ANSWERS)"""
    return torch.matmul(samples.seen, policy).log_softmax(-1)


def draw(log_p: Tensor, uniform: Tensor) -> Tensor:
    """Answers by the inverse of the distribution function: near policies draw near answers.

    Args:
        log_p: (S, N, ANSWERS).
        uniform: (S, N, G), in [0, 1).
    Returns:
        (S, N, G)
    """
    edges = log_p.exp().cumsum(-1)
    return torch.searchsorted(edges, uniform).clamp(max=ANSWERS - 1)


def cut_perceptual(values: Tensor) -> Tensor:
    """Perceptual groups of each seed's samples, by the product's own cuts (eq. 10). (S, N)"""
    number = {label: code for code, label in enumerate(PERCEPTUAL)}
    cut = [perceptual_groups(_array(row), (25, 75), harder="higher").labels for row in values]
    return torch.tensor([[number[str(label)] for label in row] for row in cut])


def cut_reasoning(values: Tensor, bins: int) -> Tensor:
    """Reasoning bins of each seed's samples, by the product's own cuts (eq. 16). (S, N)"""
    cut = [reasoning_groups(_array(row), bins, harder="lower").labels for row in values]
    return torch.tensor([[int(label or 0) for label in row] for row in cut])


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.numpy().astype(np.float64)
