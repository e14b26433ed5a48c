"""Predictions of a sample's outcome by models that never saw it, nor another over its image."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FOLDS = 5
_STRENGTHS = np.logspace(-1, 6, 22)  # of the ridge: from nearly none to nothing but the mean
_TREES_FROM = 300  # samples; fewer teach trees nothing that a ridge does not know
_TRIED = 4000  # samples on which the two kinds are compared
_INNER = 2


@dataclass(frozen=True)
class Predicted:
    """Cross-fitted predictions, and which kind of model made them."""

    values: Floats  # (N,)
    trees: int  # folds, of all, in which trees were better
    folds: int


def cross_fitted(
    features: Floats, target: Floats, clusters: NDArray[np.intp], folds: NDArray[np.intp]
) -> Predicted:
    """Predict each sample by a model of the other folds.

    Ridge regression on standardized features, its strength by generalized cross-validation; or
    gradient-boosted trees where they are better on samples that neither has seen, which is tried
    inside the other folds alone.

    Args:
        features: (N, d).
        target: (N,), NaN where nothing was seen: predicted all the same.
        clusters: (N,), samples of one number share an image.
        folds: (N,), 0 to FOLDS - 1, one for all samples of a cluster.
    """
    values = np.full(len(target), np.nan)
    known = ~np.isnan(target)
    trees = 0
    for fold in range(FOLDS):
        others, here = known & (folds != fold), folds == fold
        if not here.any():
            continue
        if not others.any():  # whatever was drawn stands in this fold
            values[here] = target[known].mean()
            continue
        use_trees = _trees_are_better(features[others], target[others], clusters[others])
        trees += use_trees
        fit = _fit_trees if use_trees else _fit_ridge
        values[here] = fit(features[others], target[others], features[here])
    return Predicted(values, trees, FOLDS)


def _trees_are_better(features: Floats, target: Floats, clusters: NDArray[np.intp]) -> bool:
    if len(target) < _TREES_FROM:
        return False
    chosen = np.sort(np.random.default_rng(0).permutation(len(target))[:_TRIED])
    features, target, clusters = features[chosen], target[chosen], clusters[chosen]
    inner = np.random.default_rng(1).integers(0, _INNER, int(clusters.max()) + 1)[clusters]
    better = np.empty(len(target))
    for fold in range(_INNER):
        others, here = inner != fold, inner == fold
        given = features[others], target[others], features[here]
        better[here] = (target[here] - _fit_ridge(*given)) ** 2
        better[here] -= (target[here] - _fit_trees(*given)) ** 2
    # Better by more than the comparison's own error: else the simpler model stays.
    return bool(better.mean() > 2 * better.std() / np.sqrt(len(better)))


def _fit_ridge(features: Floats, target: Floats, asked: Floats) -> Floats:
    from sklearn.linear_model import RidgeCV

    centre, scale = features.mean(0), features.std(0)
    used = scale > 1e-9
    if not used.any() or np.ptp(target) == 0:
        return np.full(len(asked), target.mean())
    model = RidgeCV(alphas=_STRENGTHS)
    model.fit((features[:, used] - centre[used]) / scale[used], target)
    guess: Floats = model.predict((asked[:, used] - centre[used]) / scale[used])
    # A sample unlike all others must not be predicted beyond what any was.
    return np.clip(guess, target.min(), target.max())


def _fit_trees(features: Floats, target: Floats, asked: Floats) -> Floats:
    from sklearn.ensemble import HistGradientBoostingRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=20,
            l2_regularization=1.0, early_stopping=False, random_state=0,
        )  # fmt: skip
        guess: Floats = model.fit(features, target).predict(asked)
    return guess
