"""The cluster bootstrap: its weights, its intervals, and what it refuses to say."""

import numpy as np
import pytest

from pipelines.analysis.bootstrap import MANY, resampled_weights, resamples_for, with_interval
from pipelines.analysis.error_share import error_rate


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
    assert estimate.as_dict() == {"value": 500.0, "low": 25.0, "high": 975.0}


def test_undefined_resamples_are_left_out():
    draws = np.r_[np.arange(1001.0), np.full(500, np.nan)]
    assert with_interval(1.0, draws).low == 25.0
    mostly = with_interval(1.0, np.r_[0.0, 1.0, np.full(3, np.nan)])
    assert mostly.as_dict() == {
        "value": 1.0, "low": None, "high": None, "reason": "undefined in most resamples",
    }  # fmt: skip


def test_resamples_that_all_agree_give_no_interval_of_width_0():
    of_one = error_rate(np.array([3.0]), np.array([8.0]), seed=0)
    assert of_one["value"] == 3 / 8 and of_one["low"] is None and of_one["reason"]


# Planted: a sample's own error probability is uniform, so the true error rate is 1/2 and a
# sample's completions go together.
def planted(rng, samples, rollouts):
    own = rng.uniform(size=samples)
    return rng.binomial(rollouts, own).astype(np.float64)


def test_intervals_hold_the_truth_about_95_times_in_100():
    rng, held, runs = np.random.default_rng(1), 0, 300
    for seed in range(runs):
        interval = error_rate(planted(rng, 60, 8), np.full(60, 8.0), seed=seed)
        held += interval["low"] <= 0.5 <= interval["high"]
    # The deviation of 300 such shares is 1.3 %. A sample's rate has variance 1/6 / 8 + 1/12, over
    # three times the 1/4 / 8 of independent completions: an interval that took them for
    # independent would hold the truth 72 times in 100.
    assert 0.90 <= held / runs <= 0.99


def test_identical_completions_widen_the_interval_as_if_there_were_one_each():
    rng = np.random.default_rng(2)
    wrong = 8.0 * (rng.uniform(size=100) < 0.5)
    interval = error_rate(wrong, np.full(100, 8.0), seed=0)
    rate = interval["value"]
    alone = 1.96 * np.sqrt(rate * (1 - rate) / 100)  # half width, binomial over samples
    naive = 1.96 * np.sqrt(rate * (1 - rate) / 800)  # and over completions
    half = (interval["high"] - interval["low"]) / 2
    assert half == pytest.approx(alone, rel=0.1) and half > 2.5 * naive
