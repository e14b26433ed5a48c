import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import beta, binomtest, t

from durian.analysis.statistics.accuracy import (
    Judged,
    accuracy,
    accuracy_by_group,
    compare_greedy,
    compare_sampled,
    difference,
    difference_by_group,
    mcnemar,
    pass_at,
    pass_at_by_group,
    rates,
    sign_flips,
    wilson,
)
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED
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


def test_pass_at_counts_the_draws_without_a_right_one():
    # Two of four right: of the 6 pairs one has none, of the 4 triples none. None right: never.
    two, none = pass_at(judged([2.0], completions=4), [2, 3], apart(1)), [0.0]
    assert [each.value for each in two] == [pytest.approx(5 / 6), 1.0]
    assert [e.value for e in pass_at(judged([0.0], completions=4), [4], apart(1))] == none
    mixed = pass_at(judged([2.0, 0.0], completions=4), [1, 2], apart(2))
    assert [each.value for each in mixed] == pytest.approx([1 / 4, 5 / 12])


@pytest.mark.parametrize("together", [1, 3])
def test_intervals_of_pass_at_hold_the_truth(together):
    # Pass rates of Beta(1/2, 1), whole images alike: E[(1 - p)^4] = prod (1 + i) / (1.5 + i).
    random = np.random.default_rng(0)
    truth = 1 - math.prod((1 + i) / (1.5 + i) for i in range(4))
    held, images = 0, 120
    for _ in range(400):
        rate = random.beta(0.5, 1.0, images).repeat(together)
        drawn = judged(random.binomial(16, rate), completions=16)
        clusters = Clusters(np.arange(images).repeat(together))
        (found,) = pass_at(drawn, [4], clusters)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 400 <= 0.985


def test_pass_at_is_given_by_group_too():
    drawn = judged([4.0, 0.0, 2.0, 2.0], completions=4)
    rows = pass_at_by_group(
        {"perceptual": ["easy", "hard", None, "easy"]}, {"perceptual": ["easy", "hard"]},
        drawn, [2], apart(4),
    )  # fmt: skip
    found = [(row.kind, row.group, row.n, row.shares[0].value) for row in rows]
    assert found == [
        (None, "all", 4, pytest.approx((1 + 0 + 5 / 6 + 5 / 6) / 4)),
        ("perceptual", "easy", 2, pytest.approx((1 + 5 / 6) / 2)),
        ("perceptual", "hard", 1, 0.0),
    ]


def apart(n):
    return Clusters.apart(n)


def test_one_completion_a_cluster_has_wilsons_interval_and_more_have_korn_and_graubards():
    right = np.array([1.0, 0.0, 1.0, 1.0] * 4)
    one = accuracy(right, np.ones(16), apart(16))
    known = binomtest(12, 16).proportion_ci(method="wilson")
    assert one.accuracy == 0.75 and one.interval == "wilson"
    assert (one.low, one.high) == pytest.approx((known.low, known.high))
    more = accuracy(8 * right, np.full(16, 8.0), apart(16))
    assert more.interval == "korn-graubard over samples"
    assert as_json(more) == {"accuracy": 0.75, "low": more.low, "high": more.high, "n": 16,
                             "interval": "korn-graubard over samples"}  # fmt: skip


def test_fewer_than_ten_samples_or_images_have_no_interval_and_it_is_said():
    few = accuracy(np.array([8.0, 0.0]), np.array([8.0, 8.0]), apart(2))
    assert (few.accuracy, few.low) == (0.5, None)
    assert few.reason == "2 samples are too few for an interval"
    images = accuracy(np.ones(100), np.ones(100), Clusters(np.arange(100) % 9))
    assert images.reason == "9 images are too few for an interval"


def test_where_all_completions_are_right_the_bound_counts_samples():
    # Clopper and Pearson's with 12 trials: 0.025 ** (1/12) = 0.735353.
    sure = accuracy(np.full(12, 8.0), np.full(12, 8.0), apart(12))
    assert (sure.accuracy, sure.high) == (1.0, 1.0)
    assert sure.low == pytest.approx(0.025 ** (1 / 12))
    never = accuracy(np.zeros(12), np.full(12, 8.0), apart(12))
    assert (never.accuracy, never.low) == (0.0, 0.0)
    assert never.high == pytest.approx(1 - 0.025 ** (1 / 12))


def shared_images():
    """60 images x 20 questions; the two policies are right or wrong by image, 28 and 25 of 60."""
    image = np.repeat(np.arange(60), 20)
    ours, theirs = np.arange(60) < 28, (np.arange(60) >= 10) & (np.arange(60) < 35)
    return Clusters(image), judged(1.0 * ours[image]), judged(1.0 * theirs[image])


