"""The noise floor of drift: what two profiles of one and the same policy differ by.

A profile draws G completions a sample, so its numbers and groups carry the luck of that draw. Drift
between two policies means something only beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from durian.analysis.one_run.reliability import mean_reliability
from durian.analysis.statistics.agreement import kappa, score_order, tau
from durian.analysis.statistics.association import auroc, why_no_auroc
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.influence import Number
from durian.groups import Kind, codes_in_shares

REDRAWS, FEWER_REDRAWS = 200, 20
BUDGET = 1_000_000  # samples redrawn in all: of many, fewer redraws show the floor as well
RIGHT = 0.5  # a sample is mostly right above this pass rate

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Key = tuple[str, ...]


@dataclass(frozen=True)
class GroupShares:
    """The measure that groups were cut by, and their shares of the samples."""

    measure: str
    sizes: tuple[int, ...]  # samples of each group, the easiest first


@dataclass(frozen=True)
class Completions:
    """The completions that a profile drew; arrays (N, G), NaN after a sample's last completion.

    `values` are those whose mean over a sample's completions is a measure, turned so that higher
    means harder.
    """

    values: Mapping[str, Floats]  # by measure
    groups: Mapping[Kind, GroupShares]
    wrong: Floats  # 1 where the completion is wrong


@dataclass(frozen=True, kw_only=True)
class Redraw:
    """Two profiles of the same policy, as they might have come out."""

    values: Mapping[str, tuple[Floats, Floats]]  # (N,) by measure
    codes: Mapping[Kind, tuple[Codes, Codes]]  # (N,), groups from the easiest, 0
    rates: tuple[Floats, Floats]  # (N,) error rates, of the very completions behind the values
    spread_rates: tuple[Floats, Floats]  # (N,) error rates, spread as widely as true ones


# Of each of two profiles; None: as many as each sample was drawn.
Counts = tuple[int | None, int | None]


def redraws(drawn: Completions, counts: Counts, *, seed: int) -> Iterator[Redraw]:
    """Draw pairs of profiles of the policy behind `drawn`, with so many completions a sample each.

    Each sample's completions are drawn again with replacement, the measures' means taken and the
    samples cut into groups of the same shares as before. Means of G completions are spread wider
    than what they estimate, by their own noise, and redraws around them would look too steady; so
    the means are first drawn together around the grand mean until their variance is what is left
    without the noise, and deviations are widened by sqrt(G / (G - 1)). `spread_rates` does the
    same for error rates: some completions are exchanged for any sample's. That cuts their tie to
    the measures, so `rates` keeps each sample's own.

    The moves it gives are a few points low, because a sample's own few completions show its noise
    only roughly: two real profiles of one policy (600 samples, 8 completions, two seeds) moved 55 %
    of the samples to another of ten bins; it says 50 %, redraws around the means as they are 47 %.

    Args:
        drawn: two completions or more of each sample.
    Source: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997,
        section 3.8 (resampling of hierarchical data).
    """
    rng = np.random.default_rng(seed)
    n, count = len(drawn.wrong), (~np.isnan(drawn.wrong)).sum(axis=1)
    sizes = [count if size is None else np.full(n, size) for size in counts]
    centred = {name: _without_noise(values) for name, values in drawn.values.items()}
    overall, own = np.nanmean(drawn.wrong, axis=1).mean(), _kept(drawn.wrong)
    for _ in range(redraws_for(n)):
        # One pick of completions gives both the measures and the errors of a redrawn profile: drawn
        # apart, a measure would no longer share the luck of the errors that it is held against, and
        # its gain by luck would come out as none.
        picks = [rng.integers(count[:, None], size=(n, size.max())) for size in sizes]
        wrong = [np.take_along_axis(drawn.wrong, pick, axis=1) for pick in picks]
        exchanged = [
            np.where(rng.random(w.shape) < own, w, rng.random(w.shape) < overall) for w in wrong
        ]
        values = {
            name: _pair(
                centres + _means(np.take_along_axis(deviations, pick, axis=1), size)
                for pick, size in zip(picks, sizes, strict=True)
            )
            for name, (centres, deviations) in centred.items()
        }
        yield Redraw(
            values=values,
            codes={
                kind: _pair(
                    codes_in_shares(taken, shares.sizes, kind) for taken in values[shares.measure]
                )
                for kind, shares in drawn.groups.items()
            },
            rates=_pair(map(_means, wrong, sizes)),
            spread_rates=_pair(map(_means, exchanged, sizes)),
        )


def redraws_for(n: int) -> int:
    """Number of redraws of `n` samples: fewer for large tables, whose floors vary little."""
    return min(REDRAWS, max(FEWER_REDRAWS, BUDGET // n))


class Floor:
    """The numbers that two profiles of one and the same policy would show in a comparison."""

    def __init__(
        self,
        drawn: Completions | None,
        counts: Counts,
        missing: Mapping[str, str],
        *,
        seed: int,
    ) -> None:
        """Draw the profiles.

        Args:
            counts: completions a sample, of the first and of the second profile of each pair.
            missing: grouping or measure -> why it has no floor; "fixed" where it does not depend
                on completions.
        """
        self.redraws = 0 if drawn is None else redraws_for(len(drawn.wrong))
        self._missing = missing
        self._numbers: dict[Key, list[float]] = {}
        if drawn is not None:
            for redraw in redraws(drawn, counts, seed=seed):
                for key, value in _numbers(redraw, drawn, seed).items():
                    self._numbers.setdefault(key, []).append(value)

    def estimate(self, what: str, number: str, *, unmoved: float = 0.0) -> Estimate:
        """Mean of a number over the pairs, with the range of 95 % of them.

        Args:
            what: a grouping, a measure, or "all".
            unmoved: what the number is where the measure is fixed.
        """
        if (what, number) not in self._numbers:
            reason = self._missing.get(what, "there are no completions to draw again")
            if reason == "fixed":
                return Estimate(value=unmoved)
            return Estimate(value=None, reason=reason)
        values = np.array(self._numbers[what, number])
        known = values[~np.isnan(values)]
        if not len(known):
            return Estimate(value=None, reason="undefined in all redraws")
        low, high = np.percentile(known, [2.5, 97.5])
        return Estimate(value=float(known.mean()), low=float(low), high=float(high))


def _numbers(redraw: Redraw, drawn: Completions, seed: int) -> dict[Key, float]:
    # The very numbers of the comparison, of two profiles of one policy: what a comparison finds
    # counts only as far as it goes beyond these.
    before, after = (1 - rate for rate in redraw.spread_rates)
    numbers: dict[Key, float] = {
        ("all", "learned"): float(((before <= RIGHT) & (after > RIGHT)).mean()),
        ("all", "unlearned"): float(((before > RIGHT) & (after <= RIGHT)).mean()),
    }
    rates, total = redraw.rates[1], np.ones(len(drawn.wrong))

    def gain(first: Floats, second: Floats) -> float:
        orders = [score_order(score, rates, total) for score in (first, second)]
        if any(why_no_auroc(order) for order in orders):
            return np.nan
        return auroc(orders[1]).value - auroc(orders[0]).value

    for name, (first, second) in redraw.values.items():
        numbers[name, "tau"] = _value(tau(first, second, seed=seed))
        numbers[name, "difference"] = gain(first, second)
    for kind, (old, new) in redraw.codes.items():
        size = len(drawn.groups[kind].sizes)
        numbers[kind, "moved"] = float((old != new).mean())
        numbers[kind, "kappa"] = _value(kappa(old, new))
        numbers[kind, "gain"] = gain(old.astype(np.float64), new.astype(np.float64))
        change = redraw.rates[1] - redraw.rates[0]
        for code in range(size):
            inside = old == code
            numbers[kind, f"change {code}"] = (
                float(change[inside].mean()) if inside.any() else np.nan
            )
    return numbers


def _value(number: Number | None) -> float:
    return np.nan if number is None else number.value


def _without_noise(values: Floats) -> tuple[Floats, Floats]:
    """(N, G) to centres (N,), rid of the spread that is noise, and deviations (N, G)."""
    count, means = (~np.isnan(values)).sum(axis=1), np.nanmean(values, axis=1)
    centres = means.mean() + _kept(values) * (means - means.mean())
    return centres, (values - means[:, None]) * np.sqrt(count / (count - 1))[:, None]


def _means(values: Floats, sizes: Codes) -> Floats:
    """(N, G) to (N,), of the first `sizes` of each row."""
    taken = np.arange(values.shape[1]) < sizes[:, None]
    means: Floats = np.where(taken, values, 0.0).sum(axis=1) / sizes
    return means


def _kept(values: Floats) -> float:
    """Factor that draws the means of (N, G) together, so that their variance loses its noise."""
    return float(np.sqrt(mean_reliability(values)))


def _pair(both: Iterator[Any]) -> tuple[Any, Any]:
    first, second = both
    return first, second
