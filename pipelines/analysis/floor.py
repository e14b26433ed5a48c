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

from pipelines.analysis.bootstrap import MANY, Estimate

REDRAWS, FEWER_REDRAWS = 200, 20

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a profile drew of its samples; arrays of shape (N, G), no NaN.

    The values are those whose mean over a sample's completions groups it, turned so that group
    codes rise with them.
    """

    values: Mapping[str, Floats]  # by grouping
    sizes: Mapping[str, tuple[int, ...]]  # samples of each group, by code, by grouping
    wrong: Floats  # 1 where the completion is wrong


@dataclass(frozen=True, kw_only=True)
class Redraw:
    """Two profiles of the same policy, as they might have come out."""

    codes: Mapping[str, tuple[Codes, Codes]]  # (N,) group of each sample in either
    rates: tuple[Floats, Floats]  # (N,) error rate of each sample in either, as its group goes
    spread_rates: tuple[Floats, Floats]  # (N,) likewise, as widely spread as true ones would be


def redraws(drawn: Drawn, completions: int, *, seed: int) -> Iterator[Redraw]:
    """Pairs of profiles of the policy that `drawn` is of: G completions, and `completions`.

    Each sample's completions are drawn again with replacement, the measure's mean taken and the
    samples cut into groups of the same shares as before. Means of G completions are spread wider
    than what they estimate, by their own noise, and redraws around them would look too steady;
    so the means are first drawn together around the grand mean until their variance is what is
    left without the noise, and deviations are widened by sqrt(G / (G - 1)). `spread_rates` does
    the same for error rates: some completions are exchanged for any sample's. That cuts their tie
    to the measure, so `rates` keeps each sample's own completions, for numbers that hold groups
    against errors.

    Args:
        drawn: G >= 2.
        completions: of the second profile of each pair.
    Source: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997,
        section 3.8 (resampling of hierarchical data).
    """
    rng = np.random.default_rng(seed)
    n, g = drawn.wrong.shape
    centred = {kind: _without_noise(values) for kind, values in drawn.values.items()}
    cuts = {kind: np.cumsum(sizes)[:-1] / sum(sizes) for kind, sizes in drawn.sizes.items()}
    overall = drawn.wrong.mean()
    own = _kept(drawn.wrong.mean(axis=1), drawn.wrong.var(axis=1, ddof=1).mean() / g)
    for _ in range(redraws_for(n)):
        picks = [rng.integers(g, size=(n, size)) for size in (g, completions)]
        wrong = [np.take_along_axis(drawn.wrong, pick, axis=1) for pick in picks]
        unextreme = [
            np.where(rng.random(w.shape) < own, w, rng.random(w.shape) < overall) for w in wrong
        ]
        codes = {}
        for kind, (centres, deviations) in centred.items():
            first, second = (
                _cut(
                    centres + np.take_along_axis(deviations, pick, axis=1).mean(axis=1), cuts[kind]
                )
                for pick in picks
            )
            codes[kind] = (first, second)
        yield Redraw(
            codes=codes,
            rates=(wrong[0].mean(axis=1), wrong[1].mean(axis=1)),
            spread_rates=(unextreme[0].mean(axis=1), unextreme[1].mean(axis=1)),
        )


def redraws_for(n: int) -> int:
    """How often to redraw `n` samples: fewer for large tables, whose floors vary little."""
    return REDRAWS if n <= MANY else FEWER_REDRAWS


def _without_noise(values: Floats) -> tuple[Floats, Floats]:
    """(N, G) to centres (N,), rid of the spread that is noise, and deviations (N, G)."""
    g = values.shape[1]
    means = values.mean(axis=1)
    kept = _kept(means, values.var(axis=1, ddof=1).mean() / g)
    grand = means.mean()
    deviations = (values - means[:, None]) * np.sqrt(g / (g - 1))
    return grand + kept * (means - grand), deviations


def _kept(means: Floats, noise: float) -> float:
    """By how much to draw means together so that their variance loses that of their noise."""
    spread = means.var(ddof=1) if len(means) > 1 else 0.0
    return float(np.sqrt(max(0.0, 1 - noise / spread))) if spread > 0 else 0.0


def _cut(values: Floats, shares: Floats) -> Codes:
    """Codes 0, 1, ... at quantiles; a value on a cut belongs above it, as in `groups`."""
    return np.searchsorted(np.quantile(values, shares), values, side="right")


def spread_of(values: list[float]) -> dict[str, Any]:
    """Mean of a number over redraws, with the range of 95 % of them."""
    known = np.array([v for v in values if not np.isnan(v)])
    if not len(known):
        return Estimate(value=None, reason="undefined in all redraws").as_dict()
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(value=float(known.mean()), low=float(low), high=float(high)).as_dict()
