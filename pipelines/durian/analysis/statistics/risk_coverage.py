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

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

POINTS = 60

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One point of the curve."""

    coverage: float  # share of the completions that are kept
    risk: float  # share of the kept ones that are wrong


def aurc(blocks: Ints, wrong: Floats, total: Floats) -> tuple[float, Floats]:
    """Area under the risk-coverage curve, and its influence, (M,).

    Args:
        blocks: (M,), rank of each sample's score, the easiest first, rising.
        wrong, total: (M,), a sample's wrong completions, and all of them.
    """
    errors, completions = (  # (m,) each
        np.asarray(np.bincount(blocks, weights=x), np.float64) for x in (wrong, total)
    )
    errors_to: Floats = np.cumsum(errors)
    completions_to: Floats = np.cumsum(completions)
    n, share = completions_to[-1], errors / completions  # w / m
    # Of what lies below each score; below the first nothing does, and its tie adds nothing.
    below, e_below = completions_to - completions, errors_to - errors
    excess = np.where(below > 0, e_below - below * share, 0.0)  # e - n w / m
    step = np.where(below > 0, _harmonic(completions_to) - _harmonic(below), 0.0)
    area = (errors_to[-1] + excess @ step) / n
    # A sample adds to its own score's tie, and to e, n of all scores above.
    slope, slope_below = _harmonic_slope(completions_to), _harmonic_slope(below)
    own_wrong = 1 + _above(step) - below * step / completions
    own_total = (
        _above(np.where(below > 0, excess * (slope - slope_below), 0.0) - share * step)
        + below * step * share / completions
        + excess * slope
    )
    moves = (wrong * own_wrong[blocks] + total * (own_total[blocks] - area)) / n
    return float(area), moves


def best_aurc(wrong: Floats, total: Floats) -> tuple[float, Floats]:
    """AURC of the best order of the samples' completions, and its influence, (M,)."""
    errors, n = wrong.sum(), total.sum()
    right = n - errors
    step = float(_harmonic(n) - _harmonic(right))
    area = (errors - right * step) / n
    of_right = total - wrong
    slopes = total * _harmonic_slope(n) - of_right * _harmonic_slope(right)
    return float(area), (wrong - of_right * step - right * slopes - area * total) / n


def _above(values: Floats) -> Floats:
    """Sum of the values of all later places, (m,)."""
    later: Floats = values.sum() - np.cumsum(values)
    return later


def _harmonic(k: Floats) -> Floats:
    """H_k = 1 + 1/2 + ... + 1/k."""
    found: Floats = digamma(k + 1) + np.euler_gamma
    return found


def _harmonic_slope(k: Floats) -> Floats:
    """Its derivative: pi^2 / 6 - 1 - 1/4 - ... - 1/k^2."""
    found: Floats = polygamma(1, k + 1)
    return found


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
