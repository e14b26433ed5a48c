"""Accuracy of a policy, and whether another is right more often: rates, intervals, tests.

A cluster is the unit throughout: a sample with its rollouts or, where images repeat, all samples of
an image; two policies meet sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from durian.analysis.evaluation import (
    Accuracy,
    GreedyDifference,
    GroupAccuracy,
    GroupDifference,
    PassAt,
    Rates,
    SampledDifference,
)
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate, Label
from durian.analysis.statistics.shares import Z, paired_difference, share
from durian.groups import Kind

FLIPS = 10_000
FLIPPED = "sign-flip permutation of {}s"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The right, formatted and cut completions of a policy by sample; arrays (N,), N >= 1."""

    completions: int  # of each sample
    right: Floats  # how many of them are right
    formatted: Floats  # share in the asked format; NaN where the reward does not judge it
    tokens: Floats  # mean completion length
    truncated: Floats  # share cut by max-tokens

    def among(self, member: NDArray[np.bool_]) -> Judged:
        """The same of some samples. `member`: (N,)."""
        of_samples = ("right", "formatted", "tokens", "truncated")
        return replace(self, **{name: getattr(self, name)[member] for name in of_samples})

    @property
    def total(self) -> Floats:
        """Completions of each sample, as an array."""
        return np.full(len(self.right), float(self.completions))


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share, `right` of `n` >= 1 independent trials.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    1927.
    """
    share, z2 = right / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the bound is the end itself; round-off would miss it.
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)


def accuracy(right: Floats, total: Floats, clusters: Clusters) -> Accuracy:
    """Share of right completions with its 95 % interval.

    One completion a cluster: Wilson's interval. More: Korn and Graubard's over clusters. Fewer
    than ten clusters: none.

    Args:
        right, total: (N,), a sample's right completions, and all of them.
    """
    n = len(right)
    known = share(right, total, clusters)
    independent = (total == 1).all() and len(clusters) == n
    if independent and known.interval:
        low, high = wilson(int(right.sum()), n)
        known = replace(known, low=low, high=high)
    assert known.value is not None  # there are completions
    return Accuracy(
        accuracy=known.value, low=known.low, high=known.high, reason=known.reason, n=n,
        interval="wilson" if independent else f"korn-graubard over {clusters.of}s",
    )  # fmt: skip


def rates(judged: Judged, clusters: Clusters) -> Rates:
    """Accuracy of all samples, and what their completions are like."""
    return Rates(
        **vars(accuracy(judged.right, judged.total, clusters)),
        completions=judged.completions * len(judged.right),
        format_rate=_mean(judged.formatted),
        mean_tokens=_mean(judged.tokens),
        truncated=_mean(judged.truncated),
    )


def accuracy_by_group(
    labels: Sequence[Label | None],
    order: Sequence[Label],
    judged: Mapping[str, Judged],
    clusters: Clusters,
) -> list[GroupAccuracy]:
    """One entry a group that has samples, in `order`; samples in no group (None) are left out.

    Args:
        labels: (N,), the group of each sample.
        judged: what to give for each group, by name (`greedy`, `sampled`).
    """
    return [
        GroupAccuracy(
            group=group,
            n=int(member.sum()),
            **{
                name: accuracy(j.right[member], j.total[member], clusters.among(member))
                for name, j in judged.items()
            },
        )
        for group, member in _members(labels, order)
    ]


def pass_at(judged: Judged, tries: Sequence[int], clusters: Clusters) -> list[Estimate]:
    """Share of samples with a right one among K of their completions, with its 95 % interval.

    Unbiased, of each sample: 1 - C(n - c, K) / C(n, K), for c right of n completions, K <= n.

    Args:
        tries: each K.
    Source: Chen et al., 2021 (arXiv 2107.03374), eq. 1; the interval is that of a share.
    """
    n, wrong = judged.completions, judged.completions - judged.right
    shares = []
    for k in tries:
        factors = [np.maximum(wrong - i, 0) / (n - i) for i in range(k)]
        # In parts of n: a sample's value is between 0 and 1, and scatters less than a coin does.
        shares.append(share(n * (1 - np.prod(factors, axis=0)), judged.total, clusters))
    return shares


def pass_at_by_group(
    labels: Mapping[Kind, Sequence[Label | None]],
    order: Mapping[Kind, Sequence[Label]],
    judged: Judged,
    tries: Sequence[int],
    clusters: Clusters,
) -> list[PassAt]:
    """`pass_at` of all samples, then of each group that has some.

    Args:
        labels: by kind, the group of each sample.
        order: by kind, of its groups.
    """
    everything = np.full(len(judged.right), True)
    members: list[tuple[Kind | None, Label, NDArray[np.bool_]]] = [(None, "all", everything)]
    for kind, of_samples in labels.items():
        members += [(kind, *found) for found in _members(of_samples, order[kind])]
    return [
        PassAt(
            kind=kind,
            group=group,
            n=int(member.sum()),
            shares=pass_at(judged.among(member), tries, clusters.among(member)),
        )
        for kind, group, member in members
    ]


def compare_greedy(
    ours: Judged, theirs: Judged, clusters: Clusters, *, seed: int
) -> GreedyDifference:
    """Ours minus theirs on the same samples, one completion each.

    Where each sample is a cluster: exact McNemar test. Else samples of a cluster are right or wrong
    together, and whole clusters turn sign.
    """
    only_ours = int((ours.right > theirs.right).sum())
    only_theirs = int((theirs.right > ours.right).sum())
    independent = len(clusters) == len(ours.right)
    return GreedyDifference(
        difference=difference(ours, theirs, clusters),
        only_first_right=only_ours,
        only_second_right=only_theirs,
        p=mcnemar(only_ours, only_theirs)
        if independent
        else sign_flips(clusters.sums(ours.right - theirs.right), seed=seed),
        test="exact McNemar" if independent else FLIPPED.format(clusters.of),
    )


def compare_sampled(
    ours: Judged, theirs: Judged, clusters: Clusters, *, seed: int
) -> SampledDifference:
    """Ours minus theirs on the same samples by their pass rates: sign-flip permutation test."""
    return SampledDifference(
        difference=difference(ours, theirs, clusters),
        p=sign_flips(clusters.sums(ours.right - theirs.right), seed=seed),
        test=FLIPPED.format(clusters.of),
        flips=FLIPS,
    )


def difference_by_group(
    labels: Sequence[Label | None],
    order: Sequence[Label],
    pairs: Mapping[str, tuple[Judged, Judged]],
    clusters: Clusters,
) -> list[GroupDifference]:
    """Ours minus theirs in each group that has samples, in `order`.

    Args:
        labels: (N,), the group of each sample.
        pairs: ours and theirs, by name (`greedy`, `sampled`).
    """
    return [
        GroupDifference(
            group=group,
            n=int(member.sum()),
            **{name: difference(*pair, clusters, member=member) for name, pair in pairs.items()},
        )
        for group, member in _members(labels, order)
    ]


def difference(
    ours: Judged,
    theirs: Judged,
    clusters: Clusters,
    *,
    member: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Mean over samples of the difference of pass rates, with its interval over clusters.

    Both policies have as many completions a sample. `member`: (N,), of these samples alone.
    """
    first, second = (judged.right / judged.completions for judged in (ours, theirs))  # (N,) each
    if member is not None:
        first, second, clusters = first[member], second[member], clusters.among(member)
    return paired_difference(first, second, clusters)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p value of McNemar's test.

    Were both equally good, a sample that only one has right would be either's with chance 1/2.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def sign_flips(differences: Floats, *, seed: int) -> float:
    """Two-sided p value of a permutation test: each cluster's difference keeps or turns sign.

    Args:
        differences: (m,), whole numbers: right completions of one policy minus the other's.
    Returns:
        (1 + flips at least as far from 0 as what was seen) / (1 + flips), of 10,000 flips.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    # Of the clusters whose difference has one size, those that turn out positive are binomially
    # many: a column for each size, rather than for each cluster, is drawn.
    positive = np.random.default_rng(seed).binomial(counts, 0.5, size=(FLIPS, len(counts)))
    sums = (2 * positive - counts) @ sizes  # (FLIPS,), exact: whole numbers
    return float((1 + (np.abs(sums) >= abs(differences.sum())).sum()) / (1 + FLIPS))


def _members(
    labels: Sequence[Label | None], order: Sequence[Label]
) -> list[tuple[Label, NDArray[np.bool_]]]:
    members = [(group, np.array([label == group for label in labels])) for group in order]
    return [(group, member) for group, member in members if member.any()]


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
