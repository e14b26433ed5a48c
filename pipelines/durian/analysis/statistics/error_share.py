"""Errors by group: a group's part of all wrong completions, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.bootstrap import Resampled, resample, with_interval
from durian.analysis.statistics.estimate import Estimate, Label

Floats = NDArray[np.float64]
Clusters = NDArray[np.integer[Any]] | None  # (N,), as `bootstrap.resampled_weights` takes them


@dataclass(frozen=True, kw_only=True)
class ErrorsOfGroup:
    """Counts of one group's completions and errors, with their shares."""

    group: Label
    samples: int
    completions: int
    errors: int
    error_share: Estimate  # part of all errors
    error_rate: Estimate  # wrong completions within the group


class GroupErrors:
    """Wrong and all completions of each of K groups, as one statistic: (b, N) to (b, 2 K)."""

    def __init__(
        self,
        labels: Sequence[Label | None],
        order: Sequence[Label],
        wrong: Floats,
        total: Floats,
        clusters: Clusters = None,
    ) -> None:
        """Sort the samples into their groups.

        Args:
            labels: (N,), the group of each sample; None, or not in `order`: in no group.
            order: the K groups.
            wrong, total: (N,), a sample's wrong completions, and all of them.
        """
        self.order = order
        codes: dict[Label | None, int] = {group: code for code, group in enumerate(order)}
        code = np.array([codes.get(label, -1) for label in labels], np.intp)
        self.label = code  # (N,), -1 for no group
        self._index = np.flatnonzero(code >= 0)
        self._index = self._index[np.argsort(code[self._index], kind="stable")]
        placed = code[self._index]
        self.samples = np.bincount(placed, minlength=len(order))
        self._filled = np.flatnonzero(self.samples)
        # Samples of one group stand together, so that a resample's sums are one `reduceat`. It
        # cannot take an empty group (it would give the next one's first value), hence only those
        # that are filled.
        self._starts = np.searchsorted(placed, self._filled)
        self._wrong, self._total = wrong[self._index], total[self._index]
        self.errors, self.completions = (
            np.bincount(placed, weights=counts, minlength=len(order))
            for counts in (self._wrong, self._total)
        )
        # What the resamples draw: it says how much each group is known by.
        own = self._index if clusters is None else clusters[self._index]
        pairs = np.unique(np.stack([placed, own]), axis=1)
        self.clusters = np.bincount(pairs[0], minlength=len(order))

    def __call__(self, weights: Floats) -> Floats:
        """Errors of each group, then completions of each."""
        k, counts = len(self.order), np.zeros((len(weights), 2 * len(self.order)))
        if not len(self._index):
            return counts
        w = np.take(weights, self._index, axis=1)
        for first, per_sample in ((0, self._wrong), (k, self._total)):
            counts[:, first + self._filled] = np.add.reduceat(w * per_sample, self._starts, axis=1)
        return counts

    def rates(self, resampled: Resampled) -> Floats:
        """Error rate of each group, drawn again, (B, K); NaN where it is then empty."""
        k = len(self.order)
        with np.errstate(invalid="ignore"):
            rates: Floats = resampled.draws[:, :k] / resampled.draws[:, k:]
        return rates

    def rows(self, resampled: Resampled) -> list[ErrorsOfGroup]:
        """One entry a group, as `errors_by_group` gives them."""
        k = len(self.order)
        errors, completions = resampled.value[:k], resampled.value[k:]
        drawn = resampled.draws[:, :k]
        with np.errstate(invalid="ignore"):  # no error at all: NaN
            shares = drawn / drawn.sum(axis=1, keepdims=True)
        rates = self.rates(resampled)
        return [
            ErrorsOfGroup(
                group=group,
                samples=int(self.samples[i]),
                completions=int(self.completions[i]),
                errors=int(self.errors[i]),
                error_share=with_interval(errors[i] / errors.sum(), shares[:, i])
                if errors.any()
                else Estimate(value=None, reason="nothing is wrong"),
                error_rate=rate_estimate(errors[i], completions[i], self.clusters[i], rates[:, i]),
            )
            for i, group in enumerate(self.order)
        ]

    def contrast(self, resampled: Resampled, hard: Label, easy: Label) -> Estimate:
        """Error rate of one group less that of another, on the same resamples."""
        value, rates = resampled.value, self.rates(resampled)
        k = len(self.order)
        hard_at, easy_at = self.order.index(hard), self.order.index(easy)
        empty = [group for group, i in ((hard, hard_at), (easy, easy_at)) if not value[k + i]]
        if empty:
            return Estimate(value=None, reason=f"group {empty[0]} is empty")
        now = [value[i] / value[k + i] for i in (hard_at, easy_at)]
        return with_interval(now[0] - now[1], rates[:, hard_at] - rates[:, easy_at])


def error_rate(wrong: Floats, total: Floats, *, seed: int, clusters: Clusters = None) -> Estimate:
    """Share of wrong completions, with its interval.

    Args:
        wrong, total: shape (N,): a sample's wrong completions, and all of them.
    """
    whole = GroupErrors([0] * len(wrong), [0], wrong, total, clusters)
    drawn = resample({0: whole}, len(wrong), seed=seed, clusters=clusters)[0]
    return whole.rows(drawn)[0].error_rate


def errors_by_group(
    labels: Sequence[Label | None],
    order: Sequence[Label],
    wrong: Floats,
    total: Floats,
    *,
    seed: int,
    clusters: Clusters = None,
) -> list[ErrorsOfGroup]:
    """One entry a group, in `order`: counts, error share and error rate with intervals.

    The error share is the group's part of all wrong completions of grouped samples (the paper's
    tables 5 and 6); the error rate is wrong over all completions within the group. Samples in no
    group (None) are left out.

    Args:
        labels: (N,), the group of each sample.
        wrong, total: (N,), a sample's wrong completions, and all of them.
    """
    groups = GroupErrors(labels, order, wrong, total, clusters)
    if not len(wrong):
        return groups.rows(Resampled(np.zeros(2 * len(order)), np.zeros((0, 2 * len(order)))))
    return groups.rows(resample({0: groups}, len(wrong), seed=seed, clusters=clusters)[0])


def rate_estimate(errors: float, completions: float, trials: float, draws: Floats) -> Estimate:
    """An error rate; where nothing or all is wrong, resamples cannot show how sure that is.

    The bound is then Clopper and Pearson's with each cluster as one trial, "has an error": it holds
    however alike the completions of a cluster are.
    """
    if not completions:
        return Estimate(value=None, reason="the group is empty")
    margin = float(1 - 0.025 ** (1 / trials))
    if errors == 0:
        return Estimate(value=0.0, low=0.0, high=margin)
    if errors == completions:
        return Estimate(value=1.0, low=1 - margin, high=1.0)
    return with_interval(errors / completions, draws)