def test_the_accuracy_of_questions_about_shared_images_is_as_sure_as_the_images():
    clusters, ours, _ = shared_images()
    found = rates(ours, clusters)
    # 60 trials, 28 right; jackknife variance p (1 - p) / 59, so 59 effective trials, made 58 and a
    # half by (1.96 / t_59)^2: Clopper and Pearson's interval of these, from beta quantiles.
    p, trials = 28 / 60, 59 * (1.959964 / t.ppf(0.975, 59)) ** 2
    low = beta.ppf(0.025, p * trials, trials - p * trials + 1)
    high = beta.ppf(0.975, p * trials + 1, trials - p * trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    assert found.low < 0.34 and found.high > 0.60  # of 1,200 questions apart: 43.9 to 49.5


def test_two_equally_good_policies_are_not_told_apart_by_questions_about_shared_images():
    # 10 images only ours has right, 7 only theirs: of 17 coins, at least 10 heads or at most 7.
    clusters, ours, theirs = shared_images()
    coins = 2 * sum(math.comb(17, k) for k in range(10, 18)) / 2**17
    found = compare_greedy(ours, theirs, clusters, seed=0)
    assert found.test == "sign-flip permutation of images"
    assert found.p == pytest.approx(coins, abs=0.02) and coins > 0.6
    assert found.difference.value == pytest.approx(0.05)
    # 17 of 60 images differ: a deviation of sqrt(17 / 60 - 0.05^2) / sqrt(59) = 0.069.
    width = found.difference.high - found.difference.low
    assert width == pytest.approx(2 * 2.0 * 0.069, rel=0.1)
    assert compare_greedy(ours, theirs, apart(1200), seed=0).p < 0.01  # as it was said before


def test_rates_are_json_and_a_format_that_is_not_judged_is_null():
    found = rates(judged([2, 1, 0], completions=2, formatted=np.nan), apart(3))
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
    ours, theirs = judged([1, 1, 0, 1] * 4), judged([0, 1, 1, 0] * 4)
    found = compare_greedy(ours, theirs, apart(16), seed=0)
    assert found.difference.value == 0.25
    assert (found.only_first_right, found.only_second_right) == (8, 4)
    # 8 against 4: twice (1 + 12 + 66 + 220 + 495) / 4096.
    assert found.test == "exact McNemar" and found.p == pytest.approx(2 * 794 / 4096)
    back = compare_greedy(theirs, ours, apart(16), seed=0)
    assert back.difference.value == -0.25
    assert back.difference.low == pytest.approx(-found.difference.high)


def test_a_paired_difference_is_surer_than_the_two_rates():
    # The first policy has one more right of 8 on nearly all samples, whatever their difficulty.
    rng = np.random.default_rng(3)
    theirs = rng.integers(0, 8, 100).astype(np.float64)
    ours = theirs + (rng.random(100) < 0.9)
    pair = judged(ours, completions=8), judged(theirs, completions=8)
    found = compare_sampled(*pair, apart(100), seed=0)
    assert found.difference.value == pytest.approx((ours - theirs).mean() / 8)
    width = found.difference.high - found.difference.low
    alone = rates(pair[0], apart(100))
    assert width < (alone.high - alone.low) / 5
    assert found.p == pytest.approx(1 / 10_001)


def test_a_difference_that_is_the_same_everywhere_has_no_interval():
    found = difference(judged([1, 1]), judged([0, 0]), apart(2))
    assert (found.value, found.low, found.reason) == (1.0, None, AGREED)


def test_groups_are_in_order_and_hold_their_own_samples_alone():
    labels = ["hard", "easy", None, "easy", "hard", "easy"]
    policy = {"greedy": judged([1, 1, 1, 0, 0, 1]), "sampled": judged([2, 4, 4, 0, 1, 4], 4)}
    found = accuracy_by_group(labels, ["easy", "medium", "hard"], policy, apart(6))
    assert [(row.group, row.n) for row in found] == [("easy", 3), ("hard", 2)]
    assert [row.greedy.accuracy for row in found] == [pytest.approx(2 / 3), 0.5]
    assert [row.sampled.accuracy for row in found] == [pytest.approx(8 / 12), 3 / 8]
    other = {"greedy": judged([0, 1, 0, 0, 0, 0]), "sampled": judged([0, 4, 0, 0, 1, 2], 4)}
    pairs = {name: (policy[name], other[name]) for name in policy}
    moved = difference_by_group(labels, ["easy", "medium", "hard"], pairs, apart(6))
    assert [row.greedy.value for row in moved] == [pytest.approx(1 / 3), 0.5]
    assert [row.sampled.value for row in moved] == [pytest.approx(2 / 12), 2 / 8]
