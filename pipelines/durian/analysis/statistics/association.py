"""Hold a measure against error: AUROC and AURC over completions, rank correlations over samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.concordance import concordance
from durian.analysis.statistics.estimate import Estimate, plural
from durian.analysis.statistics.influence import Number, Scale
from durian.analysis.statistics.risk_coverage import (
    Kept,
    aurc,
    best_aurc,
    risk_coverage_points,
)

FEWEST_ORDERED = 15  # clusters behind the interval of an order: with fewer it holds below 90 %

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Associations:
    """Numbers of how a score goes with error.

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
        self.blocks = np.repeat(
            np.arange(len(self.starts)), np.diff(np.r_[self.starts, len(self.index)])
        ).astype(np.intp)  # (M,), the rank of each sample's score
        self._n = len(score)

    def __len__(self) -> int:
        return len(self.index)

    def by_score(self, values: Floats) -> Floats:
        """(M,) to sums over samples of equal score, (m,)."""
        summed = np.bincount(self.blocks, weights=values, minlength=len(self.starts))
        return np.asarray(summed, np.float64)

    def number(self, value: float, influence: Floats, part: Floats | None = None) -> Number:
        """A number whose influence and part are given in the order of the score, (M,)."""
        part = self.total if part is None else part
        return Number(float(value), self.of_all(influence), self.of_all(part))

    def of_all(self, values: Floats) -> Floats:
        """(M,) to (N,), 0 for samples without a score."""
        placed = np.zeros(self._n)
        placed[self.index] = values
        return placed

    def why_no_interval(self, clusters: Clusters) -> str | None:
        """Say which clusters are too few: with the score, a wrong completion, or a right one."""
        n = clusters.counted(self.of_all(np.ones(len(self))) > 0)
        if n < FEWEST_ORDERED:
            are = "is" if n == 1 else "are"
            return f"{n} {plural(n, clusters.of)} {are} too few for an interval"
        for have, what in ((self.wrong > 0, "wrong"), (self.wrong < self.total, "right")):
            member = self.of_all(have.astype(np.float64)) > 0
            if few := clusters.few(clusters.counted(member), f"a {what} completion"):
                return few
        return None

    def shown(self, number: Number, clusters: Clusters, scale: Scale) -> Estimate:
        """A number with its interval where enough clusters are right and enough are wrong."""
        if few := self.why_no_interval(clusters):
            return Estimate(value=number.value, reason=few)
        return number.estimate(clusters, scale)


def auroc(order: ScoreOrder, wrong: Floats | None = None) -> Number:
    """AUROC of error; some completion is right and some is wrong.

    T = sum_ij e_i r_j k(s_i, s_j) / (E R), where k is 1, 1/2 or 0 as s_i is above, at or below s_j.

    Args:
        wrong: (N,), other errors of the same completions than the order's own.
    """
    errors = order.wrong if wrong is None else wrong[order.index]  # (M,)
    right = order.total - errors
    at = [order.by_score(errors), order.by_score(right)]  # (m,) each
    wrongs, rights = at[0].sum(), at[1].sum()
    below = np.cumsum(at[1]) - at[1] / 2  # right ones below each score, ties half
    above = wrongs - np.cumsum(at[0]) + at[0] / 2  # wrong ones above
    value = (at[0] @ below) / (wrongs * rights)
    moves = (errors * below[order.blocks] + right * above[order.blocks]) / (wrongs * rights)
    # Of the rarer outcome few clusters may hold the most: these are what its certainty rests on.
    rarer = errors if wrongs <= rights else right
    moves = moves - value * (errors / wrongs + right / rights)
    return order.number(value, moves, rarer)


