"""Which samples the gradient comes from, under each normalizer: in closed form, before training.

A policy gradient weighs a completion's score by its advantage A. The sum of A^2 over a sample's G
completions is therefore what the sample can move, and its share of the same sum over a rollout
batch is its share of the gradient (up to how the scores' own lengths and directions differ).

Of G completions with k right (rewards 1 and 0) the centred squares sum to k (G - k) / G, whatever
the normalizer; it only scales them. k is beta-binomial: what the table saw of a sample, beside the
distribution of pass rates that is fitted to the whole table. The std of a group, or of the batch,
is taken as the table's own, sqrt(m (1 - m)) with m its mean pass rate as it was seen: many samples
know it better than the fitted distribution, which would draw each of them towards the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from durian.analysis.statistics.estimate import Label
from durian.curriculum import prior_of
from durian.groups import Kind

Floats = NDArray[np.float64]
WEIGHTS = (0.4, 0.3, 0.3)  # own, perceptual, reasoning: the training's default
BATCH = 512  # samples of a rollout batch, the paper's
# By the table's pass rate; each ends where the next begins, but for the single values at the ends.
BANDS = ("never right", "up to 25 %", "25 to 75 %", "75 % and more", "always right")


@dataclass(frozen=True, kw_only=True)
class ShareOfGroup:
    """The part of the gradient that comes from the samples of one group."""

    group: Label
    share: float


@dataclass(frozen=True, kw_only=True)
class StdOfGroup:
    """The std of all rewards of one group, by which its samples' rewards are divided."""

    group: Label
    std: float  # of rewards of 0 and 1: at most a half


@dataclass(frozen=True, kw_only=True)
class NormalizerShares:
    """The places that one normalizer's gradient comes from."""

    bands: list[float]  # of the total squared advantage, by band of pass rate; sums to 1
    perceptual: list[ShareOfGroup]
    reasoning: list[ShareOfGroup]
    effective: float  # samples a rollout batch: as many of equal weight would vary as much
    largest: float  # advantage that a completion of this table can get


@dataclass(frozen=True, kw_only=True)
class GradientShares:
    """The samples that each normalizer would learn from, with this table, G and rollout batch."""

    rollouts: int  # G
    rollout_batch: int  # samples
    weights: tuple[float, float, float]  # of Durian's three terms
    bands: list[str]
    samples: list[float]  # share of all samples, by band
    stds: dict[Kind, list[StdOfGroup]]  # of the groups that have samples
    no_variance: float  # share of rollouts that no normalizer learns from: all right or all wrong
    normalizers: dict[str, NormalizerShares]


def gradient_shares(
    right: Floats,
    total: Floats,
    labels: Mapping[Kind, Sequence[Label | None]],
    orders: Mapping[Kind, Sequence[Label]],
) -> GradientShares | None:
    """Tell from a table's pass rates and groups where each normalizer's gradient comes from.

    Args:
        right, total: (N,), a sample's right completions, and all of them, 1 or more.
        labels: by kind, each sample's group; None is in no group, whose term is its own.
        orders: by kind, the groups in order.
    Returns:
        None where G is 1, or all completions are right or all wrong: the table then tells nothing
        of what would have an advantage.
    """
    each = int(np.bincount(total.astype(np.intp)).argmax())
    if each < 2 or not 0 < right.sum() < total.sum():
        return None
    of = {kind: _numbered(labels[kind], orders[kind]) for kind in orders}
    # Samples that the table cannot tell apart have one row between them.
    keys = np.column_stack([right, total, *of.values()])
    rows, place, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    at = {kind: rows[:, 2 + number].astype(np.intp) for number, kind in enumerate(of)}
    a, b = prior_of(right, total - right)
    chance = beta_binomial(each, a + rows[:, 0], b + rows[:, 1] - rows[:, 0])  # (U, G + 1)
    rate = rows[:, 0] / rows[:, 1]  # (U,)
    weight = count / count.sum()
    squares = squared_advantages(each, rate, weight, at)
    band = bands_of(rate)
    size = min(BATCH, len(right))
    found = {}
    for name, (square, largest) in squares.items():
        mean = (chance * square).sum(1)  # (U,)
        parts = weight * mean
        whole = float(parts.sum())
        second = float((weight * (chance * square**2).sum(1)).sum())
        can = (chance > 0) & (square > 0)
        found[name] = NormalizerShares(
            bands=_sums(parts / whole, band, len(BANDS)),
            **{kind: _of_groups(parts / whole, at[kind], orders[kind]) for kind in at},
            effective=size * whole**2 / second,
            largest=float(largest[can].max()),
        )
    return GradientShares(
        rollouts=each,
        rollout_batch=size,
        weights=WEIGHTS,
        bands=list(BANDS),
        samples=_sums(weight, band, len(BANDS)),
        stds={kind: _stds(rate, weight, at[kind], orders[kind]) for kind in at},
        no_variance=float((weight * (chance[:, 0] + chance[:, -1])).sum()),
        normalizers=found,
    )


