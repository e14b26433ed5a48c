"""Risk and coverage: were only the easiest completions kept, how many of them would be wrong?

The unit is the completion: a sample of G completions brings G of them, all with its score.
Coverage is the share of completions kept, easiest first; risk is the share of the kept that are
wrong.

Let N completions, E of them wrong, stand in order of the score, and let R_k be the risk of the
first k. Then

    AURC = (1/N) sum_{k=1..N} E[R_k],

where the expectation is over all orders of completions of equal score. If n completions with e
errors lie below a score that m completions with w errors share, then

    sum_{j=1..m} E[R_{n+j}] = sum_j (e + j w/m) / (n + j) = w + (e - n w/m) (H_{n+m} - H_n),

with the harmonic numbers H_k = 1 + 1/2 + ... + 1/k. So a constant score (n = e = 0, m = N, w = E)
gives E/N, the base rate, whatever the order of rows. Of all orders the best has the right ones
first:

    AURC* = (1/N) sum_{j=1..E} j / (N - E + j) = (E - (N - E) (H_N - H_{N-E})) / N,

and excess AURC is AURC - AURC*, 0 for a perfect order and never below.

Sources: Geifman, Uziel, El-Yaniv, "Bias-reduced uncertainty estimation for deep neural
classifiers", 2019 (AURC, excess AURC); the expectation over ties is worked out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

POINTS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One point of the curve."""

    coverage: float  # share of the completions that are kept
    risk: float  # share of the kept ones that are wrong


class Harmonic:
    """Harmonic numbers H_0, H_1, ..., kept as a table."""

    def __init__(self) -> None:
        self._known: Floats = np.zeros(1)

    def __call__(self, k: Floats) -> Floats:
        """Look up the harmonic numbers of whole numbers, of any shape."""
        places = k.astype(np.intp)
        most = int(places.max(initial=0))
        if most >= len(self._known):
            terms = 1 / np.arange(1, most + most // 2 + 1)  # resamples differ in size a little
            self._known = np.concatenate([[0.0], np.cumsum(terms)])
        return np.take(self._known, places)


class Counts(NamedTuple):
    """Completions at each distinct score, easiest first; (b, m) each."""

    errors: Floats
    completions: Floats
    errors_to: Floats  # up to and with the score
    completions_to: Floats


def counts(errors: Floats, completions: Floats) -> Counts:
    """Add up wrong and all completions, (b, m) each, along the score."""
    return Counts(errors, completions, np.cumsum(errors, axis=1), np.cumsum(completions, axis=1))


def aurc(at: Counts, harmonic: Harmonic) -> Floats:
    """Area under the risk-coverage curve, of each of b rows; NaN where it has no completion."""
    share = np.divide(  # w / m
        at.errors, at.completions, out=np.zeros_like(at.errors), where=at.completions > 0
    )
    # Of the first score n and e are 0; from the second on they are what the one before ends with.
    steps = np.diff(harmonic(at.completions_to), axis=1)
    ties = (at.errors_to[:, :-1] - at.completions_to[:, :-1] * share[:, 1:]) * steps
    with np.errstate(invalid="ignore"):
        area: Floats = (at.errors_to[:, -1] + ties.sum(axis=1)) / at.completions_to[:, -1]
    return area


def best_aurc(errors: Floats, completions: Floats, harmonic: Harmonic) -> Floats:
    """AURC of the best order of `errors` wrong ones among `completions`, each of shape (b,)."""
    right = completions - errors
    with np.errstate(invalid="ignore"):
        area: Floats = (errors - right * (harmonic(completions) - harmonic(right))) / completions
    return area


def risk_coverage_points(errors: Floats, completions: Floats) -> list[Kept]:
    """Expected risk at up to 60 even steps of coverage.

    Args:
        errors, completions: (m,), up to and with each distinct score, easiest first.
    """
    if not len(completions):
        return []
    total = completions[-1]
    kept = np.unique(np.ceil(np.arange(1, POINTS + 1) * total / POINTS))
    # Linear between two scores: a tie's completions enter in random order.
    wrong = np.interp(kept, np.r_[0.0, completions], np.r_[0.0, errors])
    return [
        Kept(coverage=float(k / total), risk=float(w / k)) for k, w in zip(kept, wrong, strict=True)
    ]
