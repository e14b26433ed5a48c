import itertools
import json

import numpy as np
import pytest
from scipy.stats import binomtest

from durian.analysis.evaluation import Accuracy
from durian.analysis.statistics.accuracy import (
    Judged,
    accuracy,
    accuracy_by_group,
    compare_greedy,
    compare_sampled,
    difference,
    difference_by_group,
    mcnemar,
    rates,
    sign_flips,
    wilson,
)
from durian.records import as_json


def judged(right, completions=1, formatted=1.0):
    n = len(right)
    return Judged(
        completions=completions,
        right=np.array(right, np.float64),
        formatted=np.full(n, formatted),
        tokens=np.arange(n, dtype=np.float64),
        truncated=np.zeros(n),
    )


def test_wilsons_interval_by_hand():
    # 8 of 10 with z = 1.96: middle (0.8 + 0.19207) / 1.38415 = 0.716738, half-width
    # 1.96 / 1.38415 * sqrt(0.016 + 0.0096036) = 0.226577.
    assert wilson(8, 10) == pytest.approx((0.490161, 0.943315), abs=2e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
def test_wilsons_interval_is_scipys(n):
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        known = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((known.low, known.high), abs=1e-12)
        low, high = wilson(right, n)
        assert 0.0 <= low <= right / n <= high <= 1.0  # to the last bit


def test_one_completion_a_sample_has_wilsons_interval_and_more_have_the_bootstraps():
    one = accuracy(np.array([1.0, 0.0, 1.0, 1.0]), np.ones(4), seed=0)
    known = binomtest(3, 4).proportion_ci(method="wilson")
    assert one.accuracy == 0.75 and one.interval == "wilson"
    assert (one.low, one.high) == pytest.approx((known.low, known.high))
    # 8 of 8 and 0 of 8: the two samples drawn again give 0, 1/2 or 1 with chance 1/4, 1/2, 1/4,
    # so the 2.5th and 97.5th percentiles are 0 and 1, though 16 completions were judged.
    more = accuracy(np.array([8.0, 0.0]), np.array([8.0, 8.0]), seed=0)
    assert more == Accuracy(accuracy=0.5, low=0.0, high=1.0, n=2, interval="cluster bootstrap")
    assert as_json(more) == {"accuracy": 0.5, "low": 0.0, "high": 1.0, "n": 2,
                             "interval": "cluster bootstrap"}  # fmt: skip


def test_where_all_completions_are_right_the_bound_counts_samples():
    # Clopper and Pearson's with 4 trials: 0.025 ** (1/4) = 0.397635.
    sure = accuracy(np.full(4, 8.0), np.full(4, 8.0), seed=0)
    assert (sure.accuracy, sure.high) == (1.0, 1.0)
    assert sure.low == pytest.approx(0.397635, abs=1e-6)
    never = accuracy(np.zeros(4), np.full(4, 8.0), seed=0)
    assert (never.accuracy, never.low) == (0.0, 0.0)
    assert never.high == pytest.approx(1 - 0.397635, abs=1e-6)


def test_the_bootstraps_interval_covers_where_samples_differ():
    # Pass rates from Beta(0.5, 0.5), mean 1/2: most samples are nearly always right or wrong.
    # Taking the 480 completions for independent trials covers 2 times in 3.
    rng, covered, naive = np.random.default_rng(0), 0, 0
    for seed in range(200):
        right = rng.binomial(8, rng.beta(0.5, 0.5, size=60)).astype(np.float64)
        found = accuracy(right, np.full(60, 8.0), seed=seed)
        covered += found.low <= 0.5 <= found.high
        low, high = wilson(int(right.sum()), 480)
        naive += low <= 0.5 <= high
    assert 0.90 <= covered / 200 <= 0.99
    assert naive / 200 < 0.8


def test_rates_are_json_and_a_format_that_is_not_judged_is_null():
    found = rates(judged([2, 1, 0], completions=2, formatted=np.nan), seed=0)
    assert found.accuracy == 0.5 and found.completions == 6
    assert (found.format_rate, found.mean_tokens, found.truncated) == (None, 1.0, 0.0)
    json.dumps(as_json(found), allow_nan=False)


def test_mcnemars_p_by_hand():
    # 5 against 1: twice the chance of at most 1 head in 6, 2 * (1 + 6) / 64.
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(1, 5) == pytest.approx(14 / 64)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0


def exact_p(differences):
    """All 2 ** N ways to turn signs."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    return float((abs(signs @ differences) >= abs(sum(differences))).mean())


@pytest.mark.parametrize(
    "differences",
    [[3, 2, 2, 1, 0, -1], [1, 1, 1, -1, 1, 1, 1], [8, -8, 1], [4, 4, 3, -2, 5, 1, 1, 2, -1, 6]],
)
def test_sign_flips_give_the_exact_permutation_tests_p(differences):
    exact = exact_p(differences)
    found = sign_flips(np.array(differences, np.float64), seed=1)
    assert found == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 10_000) ** 0.5 + 1e-4)


def test_sign_flips_of_single_completions_are_mcnemars_test():
    differences = np.array([1.0] * 9 + [-1.0] * 2 + [0.0] * 30)
    assert sign_flips(differences, seed=0) == pytest.approx(mcnemar(9, 2), abs=0.01)


def test_sign_flips_without_a_difference_say_nothing_and_the_smallest_p_is_not_zero():
    assert sign_flips(np.zeros(5), seed=0) == 1.0
    assert sign_flips(np.full(200, 8.0), seed=0) == pytest.approx(1 / 10_001)


def test_sign_flips_seldom_find_what_is_not_there():
    # Two policies alike: p is below 0.05 in at most 5 of 100 trials, up to chance (4 errors).
    rng, found = np.random.default_rng(0), 0
    for seed in range(300):
        rate = rng.beta(0.5, 0.5, size=40)
        found += sign_flips((rng.binomial(8, rate) - rng.binomial(8, rate)) * 1.0, seed=seed) < 0.05
    assert found / 300 < 0.05 + 4 * (0.05 * 0.95 / 300) ** 0.5


def test_differences_are_ours_minus_theirs():
    ours, theirs = judged([1, 1, 0, 1]), judged([0, 1, 1, 0])
    found = compare_greedy(ours, theirs, seed=0)
    assert found.difference.value == 0.25
    assert (found.only_first_right, found.only_second_right) == (2, 1)
    assert found.p == 1.0  # 2 against 1: twice 4/8
    back = compare_greedy(theirs, ours, seed=0)
    assert back.difference.value == -0.25
    assert back.difference.low == -found.difference.high


def test_a_paired_difference_is_surer_than_the_two_rates():
    # The first policy has one more right of 8 on nearly all samples, whatever their difficulty.
    rng = np.random.default_rng(3)
    theirs = rng.integers(0, 8, 100).astype(np.float64)
    ours = theirs + (rng.random(100) < 0.9)
    pair = judged(ours, completions=8), judged(theirs, completions=8)
    found = compare_sampled(*pair, seed=0)
    assert found.difference.value == pytest.approx((ours - theirs).mean() / 8)
    width = found.difference.high - found.difference.low
    apart = rates(pair[0], seed=0)
    assert width < (apart.high - apart.low) / 5
    assert found.p == pytest.approx(1 / 10_001)


def test_a_difference_that_is_the_same_everywhere_has_no_interval():
    found = difference(judged([1, 1]), judged([0, 0]), seed=0)
    assert (found.value, found.low, found.reason) == (1.0, None, "all resamples agree")


def test_groups_are_in_order_and_hold_their_own_samples_alone():
    labels = ["hard", "easy", None, "easy", "hard", "easy"]
    policy = {"greedy": judged([1, 1, 1, 0, 0, 1]), "sampled": judged([2, 4, 4, 0, 1, 4], 4)}
    found = accuracy_by_group(labels, ["easy", "medium", "hard"], policy, seed=0)
    assert [(row.group, row.n) for row in found] == [("easy", 3), ("hard", 2)]
    assert [row.greedy.accuracy for row in found] == [pytest.approx(2 / 3), 0.5]
    assert [row.sampled.accuracy for row in found] == [pytest.approx(8 / 12), 3 / 8]
    other = {"greedy": judged([0, 1, 0, 0, 0, 0]), "sampled": judged([0, 4, 0, 0, 1, 2], 4)}
    pairs = {name: (policy[name], other[name]) for name in policy}
    moved = difference_by_group(labels, ["easy", "medium", "hard"], pairs, seed=0)
    assert [row.greedy.value for row in moved] == [pytest.approx(1 / 3), 0.5]
    assert [row.sampled.value for row in moved] == [pytest.approx(2 / 12), 2 / 8]
