"""Error along a measure: quantile bins as they are, and the best curve that only rises or falls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import ErrorsOfGroup, errors_by_group, group_codes
from durian.groups import Harder, reasoning_groups

CURVE_BINS = 12

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CurvePoint(ErrorsOfGroup):
    """One bin of the curve."""

    mean: float  # of the measure
    isotonic: float  # error rate by the fit


def isotonic_error(
    values: Floats, wrong: Floats, total: Floats, harder: Harder | None
) -> tuple[Harder, Floats]:
    """Least-squares fit of the error rate by a function that only rises, or only falls.

    The fit is to samples, each weighted by its completions, and samples of equal value share one
    fitted rate; a bin of the curve then shows the mean of it over the bin's completions.

    Args:
        values: (M,), none missing.
        harder: "higher" for errors that rise with the values, "lower" for errors that fall, None
            for whichever leaves the smaller squared error ("higher" if equal).
    Returns:
        The direction, and the fitted error rate of each sample, (M,).
    Source: R. E. Barlow and others, "Statistical inference under order restrictions", 1972.
    """
    if not len(values):
        return harder or "higher", np.empty(0)
    # Samples of equal value are pooled before the fit: left apart, the fit would order them by
    # chance and show a step where the measure says nothing.
    _, place = np.unique(values, return_inverse=True)
    weight = np.bincount(place, weights=total)
    rate = np.bincount(place, weights=wrong) / weight
    directions: tuple[Harder, ...] = ("higher", "lower") if harder is None else (harder,)
    fits = [
        isotonic_regression(rate, weights=weight, increasing=direction == "higher").x
        for direction in directions
    ]
    losses = [float(weight @ (fit - rate) ** 2) for fit in fits]
    best = int(np.argmin(losses))
    return directions[best], fits[best][place]


def error_curve(
    values: Floats,
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
    harder: Harder | None = None,
) -> tuple[Harder, list[CurvePoint]]:
    """Up to 12 quantile bins of a measure, from its lowest value to its highest, with a fit.

    Args:
        values: (N,), NaN where missing.
        wrong, total: (N,), a sample's wrong completions, and all of them.
        harder: whether errors rise or fall with the measure; None takes the better fit.
    Returns:
        The direction, and entries as `errors_by_group`'s, with the bin's mean of the measure and
        of the fit.
    """
    labels = reasoning_groups(values, CURVE_BINS).labels  # numbered from the lowest value
    order = sorted({label for label in labels if label is not None})
    known = ~np.isnan(values)
    harder, fitted = isotonic_error(values[known], wrong[known], total[known], harder)
    here = group_codes(labels, order)[known]
    completions = np.bincount(here, weights=total[known], minlength=len(order))
    fits = np.bincount(here, weights=total[known] * fitted, minlength=len(order)) / completions
    means = np.bincount(here, weights=values[known]) / np.bincount(here) if len(order) else ()
    rows = errors_by_group(labels, order, wrong, total, clusters)
    return harder, [
        CurvePoint(**vars(row), mean=float(mean), isotonic=float(np.clip(fit, 0, 1)))
        for row, mean, fit in zip(rows, means, fits, strict=True)
    ]
