"""Hold a measure against error: AUROC and AURC over completions, rank correlations over samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.bootstrap import Resampled, resample, with_interval
from durian.analysis.statistics.concordance import Concordance
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.risk_coverage import (
    Harmonic,
    Kept,
    aurc,
    best_aurc,
    counts,
    risk_coverage_points,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
AUROC, SPEARMAN, KENDALL, AURC, EXCESS = range(5)


@dataclass(frozen=True, kw_only=True)
class Associations:
    """Numbers of how a score goes with error, in the order of the constants above.

    `auroc`: chance that a wrong completion's sample scores higher than a right one's, ties count
    half (the Mann-Whitney statistic over completions; 0.5 is no better than chance). `spearman`,
    `kendall`: rank correlation and tau-b of score and error rate over samples. `aurc`,
    `excess_aurc`: as in `risk_coverage`.
    """

    auroc: Estimate
    spearman: Estimate
    kendall: Estimate
    aurc: Estimate
    excess_aurc: Estimate


NAMES = tuple(field.name for field in fields(Associations))


class ScoreOrder:
    """The samples that have a score, from the easiest to the hardest."""

    def __init__(self, score: Floats, wrong: Floats, total: Floats) -> None:
        """Order the samples.

        Args:
            score: (N,), turned so that higher means harder; NaN where missing.
            wrong, total: (N,), a sample's wrong completions, and all of them.
        """
        known = np.flatnonzero(~np.isnan(score))
        self.index: Ints = known[np.argsort(score[known], kind="stable")]  # (M,) of the N
        self.score, self.wrong, self.total = (x[self.index] for x in (score, wrong, total))
        self.starts = starts_of(self.score)  # (m,), first place of each distinct score
        self._tied = len(self.starts) < len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def in_order(self, weights: Floats) -> Floats:
        """(b, N) weights to (b, M), in the order of the score."""
        return np.take(weights, self.index, axis=1)

    def by_score(self, values: Floats) -> Floats:
        """(b, M) to sums over samples of equal score, (b, m)."""
        return np.add.reduceat(values, self.starts, axis=1) if self._tied else values


class Aurocs:
    """AUROC of one score for several counts of errors, as a statistic: (b, N) weights to (b, k)."""

    def __init__(self, order: ScoreOrder, *others: Floats) -> None:
        """Take the order's own errors and, of the same completions, others.

        Args:
            others: (N,) each, a sample's wrong completions.
        """
        self._order = order
        self._wrong = np.stack([order.wrong, *(wrong[order.index] for wrong in others)])  # (k, M)

    def __call__(self, weights: Floats) -> Floats:
        """NaN where a resample has no right or no wrong completion."""
        order, w = self._order, self._order.in_order(weights)
        completions = order.by_score(w * order.total)
        completions_to = np.cumsum(completions, axis=1)
        return np.stack(
            [
                auroc_of(order.by_score(w * wrong), completions, completions_to)
                for wrong in self._wrong
            ],
            axis=1,
        )


class Association:
    """The five numbers of a score against error, as one statistic: (b, N) weights to (b, 5)."""

    def __init__(self, order: ScoreOrder) -> None:
        self.order = order
        self._harmonic = Harmonic()
        rates, self._levels = np.unique(order.wrong / order.total, return_inverse=True)
        # One column a distinct error rate: a product with it adds up the weights of all samples of
        # equal rate, for a whole block of resamples at once.
        self._of_level = (self._levels[:, None] == np.arange(len(rates))).astype(np.float64)
        blocks = np.repeat(
            np.arange(len(order.starts)), np.diff(np.r_[order.starts, len(order)])
        ).astype(np.intp)
        self._concordance = Concordance(blocks, self._levels)

    def __call__(self, weights: Floats) -> Floats:
        """NaN where a resample lacks what a number needs."""
        order = self.order
        w = order.in_order(weights)
        samples = order.by_score(w)
        at = counts(order.by_score(w * order.wrong), order.by_score(w * order.total))
        area = aurc(at, self._harmonic)
        best = best_aurc(at.errors_to[:, -1], at.completions_to[:, -1], self._harmonic)
        auroc = auroc_of(at.errors, at.completions, at.completions_to)
        spearman, kendall = self._correlations(w, samples)
        return np.stack([auroc, spearman, kendall, area, area - best], axis=1)

    def _correlations(self, w: Floats, samples: Floats) -> tuple[Floats, Floats]:
        """Spearman's rho and Kendall's tau-b of score and error rate, ties included.

        A sample drawn w times counts as w samples of equal score and rate.
        """
        n = samples.sum(axis=1)
        level = w @ self._of_level  # (b, R), samples of each error rate
        level_ranks = np.cumsum(level, axis=1) - (level - 1) / 2
        ranks = np.cumsum(samples, axis=1) - (samples - 1) / 2
        weighed = self.order.by_score(w * np.take(level_ranks, self._levels, axis=1))
        covariance = np.einsum("bi,bi->b", ranks, weighed) - n * ((n + 1) / 2) ** 2
        # Mid-ranks of tied groups of t have a sum of squares (n^3 - sum t^3) / 12 about their mean,
        # and n^2 - sum t^2 is twice the number of pairs that are not tied.
        squares = [t * t for t in (samples, level)]
        cubes = [
            np.einsum("bi,bi->b", *each) for each in zip((samples, level), squares, strict=True)
        ]
        spread = [(n**3 - cube) / 12 for cube in cubes]
        untied = [(n**2 - square.sum(axis=1)) / 2 for square in squares]
        return (
            _or_nan(covariance, np.sqrt(spread[0] * spread[1])),
            _or_nan(self._concordance(w), np.sqrt(untied[0] * untied[1])),
        )

    def estimates(self, resampled: Resampled) -> Associations:
        """Give each number with its interval, or why it is missing."""
        reasons = undefined(self.order)
        return Associations(
            **{
                name: with_interval(resampled.value[k], resampled.draws[:, k])
                if reasons[k] is None
                else Estimate(value=None, reason=reasons[k])
                for k, name in enumerate(NAMES)
            }
        )

    def risk_coverage(self) -> list[Kept]:
        """Points of the risk-coverage curve of the samples as they are."""
        errors, completions = (
            np.cumsum(self.order.by_score(x[None])[0]) for x in (self.order.wrong, self.order.total)
        )
        return risk_coverage_points(errors, completions)


def associate(
    score: Floats,
    wrong: Floats,
    total: Floats,
    *,
    seed: int,
    clusters: NDArray[np.integer[Any]] | None = None,
) -> Associations:
    """Hold one measure against error, with intervals of the cluster bootstrap.

    Args:
        score: (N,), turned so that higher means harder; NaN where missing.
        wrong, total: (N,), a sample's wrong completions, and all of them.
        clusters: as `bootstrap.resampled_weights`.
    """
    order = ScoreOrder(score, wrong, total)
    if not len(order):
        return no_estimates()
    association = Association(order)
    drawn = resample({"": association}, len(score), seed=seed, clusters=clusters)
    return association.estimates(drawn[""])


def no_estimates() -> Associations:
    """The numbers of a measure that no sample has."""
    return Associations(**dict.fromkeys(NAMES, Estimate(value=None, reason="no sample has it")))


def undefined(order: ScoreOrder) -> Sequence[str | None]:
    """Give the reason why each number of `NAMES` is undefined; None where it is not."""
    if not len(order):
        return ["no sample has it"] * len(NAMES)
    errors, right = order.wrong.any(), (order.wrong < order.total).any()
    all_alike = None if errors and right else f"all are {'wrong' if errors else 'right'}"
    rates = order.wrong / order.total
    constant = "the measure is constant" if len(order.starts) == 1 else None
    flat = "the error rate is constant" if rates.min() == rates.max() else None
    correlation = constant or flat
    # AURC needs no spread: of a constant score, and where all are alike, it is the base rate.
    return [all_alike or constant, correlation, correlation, None, all_alike]


def _or_nan(number: Floats, scale: Floats) -> Floats:
    """A quotient; NaN where a resample has no spread."""
    return np.divide(number, scale, out=np.full_like(number, np.nan), where=scale > 0)


def starts_of(ordered: Floats) -> Ints:
    """Places where each distinct value begins in a rising array."""
    if not len(ordered):
        return np.empty(0, np.intp)
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def auroc_of(errors: Floats, completions: Floats, completions_to: Floats) -> Floats:
    """AUROC of each row from counts (b, m) at each distinct score, rising.

    Each wrong completion is set against all completions at or below it, ties half; against the
    wrong ones alone that would be half of all their pairs, whatever the order.

    Args:
        completions_to: up to and with each score.
    """
    wrong, total = errors.sum(axis=1), completions_to[:, -1]
    won = np.einsum("bi,bi->b", errors, completions_to - completions / 2) - wrong**2 / 2
    # A resample without a right or a wrong one: NaN.
    return _or_nan(won, wrong * (total - wrong))
