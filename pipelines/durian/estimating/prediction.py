"""Predictions of a sample's outcome by models that never saw it, nor another over its image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Fitted = Callable[[Floats], Floats]  # features of some samples -> their predictions

FOLDS = 5
_STRENGTHS = np.logspace(-1, 6, 22)  # of the ridge: from nearly none to nothing but the mean
_TREES_FROM = 300  # samples; fewer teach trees nothing that a ridge does not know
_TRIED = 4000  # samples on which the two kinds are compared
_INNER = 2
_TAUGHT, _BLOCK = 20_000, 4096  # samples that models learn from; that are predicted at a time
_SHUFFLED = 2000  # samples a fold, of which it is told what the model leans on


@dataclass(frozen=True)
class Predicted:
    """Cross-fitted predictions, and which kind of model made them."""

    values: Floats  # (N,)
    trees: int  # folds, of all, in which trees were better
    folds: int
    leans: Mapping[str, float] = field(default_factory=dict)  # see `cross_fitted`


class Rows(Protocol):
    """Features by sample: `features[samples]` is (n, d), of n numbers; an array is one."""

    def __getitem__(self, samples: NDArray[np.intp], /) -> Floats:
        """The features of some samples."""


def cross_fitted(
    features: Rows,
    target: Floats,
    clusters: NDArray[np.intp],
    folds: NDArray[np.intp],
    about: Sequence[str] = (),
) -> Predicted:
    """Predict each sample by a model of the other folds.

    Ridge regression on standardized features, its strength by generalized cross-validation; or
    gradient-boosted trees where they are better on samples that neither has seen, which is tried
    inside the other folds alone. Where there are more than 20,000 samples with a target, so many
    of them by chance teach all models: of a hundred features more samples tell nothing new, and
    memory does not grow with the dataset. Features are asked for in blocks.

    Args:
        features: those of N samples.
        target: (N,), NaN where nothing was seen: predicted all the same.
        clusters: (N,), samples of one number share an image.
        folds: (N,), 0 to FOLDS - 1, one for all samples of a cluster.
        about: d names, where it is to be told what the models lean on: by name, half of what the
            mean squared error gains, as a part of the target's variance, when the columns of that
            name are dealt out among the samples of a fold anew (permutation importance, Breiman
            2001). Of unrelated columns and a linear model that is the part which is theirs:
            b^2 var(x) of y = b x + ..., for b (x - x') has twice that variance.
    """
    values = np.full(len(target), np.nan)
    known = np.flatnonzero(~np.isnan(target))
    taught = np.sort(np.random.default_rng(0).permutation(known)[:_TAUGHT])
    given, learned, within = features[taught], target[taught], folds[taught]
    trees, lost, models = 0, dict.fromkeys(about, 0.0), {}
    for fold in np.unique(folds):
        others, here = within != fold, np.flatnonzero(within == fold)
        if not others.any():  # whatever was drawn stands in this fold
            models[fold] = _mean_of(learned)
            continue
        use_trees = _trees_are_better(given[others], learned[others], clusters[taught[others]])
        trees += use_trees
        fit = _fit_trees if use_trees else _fit_ridge
        models[fold] = fit(given[others], learned[others])
        seen = np.random.default_rng(0).permutation(here)[:_SHUFFLED]
        for name, more in _shuffled(models[fold], given[seen], learned[seen], about):
            lost[name] += more * len(here) / len(taught)
    for start in range(0, len(values), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(values)))
        asked = features[block]
        for fold, model in models.items():
            of_fold = folds[block] == fold
            if of_fold.any():
                values[block[of_fold]] = model(asked[of_fold])
    spread = float(np.var(learned))
    return Predicted(
        values, trees, FOLDS, {n: v / 2 / spread for n, v in lost.items() if spread > 0}
    )


def _shuffled(
    model: Fitted, features: Floats, target: Floats, about: Sequence[str]
) -> Iterator[tuple[str, float]]:
    """Mean squared error that predictions gain where the columns of a name are dealt out anew."""
    if not len(target):
        return
    random = np.random.default_rng(0)
    error = np.mean((target - model(features)) ** 2)
    for name in dict.fromkeys(about):
        columns = np.array([one == name for one in about])
        dealt = features.copy()
        dealt[:, columns] = features[random.permutation(len(features))][:, columns]
        yield name, float(np.mean((target - model(dealt)) ** 2) - error)


def _trees_are_better(features: Floats, target: Floats, clusters: NDArray[np.intp]) -> bool:
    if len(target) < _TREES_FROM:
        return False
    chosen = np.sort(np.random.default_rng(0).permutation(len(target))[:_TRIED])
    features, target, clusters = features[chosen], target[chosen], clusters[chosen]
    inner = np.random.default_rng(1).integers(0, _INNER, int(clusters.max()) + 1)[clusters]
    better = np.empty(len(target))
    for fold in range(_INNER):
        others, here = inner != fold, inner == fold
        given = features[others], target[others]
        better[here] = (target[here] - _fit_ridge(*given)(features[here])) ** 2
        better[here] -= (target[here] - _fit_trees(*given)(features[here])) ** 2
    # Better by more than the comparison's own error: else the simpler model stays.
    return bool(better.mean() > 2 * better.std() / np.sqrt(len(better)))


def _mean_of(target: Floats) -> Fitted:
    return lambda asked: np.full(len(asked), target.mean())


def _fit_ridge(features: Floats, target: Floats) -> Fitted:
    from sklearn.linear_model import RidgeCV

    centre, scale = features.mean(0), features.std(0)
    used = scale > 1e-9
    if not used.any() or np.ptp(target) == 0:
        return _mean_of(target)
    model = RidgeCV(alphas=_STRENGTHS)
    model.fit((features[:, used] - centre[used]) / scale[used], target)

    def predict(asked: Floats) -> Floats:
        guess: Floats = model.predict((asked[:, used] - centre[used]) / scale[used])
        # A sample unlike all others must not be predicted beyond what any was.
        return np.clip(guess, target.min(), target.max())

    return predict


def _fit_trees(features: Floats, target: Floats) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=20,
            l2_regularization=1.0, early_stopping=False, random_state=0,
        )  # fmt: skip
        model.fit(features, target)
    return lambda asked: np.asarray(model.predict(asked), np.float64)
