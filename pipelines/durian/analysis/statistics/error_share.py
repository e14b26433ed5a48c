"""Errors by group: a group's part of all wrong completions, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate, Label
from durian.analysis.statistics.shares import share, shares

EMPTY = "the group is empty"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ErrorsOfGroup:
    """Counts of one group's completions and errors, with their shares."""

    group: Label
    samples: int
    completions: int
    errors: int
    error_share: Estimate  # part of all errors
    error_rate: Estimate  # wrong completions within the group


def error_rate(wrong: Floats, total: Floats, clusters: Clusters) -> Estimate:
    """Share of wrong completions, with its interval.

    Args:
        wrong, total: shape (N,): a sample's wrong completions, and all of them.
    """
    return share(wrong, total, clusters, empty="there are no completions")


def errors_by_group(
    labels: Sequence[Label | None],
    order: Sequence[Label],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> list[ErrorsOfGroup]:
    """One entry a group, in `order`: counts, error share and error rate with intervals.

    The error share is the group's part of all wrong completions of grouped samples (the paper's
    tables 5 and 6); the error rate is wrong over all completions within the group. Samples in no
    group (None) are left out.

    Args:
        labels: (N,), the group of each sample.
        wrong, total: (N,), a sample's wrong completions, and all of them.
    """
    k, code = len(order), group_codes(labels, order)
    wrongs, totals = (clusters.table(code, counts, k) for counts in (wrong, total))
    rates, parts = shares(wrongs, totals), shares(wrongs, wrongs.sum(axis=1, keepdims=True))
    samples = np.bincount(code[code >= 0], minlength=k)
    return [
        ErrorsOfGroup(
            group=group,
            samples=int(samples[i]),
            completions=int(totals[:, i].sum()),
            errors=int(wrongs[:, i].sum()),
            error_share=parts.estimate(clusters, i, empty="nothing is wrong"),
            error_rate=rates.estimate(clusters, i, empty=EMPTY),
        )
        for i, group in enumerate(order)
    ]


def contrast(
    labels: Sequence[Label | None],
    hard: Label,
    easy: Label,
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> Estimate:
    """Error rate of one group less that of another; args as `errors_by_group`."""
    code = group_codes(labels, (hard, easy))
    for group, number in ((hard, 0), (easy, 1)):
        if not total[code == number].any():
            return Estimate(value=None, reason=f"group {group} is empty")
    wrongs, totals = (clusters.table(code, counts, 2) for counts in (wrong, total))
    return shares(wrongs, totals).difference(clusters)


def group_codes(labels: Sequence[Label | None], order: Sequence[Label]) -> NDArray[np.intp]:
    """The place of each label in the order, (N,); -1 for one that is not in it."""
    codes: dict[Label | None, int] = {group: code for code, group in enumerate(order)}
    return np.array([codes.get(label, -1) for label in labels], np.intp)
