"""Cross-fitted predictions in worlds whose best model is known."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from durian.analysis.statistics.small_area import (
    Posterior,
    calibrated,
    mean_posterior,
    share_posterior,
)
from durian.estimating import prediction
from durian.estimating.features import sample_features
from durian.estimating.prediction import FOLDS, cross_fitted

N = 600


def _world(kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.standard_normal((N, 3))
    noise = 0.3 * random.standard_normal(N)
    if kind == "line":
        return features, features @ [1.0, -0.5, 0.0] + noise
    # Neither feature alone says anything: a ridge over them can do no better than the mean.
    return features, np.sign(features[:, 0] * features[:, 1]) + noise


@pytest.mark.parametrize(("kind", "trees"), [("line", 0), ("crossed", FOLDS)])
def test_trees_are_taken_where_they_are_better_and_nowhere_else(kind, trees):
    features, target = _world(kind)
    found = cross_fitted(features, target, np.arange(N), np.arange(N) % FOLDS)
    assert found.trees == trees
    left = np.mean((target - found.values) ** 2) / np.var(target)
    # Noise alone is 0.09 / (1.25 + 0.09) of the line's variance and 0.09 / 1.09 of the other's.
    assert left < (0.1 if kind == "line" else 0.35)


def test_few_samples_are_left_to_the_ridge(monkeypatch):
    features, target = _world("crossed")
    monkeypatch.setattr(prediction, "_fit_trees", None)  # would end the test
    few = slice(prediction._TREES_FROM)  # four fifths of them are fewer
    cross_fitted(features[few], target[few], np.arange(N)[few], (np.arange(N) % FOLDS)[few])


def test_a_sample_teaches_its_own_prediction_nothing():
    features, target = _world("line")
    folds = np.arange(N) % FOLDS
    before = cross_fitted(features, target, np.arange(N), folds).values
    target[folds == 2] += 100.0
    after = cross_fitted(features, target, np.arange(N), folds).values
    np.testing.assert_array_equal(before[folds == 2], after[folds == 2])


def test_what_was_drawn_in_one_fold_alone_is_predicted_by_its_mean():
    target = np.full(40, np.nan)
    target[[0, 5]] = 1.0, 2.0  # fold 0
    found = cross_fitted(np.ones((40, 1)), target, np.arange(40), np.arange(40) % FOLDS)
    np.testing.assert_array_equal(found.values, 1.5)


def test_features_tell_apart_what_a_reader_would():
    import polars as pl

    table = pl.DataFrame(
        {
            "problem": ["\u9762\u79ef\u662f\u591a\u5c11", "\u9762\u79ef\u5462"] * 3,
            "answer": ["12", "yes", "B", "a long one", "12", "no"],
            "n_images": [1] * 6, "width": [64] * 6, "height": [64, 32] * 3,
            "pixel_entropy": [1.0, None, 2.0, 3.0, 4.0, 5.0], "spectral_entropy": [None] * 6,
        },
        schema_overrides={"spectral_entropy": pl.Float64},
    )  # fmt: skip
    own = pl.DataFrame({"kind": list("aabbab"), "level": [1, 2, 3, 4, 5, 6], "url": list("abcdef")})
    found = sample_features(table, own)
    about = list(dict.fromkeys(found.about))
    # Chinese has no spaces: its characters are words. One image each says nothing, nor do texts
    # that stand once.
    assert about == [
        "words of the question", "length of the question", "length of the answer",
        "form of the answer", "size of the image", "shape of the image", "pixel_entropy", "kind",
        "level",
    ]  # fmt: skip
    values = found[np.arange(6)]
    entropy = values[:, [name == "pixel_entropy" for name in found.about]]
    # The missing one takes the median of 1, 2, 3, 4, 5, and says that it was missing.
    np.testing.assert_array_equal(entropy[:, 0], [1, 3, 2, 3, 4, 5])
    np.testing.assert_array_equal(entropy[:, 1], [0, 1, 0, 0, 0, 0])
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(found[np.array([4, 1])], values[[4, 1]])  # whoever is asked for


def test_models_tell_what_they_lean_on():
    features, target = _world("line")
    about = ["first", "second", "neither"]
    found = cross_fitted(features, target, np.arange(N), np.arange(N) % FOLDS, about).leans
    # y = x - z / 2 + noise of variance 0.09: of 1 + 0.25 + 0.09 = 1.34 the first has 1, the second
    # 0.25, that is 75 and 19 %.
    assert found["first"] == pytest.approx(0.75, abs=0.1)
    assert found["second"] == pytest.approx(0.19, abs=0.05)
    assert found["neither"] == pytest.approx(0, abs=0.01)


def test_columns_of_one_name_are_told_together():
    features, target = _world("crossed")
    found = cross_fitted(
        features, target, np.arange(N), np.arange(N) % FOLDS, ["both", "both", "neither"]
    ).leans
    # Without the two nothing is left of the sign of their product, of variance 1 beside 0.09.
    assert found["both"] > 0.5 and found["neither"] < 0.05


def _estimated(
    kind: str, random: np.random.Generator, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Posterior, np.ndarray]:
    """Truths that nothing tells, means of two draws, predictions by columns of chance, estimates by
    these, and Bayes's."""
    chance, folds, two = random.standard_normal((n, 30)), np.arange(n) % FOLDS, np.full(n, 2.0)
    if kind == "shares":
        truth = random.beta(1.5, 2.5, n)
        counted = random.binomial(2, truth).astype(float)
        f = cross_fitted(chance, counted / 2, np.arange(n), folds).values
        found = share_posterior(counted, two, calibrated(f, counted / 2))
        return truth, counted / 2, f, found, (counted + 1.5) / (2 + 1.5 + 2.5)
    truth = random.normal(0, 0.7, n)
    draws = truth[:, None] + random.normal(0, 1.4, (n, 2))
    y = draws.mean(1)
    f = cross_fitted(chance, y, np.arange(n), folds).values
    found = mean_posterior(y, draws.var(1, ddof=1), two, calibrated(f, y))
    return truth, y, f, found, y * 0.49 / (0.49 + 1.96 / 2)


