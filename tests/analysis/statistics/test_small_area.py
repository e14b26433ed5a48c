"""Small-area estimates by hand, and against worlds whose truth is known."""

import numpy as np
import pytest
from scipy.stats import beta

from durian.analysis.statistics.small_area import (
    calibrated,
    from_log_sizes,
    log_sizes,
    mean_coverage,
    mean_posterior,
    own_variances,
    share_coverage,
    share_posterior,
    squared_errors,
)


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


@pytest.mark.parametrize("drawn", [2, 4, 8])
def test_intervals_of_samples_that_were_not_drawn_hold_the_truth(drawn):
    # 40 worlds of 400 drawn and 400 others, predicted alike: 16,000 of these. With the scatter of
    # truths taken for known, two draws held 92.9 % of the shares (250 worlds).
    random = np.random.default_rng(10 + drawn)
    shares, means = [], []
    for _ in range(40):
        truth, predicted = _shares("beta", random, 800)
        seen = np.repeat([float(drawn), 0.0], 400)
        found = share_posterior(random.binomial(seen.astype(int), truth) * 1.0, seen, predicted)
        f, sd, others = found.mean[400:], found.sd[400:], truth[400:]
        worth = f * (1 - f) / sd**2 - 1
        known = beta(f * worth, (1 - f) * worth)
        shares.append(np.mean((known.ppf(0.025) <= others) & (others <= known.ppf(0.975))))
        g = random.normal(0, 1, 800)
        truth = g + random.normal(0, 0.7, 800)
        draws = truth[:, None] + random.normal(0, 1.2, (800, drawn))
        y, within = draws.mean(1), draws.var(1, ddof=1)
        y[400:], within[400:] = np.nan, np.nan
        told = mean_posterior(y, within, seen, g)
        np.testing.assert_allclose(told.mean[400:], g[400:])
        means.append(np.mean(np.abs(truth - told.mean)[400:] <= 1.96 * told.sd[400:]))
    assert 0.93 <= np.mean(shares) <= 0.97 and 0.93 <= np.mean(means) <= 0.97


def test_coverage_of_coarse_counts_is_the_part_of_their_step():
    # One completion of chance 1/2: either outcome takes half of the scale, of which 2.5 % lie
    # outside, so 0.475 / 0.5.
    one, half = np.ones(2), np.full(2, 0.5)
    for level in (0.5, 0.95):
        inside = share_coverage(np.array([0.0, 1.0]), one, half, np.full(2, 0.1), level)
        assert inside == pytest.approx(level)
    # Surely wrong forecasts: 8 of 8 where next to none is forecast, and closely.
    assert share_coverage(8 * one, 8 * one, 0.02 * one, 0.01 * one, 0.95) < 0.01


def test_coverage_of_means_counts_those_within_reach():
    # Variance 0.6^2 + 0.64 = 1: 1.9 is within 1.96, 2 is not.
    off, nothing = np.array([1.9, -2.0]), np.zeros(2)
    noise, around = np.full(2, 0.64), np.full(2, 0.6)
    assert mean_coverage(off, noise, nothing, around, 0.95) == 0.5
    assert mean_coverage(off / 2.9, noise, nothing, around, 0.5) == 0.5  # 0.655, 0.690; to 0.674


def test_squared_errors_know_the_noise_of_what_they_are_held_against():
    # An estimate of 1/2 that is right, against two completions: counts 0, 1, 1, 2 by chance.
    # (1/2 - c/2)^2 = 1/4, 0, 0, 1/4, less c (2 - c) / 4 = 0, 1/4, 1/4, 0: zero on average.
    counted, two = np.array([0.0, 1.0, 1.0, 2.0]), np.full(4, 2.0)
    assert squared_errors(np.full(4, 0.5), counted, two).mean() == 0
    # One that is off by 1/4 has 1/16 on average.
    assert squared_errors(np.full(4, 0.75), counted, two).mean() == pytest.approx(1 / 16)
    assert own_variances(counted, two).mean() == 1 / 8  # p (1 - p) / 2


def test_log_sizes_by_hand():
    # Sizes 1, 3 and none, of mean 4/3: the last counts as a hundredth of that.
    found = log_sizes(np.array([-1.0, -3.0, 0.0, np.nan]))
    np.testing.assert_allclose(found[:3], np.log([1, 3, 4 / 300]))
    assert np.isnan(found[3])
    # exp gives 1 and 4 where 2 and 6 were seen: eight fifths of each, so that the means agree.
    seen = np.array([-2.0, -6.0, np.nan])
    np.testing.assert_allclose(from_log_sizes(np.log([1.0, 4.0, 5.0]), seen), [-1.6, -6.4, -8])


def test_completions_that_are_all_sure_are_predicted_to_be():
    sure = np.zeros(4)
    np.testing.assert_array_equal(from_log_sizes(log_sizes(sure), sure), 0)
