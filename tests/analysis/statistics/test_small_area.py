"""Small-area estimates by hand, and against worlds whose truth is known."""

import numpy as np
import pytest
from scipy.stats import beta

from durian.analysis.statistics.small_area import calibrated, mean_posterior, share_posterior


def test_two_samples_that_never_agree_keep_their_own_counts():
    # Two of two and none of two around f = 1/2. Ordered pairs of (y - f)(y' - f): 1/4 each, so
    # rho = (1/4 + 1/4) / (1/4 + 1/4) = 1, which is cut to 0.98: k = 1 / 0.98 - 1 = 1 / 49.
    found = share_posterior(np.array([2.0, 0.0]), np.array([2.0, 2.0]), np.array([0.5, 0.5]))
    k = 1 / 49
    expected = [(k / 2 + 2) / (k + 2), (k / 2) / (k + 2)]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-6)
    sd = [float(np.sqrt(m * (1 - m) / (k + 3))) for m in expected]
    np.testing.assert_allclose(found.sd, sd, rtol=1e-5)


def test_two_samples_that_agree_less_than_chance_become_the_prediction():
    # One of two each around 1/2: the pairs are -1/4, so nothing is left for the truth to scatter.
    found = share_posterior(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(found.mean, [0.5, 0.5])
    assert found.own_weight < 1e-3


def test_means_of_two_samples_by_hand():
    # Draws (1, 3) and (5, 7): means 2 and 6, within 2 and 2, so w = 2 / 2 = 1. Around f = 4:
    # (y - f)^2 - w = 4 - 1 = 3 for both, so s = 3 with no error. Weight 3 / 4.
    found = mean_posterior(
        np.array([2.0, 6.0]), np.array([2.0, 2.0]), np.array([2.0, 2.0]), np.array([4.0, 4.0])
    )
    np.testing.assert_allclose(found.mean, [2.5, 5.5], rtol=1e-6)
    np.testing.assert_allclose(found.sd, [np.sqrt(0.75)] * 2, rtol=1e-6)
    assert found.own_weight == pytest.approx(0.75)


def test_a_sample_that_was_not_drawn_is_its_prediction_with_all_the_scatter():
    found = mean_posterior(
        np.array([2.0, 6.0, np.nan]), np.array([2.0, 2.0, np.nan]),
        np.array([2.0, 2.0, 0.0]), np.array([4.0, 4.0, 4.5]),
    )  # fmt: skip
    assert found.mean[2] == 4.5
    assert found.sd[2] == pytest.approx(np.sqrt(3))


def test_single_draws_give_no_deviation():
    shares = share_posterior(np.array([1.0, 0.0]), np.ones(2), np.array([0.5, 0.5]))
    means = mean_posterior(
        np.array([1.0, 3.0]), np.full(2, np.nan), np.ones(2), np.array([2.0, 2.0])
    )
    assert np.isnan(shares.sd).all() and np.isnan(means.sd).all()
    np.testing.assert_allclose(means.mean, [1.5, 2.5])  # half way


def test_predictions_that_know_nothing_become_the_mean():
    seen = np.array([0.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(calibrated(np.array([1.0, 0, 1, 0]), seen), 0.5)  # turned round
    np.testing.assert_allclose(calibrated(seen, seen), seen)
    half = calibrated(np.array([-0.5, 1.5, -0.5, 1.5]), seen)  # twice too wide: slope 1/2
    np.testing.assert_allclose(half, seen)


def _shares(kind: str, random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """True shares of a world and predictions of them, which are right on average."""
    f = random.uniform(0.1, 0.9, n)
    if kind == "beta":
        return random.beta(4 * f, 4 * (1 - f)), f
    if kind == "two kinds":  # solved or hopeless
        return np.where(random.random(n) < f, 0.97, 0.03), f
    if kind == "predicted well":
        return np.clip(f + random.normal(0, 0.05, n), 0, 1), f
    if kind == "nothing known":
        return random.beta(1.5, 2.5, n), np.full(n, 0.375)
    if kind == "all alike":
        return np.full(n, 0.4), np.full(n, 0.4)
    assert kind == "mostly solved"
    f = random.beta(1, 9, n)
    return random.beta(5 * f + 1e-3, 5 * (1 - f) + 1e-3), f


WORLDS = ("beta", "two kinds", "predicted well", "nothing known", "all alike", "mostly solved")


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("drawn", [2, 8])
def test_shares_are_nearer_to_the_truth_than_counts_are(kind, drawn):
    random = np.random.default_rng(WORLDS.index(kind) * 10 + drawn)
    truth, predicted = _shares(kind, random, 4000)
    counted = random.binomial(drawn, truth).astype(float)
    found = share_posterior(counted, np.full(4000, float(drawn)), predicted)
    raw = np.sqrt(np.mean((counted / drawn - truth) ** 2))
    assert np.sqrt(np.mean((found.mean - truth) ** 2)) <= 1.02 * raw


@pytest.mark.parametrize("drawn", [2, 4, 8])
def test_intervals_of_shares_hold_the_truth_nineteen_times_in_twenty(drawn):
    # 40 worlds of 400: 16,000 samples, and the chance error of the coverage is 0.17 points; the
    # prior of the model is the world's own, so nothing but the estimate of rho can be wrong.
    random = np.random.default_rng(drawn)
    held = []
    for _ in range(40):
        truth, predicted = _shares("beta", random, 400)
        counted = random.binomial(drawn, truth).astype(float)
        found = share_posterior(counted, np.full(400, float(drawn)), predicted)
        worth = found.mean * (1 - found.mean) / found.sd**2 - 1
        known = beta(found.mean * worth, (1 - found.mean) * worth)
        held.append(np.mean((known.ppf(0.025) <= truth) & (truth <= known.ppf(0.975))))
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("drawn", [2, 4, 8])
def test_intervals_of_means_hold_the_truth_nineteen_times_in_twenty(drawn):
    random = np.random.default_rng(drawn)
    held = []
    for _ in range(40):
        f = random.normal(0, 1, 400)
        truth = f + random.normal(0, 0.7, 400)
        draws = truth[:, None] + random.normal(0, 1.2, (400, drawn))
        found = mean_posterior(draws.mean(1), draws.var(1, ddof=1), np.full(400, float(drawn)), f)
        held.append(np.mean(np.abs(truth - found.mean) <= 1.96 * found.sd))
    assert 0.93 <= np.mean(held) <= 0.97


def test_intervals_of_few_samples_know_that_the_scatter_is_known_roughly():
    # 200 worlds of 40 samples, two draws each. With the scatter taken for known the same intervals
    # held 79 % (shares) and 87 % (means) of the truths; averaged over what it may be, 93 and 92.
    random = np.random.default_rng(2)
    shares, means, two = [], [], np.full(40, 2.0)
    for _ in range(200):
        truth, predicted = _shares("beta", random, 40)
        found = share_posterior(random.binomial(2, truth).astype(float), two, predicted)
        worth = found.mean * (1 - found.mean) / found.sd**2 - 1
        known = beta(found.mean * worth, (1 - found.mean) * worth)
        shares.append(np.mean((known.ppf(0.025) <= truth) & (truth <= known.ppf(0.975))))
        f = random.normal(0, 1, 40)
        truth = f + random.normal(0, 0.7, 40)
        draws = truth[:, None] + random.normal(0, 1.2, (40, 2))
        found = mean_posterior(draws.mean(1), draws.var(1, ddof=1), two, f)
        means.append(np.mean(np.abs(truth - found.mean) <= 1.96 * found.sd))
    assert np.mean(shares) >= 0.9 and np.mean(means) >= 0.9


def test_weights_equal_the_closed_form_of_the_beta_binomial():
    # A peer: with the worth of a prediction known, scipy's Beta is the posterior.
    random = np.random.default_rng(5)
    truth = random.beta(3, 3, 200_000)
    counted = random.binomial(4, truth).astype(float)
    found = share_posterior(counted, np.full(200_000, 4.0), np.full(200_000, 0.5))
    for c in range(5):
        exact = beta(3 + c, 3 + 4 - c)
        np.testing.assert_allclose(found.mean[counted == c], exact.mean(), atol=0.004)
        np.testing.assert_allclose(found.sd[counted == c], exact.std(), atol=0.004)