def spearman(order: ScoreOrder) -> Number:
    """Spearman's rho of score and error rate, ties included; neither is constant.

    With a and b the mid-ranks of score and rate over n, less their mean, rho = S / sqrt(A B) of
    S = mean a b, A = mean a^2, B = mean b^2. A sample moves S by its own product and by the ranks
    of all above it.
    """
    n = len(order)
    levels = np.unique(order.wrong / order.total, return_inverse=True)[1]
    a, b = (_centred_ranks(codes, n) for codes in (order.blocks, levels))

    def above(codes: Ints, values: Floats) -> Floats:
        """Mean over all samples of the values of those above each one, ties half."""
        at = np.bincount(codes, weights=values)
        summed: Floats = at.sum() - np.cumsum(at) + at / 2
        return summed[codes] / n

    s, aa, bb = (a @ b) / n, (a @ a) / n, (b @ b) / n
    of_s = a * b + above(order.blocks, b) + above(levels, a) - 3 * s
    of_a = a * a + 2 * above(order.blocks, a) - 3 * aa
    of_b = b * b + 2 * above(levels, b) - 3 * bb
    scale = np.sqrt(aa * bb)
    rho = s / scale
    return order.number(rho, (of_s / scale - rho / 2 * (of_a / aa + of_b / bb)) / n)


def kendall(order: ScoreOrder) -> Number:
    """Kendall's tau-b of score and error rate; neither is constant."""
    levels = np.unique(order.wrong / order.total, return_inverse=True)[1]
    return order.number(*tau_b(order.blocks, levels))


def tau_b(blocks: Ints, levels: Ints) -> tuple[float, Floats]:
    """Kendall's tau-b of two rankings, and its influence, (M,); args as `concordance`."""
    pairs = concordance(blocks, levels)
    untied, moves = [], []
    for codes in (blocks, levels):
        tied = np.bincount(codes)
        # n^2 - sum t^2 is twice the number of pairs that are not tied.
        untied.append((len(codes) ** 2 - (tied.astype(np.float64) ** 2).sum()) / 2)
        moves.append((len(codes) - tied[codes]) / untied[-1])
    scale = np.sqrt(untied[0]) * np.sqrt(untied[1])
    tau = float(pairs.sum() / 2 / scale)
    return tau, pairs / scale - tau / 2 * (moves[0] + moves[1])


def area_under_risk(order: ScoreOrder) -> Number:
    """AURC, as in `risk_coverage`."""
    return order.number(*aurc(order.blocks, order.wrong, order.total))


def excess_area(order: ScoreOrder) -> Number:
    """AURC less that of the best order, as in `risk_coverage`."""
    area, moves = aurc(order.blocks, order.wrong, order.total)
    best, by_best = best_aurc(order.wrong, order.total)
    return order.number(area - best, moves - by_best)


NUMBERS: dict[str, tuple[Callable[[ScoreOrder], Number], Scale]] = {
    "auroc": (auroc, "unit"),
    "spearman": (spearman, "correlation"),
    "kendall": (kendall, "correlation"),
    "aurc": (area_under_risk, "unit"),
    "excess_aurc": (excess_area, "positive"),
}
NAMES = tuple(NUMBERS)


def associate(order: ScoreOrder, clusters: Clusters) -> Associations:
    """Hold one measure against error: each number with its interval, or why it is missing."""
    return Associations(
        **{
            name: order.shown(number(order), clusters, scale)
            if reason is None
            else Estimate(value=None, reason=reason)
            for (name, (number, scale)), reason in zip(
                NUMBERS.items(), undefined(order), strict=True
            )
        }
    )


def risk_coverage(order: ScoreOrder) -> list[Kept]:
    """Points of the risk-coverage curve."""
    errors, completions = (np.cumsum(order.by_score(x)) for x in (order.wrong, order.total))
    return risk_coverage_points(errors, completions)


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


def why_no_auroc(order: ScoreOrder) -> str | None:
    """Give the reason why the AUROC is undefined; None where it is not."""
    return undefined(order)[NAMES.index("auroc")]


def starts_of(ordered: Floats) -> Ints:
    """Places where each distinct value begins in a rising array."""
    if not len(ordered):
        return np.empty(0, np.intp)
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _centred_ranks(codes: Ints, n: int) -> Floats:
    """Mid-ranks over n, from -1/2 to 1/2, of mean 0."""
    at = np.bincount(codes)
    middle: Floats = ((np.cumsum(at) - at / 2) / n - 0.5)[codes]
    return middle