def beta_binomial(each: int, a: Floats, b: Floats) -> Floats:
    """Probabilities of 0, 1, ... G right completions, the pass rate being Beta(a, b). (U, G + 1)"""
    k = np.arange(each + 1)
    ways = gammaln(each + 1) - gammaln(k + 1) - gammaln(each - k + 1)
    shape = betaln(a[:, None] + k, b[:, None] + each - k) - betaln(a, b)[:, None]
    chance: Floats = np.exp(ways + shape)
    return chance


def squared_advantages(
    each: int, rate: Floats, weight: Floats, groups: Mapping[Kind, NDArray[np.intp]]
) -> dict[str, tuple[Floats, Floats]]:
    """Sum a sample's squared advantages, and find its largest, by how many completions are right.

    Args:
        each: G, 2 or more.
        rate: (U,), pass rates.
        weight: (U,), shares of the samples; sums to 1.
        groups: by kind, the number of a sample's group, -1 for none. (U,)
    Returns:
        Normalizer -> two of shape (U, G + 1); for k right of G.
    """
    k = np.arange(each + 1, dtype=np.float64)
    centred = k * (each - k) / each  # sum of squares about the sample's own mean
    furthest = np.where(centred > 0, np.maximum(k, each - k) / each, 0.0)
    own = np.sqrt(centred / (each - 1))
    with np.errstate(divide="ignore"):
        by_own = np.where(own > 0, 1 / own, 0.0)
        by_mean = np.where(k > 0, each / k, 0.0)
    everywhere = np.zeros(len(rate), np.intp)
    terms = [
        np.where(groups[kind][:, None] < 0, by_own, _inverse_std(rate, weight, groups[kind]))
        for kind in ("perceptual", "reasoning")
    ]
    scales = {
        "durian": WEIGHTS[0] * by_own + WEIGHTS[1] * terms[0] + WEIGHTS[2] * terms[1],
        "grpo": by_own,
        "dr_grpo": np.ones(1),
        "batch": _inverse_std(rate, weight, everywhere),
        "rloo": np.array([each / (each - 1)]),
        "maxrl": by_mean,
    }
    shape = (len(rate), each + 1)
    return {
        name: (
            np.broadcast_to(centred * scale**2, shape),
            np.broadcast_to(furthest * scale, shape),
        )
        for name, scale in scales.items()
    }


def _inverse_std(rate: Floats, weight: Floats, group: NDArray[np.intp]) -> Floats:
    """One over the std of all rewards of a sample's group, 0 where they have none. (U, 1)"""
    std, _ = _std_of(rate, weight, group)
    each = std[np.where(group < 0, 0, group)][:, None]
    inverse: Floats = np.where(each > 0, 1 / np.where(each > 0, each, 1), 0.0)
    return inverse


def _std_of(rate: Floats, weight: Floats, group: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Std of the rewards of groups 0, 1, ..., and each group's weight. (groups,), (groups,)"""
    number = np.where(group < 0, 0, group)
    held = np.where(group < 0, 0.0, weight)
    size: Floats = np.bincount(number, held).astype(np.float64)
    mean = np.bincount(number, held * rate) / np.where(size > 0, size, 1)
    return np.sqrt(np.clip(mean * (1 - mean), 0, None)), size


def _stds(
    rate: Floats, weight: Floats, group: NDArray[np.intp], order: Sequence[Label]
) -> list[StdOfGroup]:
    std, size = _std_of(rate, weight, group)
    return [
        StdOfGroup(group=order[number], std=float(std[number]))
        for number in range(len(std))
        if size[number] > 0
    ]


def bands_of(rate: Floats) -> NDArray[np.intp]:
    """Place pass rates in their bands. (N,)"""
    return np.select([rate <= 0, rate <= 0.25, rate < 0.75, rate < 1], [0, 1, 2, 3], 4)


def _numbered(labels: Sequence[Label | None], order: Sequence[Label]) -> NDArray[np.intp]:
    number = {label: place for place, label in enumerate(order)}
    return np.array([-1 if label is None else number[label] for label in labels], np.intp)


def _sums(parts: Floats, place: NDArray[np.intp], places: int) -> list[float]:
    return [float(part) for part in np.bincount(place, parts, places)]


def _of_groups(
    parts: Floats, group: NDArray[np.intp], order: Sequence[Label]
) -> list[ShareOfGroup]:
    if not (group >= 0).any():
        return []
    sums = _sums(np.where(group < 0, 0, parts), np.where(group < 0, 0, group), len(order))
    return [ShareOfGroup(group=name, share=s) for name, s in zip(order, sums, strict=True)]
