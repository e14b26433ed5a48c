"""The cluster bootstrap: its weights, its intervals, and what it refuses to say."""

import numpy as np
import pytest
import statsmodels.api as sm

from durian.analysis.statistics.bootstrap import (
    MANY,
    resample,
    resampled_weights,
    resamples_for,
    with_interval,
)
from durian.analysis.statistics.error_share import error_rate
from durian.analysis.statistics.estimate import Estimate


def test_every_resample_draws_as_many_samples_as_there_are():
    weights = np.concatenate(list(resampled_weights(7, seed=0)))
    assert weights.shape == (1000, 7)
    assert (weights.sum(axis=1) == 7).all() and (weights >= 0).all()
    # Each is drawn once on average; a mean of 1000 counts of variance 6/7 has deviation 0.03.
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.13)
    # Variance n * (1/n) * (1 - 1/n) = 6/7, not the 1 of independent Poisson weights.
    assert weights.var() == pytest.approx(6 / 7, abs=0.04)


def test_large_tables_are_resampled_in_blocks():
    n = 30_000
    blocks = list(resampled_weights(n, seed=0))
    assert len(blocks) > 1 and sum(len(block) for block in blocks) == 1000
    assert all((block.sum(axis=1) == n).all() for block in blocks[:2])
    assert resamples_for(MANY + 1) == 200


def test_equal_seeds_draw_equal_resamples():
    one, same, other = (next(resampled_weights(50, seed=seed)) for seed in (3, 3, 4))
    assert (one == same).all() and (one != other).any()


def test_an_interval_is_the_middle_95_percent_by_hand():
    # 0..1000: the 2.5 % point is at place 25, the 97.5 % point at 975.
    estimate = with_interval(500.0, np.arange(1001.0))
    assert (estimate.low, estimate.high) == (25.0, 975.0)
    assert estimate == Estimate(value=500.0, low=25.0, high=975.0)


def test_undefined_resamples_are_left_out():
    draws = np.r_[np.arange(1001.0), np.full(500, np.nan)]
    assert with_interval(1.0, draws).low == 25.0
    mostly = with_interval(1.0, np.r_[0.0, 1.0, np.full(3, np.nan)])
    assert mostly == Estimate(value=1.0, reason="undefined in most resamples")


def test_resamples_that_all_agree_give_no_interval_of_width_0():
    of_one = error_rate(np.array([3.0]), np.array([8.0]), seed=0)
    assert of_one.value == 3 / 8 and of_one.low is None and of_one.reason


# Planted: a sample's own error probability is uniform, so the true error rate is 1/2 and a
# sample's completions go together.
def planted(rng, samples, rollouts):
    own = rng.uniform(size=samples)
    return rng.binomial(rollouts, own).astype(np.float64)


def test_intervals_hold_the_truth_about_95_times_in_100():
    rng, held, runs = np.random.default_rng(1), 0, 300
    for seed in range(runs):
        interval = error_rate(planted(rng, 60, 8), np.full(60, 8.0), seed=seed)
        held += interval.low <= 0.5 <= interval.high
    # The deviation of 300 such shares is 1.3 %. A sample's rate has variance 1/6 / 8 + 1/12, over
    # three times the 1/4 / 8 of independent completions: an interval that took them for
    # independent would hold the truth 72 times in 100.
    assert 0.90 <= held / runs <= 0.99


def test_a_cluster_is_drawn_whole():
    clusters = np.array([0, 1, 0, 2, 1])
    weights = np.concatenate(list(resampled_weights(5, seed=0, clusters=clusters)))
    for alike in ((0, 2), (1, 4)):
        assert (weights[:, alike[0]] == weights[:, alike[1]]).all()
    drawn = weights[:, [0, 1, 3]]  # one sample of each cluster
    assert (drawn.sum(axis=1) == 3).all() and (drawn[:, 0] != drawn[:, 1]).any()


def test_clusters_of_one_sample_draw_as_samples_do():
    alone = next(resampled_weights(9, seed=4))
    assert (alone == next(resampled_weights(9, seed=4, clusters=np.arange(9)))).all()


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_intervals_are_as_wide_as_the_analytic_cluster_standard_error(alike):
    # 300 images of 2 to 6 questions, 4 completions each; a part of an image's difficulty is shared.
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(300), rng.integers(2, 7, 300))
    own, shared = rng.uniform(size=len(image)), rng.uniform(size=300)[image]
    wrong = rng.binomial(4, np.where(rng.random(len(image)) < alike, shared, own)).astype(float)
    total = np.full(len(image), 4.0)
    interval = error_rate(wrong, total, seed=0, clusters=image)
    fit = sm.WLS(wrong / total, np.ones(len(image)), weights=total).fit(
        cov_type="cluster", cov_kwds={"groups": image}
    )
    width = interval.high - interval.low
    assert width == pytest.approx(2 * 1.96 * float(fit.bse[0]), rel=0.1)
    by_sample = error_rate(wrong, total, seed=0)
    ratio = width / (by_sample.high - by_sample.low)
    assert ratio > 1.4 if alike else ratio == pytest.approx(1, abs=0.15)


def test_bounds_of_what_is_never_wrong_count_clusters():
    # Ten samples of two images are two trials: 1 - 0.025^(1/2).
    never = error_rate(np.zeros(10), np.full(10, 8.0), seed=0, clusters=np.arange(10) // 5)
    assert never.high == pytest.approx(1 - 0.025**0.5)


def test_all_statistics_see_the_same_resamples():
    drawn = resample({"a": lambda w: w[:, :1], "b": lambda w: w[:, :1] + 1}, 8, seed=0)
    assert (drawn["b"].draws - drawn["a"].draws == 1).all()
    assert drawn["a"].value.tolist() == [1] and drawn["a"].draws.shape == (1000, 1)


def test_identical_completions_widen_the_interval_as_if_there_were_one_each():
    rng = np.random.default_rng(2)
    wrong = 8.0 * (rng.uniform(size=100) < 0.5)
    interval = error_rate(wrong, np.full(100, 8.0), seed=0)
    rate = interval.value
    alone = 1.96 * np.sqrt(rate * (1 - rate) / 100)  # half width, binomial over samples
    naive = 1.96 * np.sqrt(rate * (1 - rate) / 800)  # and over completions
    half = (interval.high - interval.low) / 2
    assert half == pytest.approx(alone, rel=0.1) and half > 2.5 * naive