@pytest.mark.parametrize("kind", ["shares", "means"])
def test_columns_of_chance_cost_nothing_and_errors_are_what_is_claimed(kind):
    # 20 worlds of 100 samples. Models that saw the sample itself follow its noise, by 0.03 (shares)
    # and 0.04 (means) of it; -0.02 and -0.01 as they are. Where the draws' own noise is not taken
    # off what the truths scatter, estimates err 1.35 and 1.17 times as much as Bayes's (1.03 and
    # 1.05 as they are); where the two weigh the same, means claim 1.17 times what they err.
    lost, squares, known = [], [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        truth, raw, f, found, best = _estimated(kind, random, 100)
        ties = 1e-9 * random.standard_normal(100)  # broken by chance
        before, after = (kendalltau(x + ties, truth).statistic for x in (raw, found.mean))
        lost.append(before - after)
        made = (found.mean - truth) ** 2
        squares.append([made.mean(), ((best - truth) ** 2).mean(), (found.sd**2).mean()])
        known.append(np.mean((f - f.mean()) * (raw - truth)) / np.var(raw - truth))
    made, least, claimed = np.sqrt(np.mean(squares, axis=0))
    assert np.mean(known) <= 0.005
    assert np.mean(lost) <= 0.01
    assert made <= 1.07 * least
    assert 0.88 <= claimed / made <= 1.12


def test_more_samples_than_models_learn_from_are_predicted_block_by_block(monkeypatch):
    features, target = _world("line")
    whole = cross_fitted(features, target, np.arange(N), np.arange(N) % FOLDS).values
    asked = []

    class Rows:
        def __getitem__(self, samples):
            asked.append(len(samples))
            return features[samples]

    monkeypatch.setattr(prediction, "_TAUGHT", 200)
    monkeypatch.setattr(prediction, "_BLOCK", 64)
    part = cross_fitted(Rows(), target, np.arange(N), np.arange(N) % FOLDS).values
    # 200 to learn from, then 600 by 64: never all at once.
    assert asked == [200] + [64] * 9 + [24]
    # Of 200 the slopes are known to 0.3 / sqrt(160) = 0.024 each, so predictions nearly agree.
    assert np.sqrt(np.mean((part - whole) ** 2)) < 0.08
