"""Errors by group, worked out by hand."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import beta, binomtest, t

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import contrast, error_rate, errors_by_group

# Four samples of two completions. Wrong: a 0, b 1, c 2, d 1; a and b are easy, c is hard, d is in
# no group. Grouped errors: 0 + 1 + 2 = 3.
WRONG, TOTAL = np.array([0.0, 1, 2, 1]), np.full(4, 2.0)
LABELS = ["easy", "easy", "hard", None]
ORDER = ("easy", "medium", "hard")


@pytest.fixture
def rows():
    return errors_by_group(LABELS, ORDER, WRONG, TOTAL, Clusters.apart(4))


def test_errors_by_group_by_hand(rows):
    counts = [(r.group, r.samples, r.completions, r.errors) for r in rows]
    assert counts == [("easy", 2, 4, 1), ("medium", 0, 0, 0), ("hard", 1, 2, 2)]
    assert [r.error_share.value for r in rows] == [pytest.approx(1 / 3), 0.0, 2 / 3]
    assert [r.error_rate.value for r in rows] == [0.25, None, 1.0]
    assert rows[1].error_rate.reason == "the group is empty"


def test_the_intervals_of_small_groups_are_missing_with_their_reason(rows):
    assert rows[0].error_rate.reason == "2 samples are too few for an interval"
    assert (
        rows[2].error_share.reason == "2 samples are too few for an interval"
    )  # b and c are wrong


def test_a_part_of_all_errors_is_a_share_of_the_wrong_completions():
    # 20 samples with two errors each, half of them in the hard group: an even coin of 20 clusters,
    # jackknife variance 1/4 / 19.
    labels = ["easy", "hard"] * 10
    rows = errors_by_group(labels, ORDER, np.full(20, 2.0), np.full(20, 8.0), Clusters.apart(20))
    trials = 19 * (1.959964 / t.ppf(0.975, 19)) ** 2
    for row in (rows[0], rows[2]):
        assert row.error_share.value == 0.5
        assert row.error_share.low == pytest.approx(
            beta.ppf(0.025, trials / 2, trials / 2 + 1), abs=1e-6
        )


def test_the_contrast_is_hard_less_easy_with_the_ends_of_both_intervals():
    # Ten samples in each group, 1 of 4 and 3 of 4 wrong: each rate has its interval, and samples of
    # two groups are independent, so that the ends' distances add up as squares.
    labels, wrong = ["easy"] * 10 + ["hard"] * 10, np.repeat([1.0, 3.0], 10)
    given = wrong, np.full(20, 4.0), Clusters.apart(20)
    easy, _, hard = errors_by_group(labels, ORDER, *given)
    found = contrast(labels, "hard", "easy", *given)
    below = 0.75 - hard.error_rate.low, easy.error_rate.high - 0.25
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - math.hypot(*below))
    assert contrast(labels, "medium", "easy", *given).reason == "group medium is empty"


def test_samples_in_no_group_change_no_value():
    rng = np.random.default_rng(3)
    labels, wrong = rng.choice(["easy", "hard"], 40).tolist(), rng.binomial(8, 0.4, 40) * 1.0
    more = [*labels, *[None] * 20], np.r_[wrong, rng.binomial(8, 0.9, 20)]

    def values(rows):
        return [(row.error_share.value, row.error_rate.value) for row in rows]

    alone = errors_by_group(labels, ORDER, wrong, np.full(40, 8.0), Clusters.apart(40))
    among = errors_by_group(more[0], ORDER, more[1], np.full(60, 8.0), Clusters.apart(60))
    assert values(among) == values(alone)


@pytest.mark.parametrize("n", [10, 60])
def test_nothing_wrong_is_bounded_by_the_number_of_samples_not_completions(n):
    # Clopper and Pearson's 95 % bounds of 0 and of n out of n.
    never = error_rate(np.zeros(n), np.full(n, 8.0), Clusters.apart(n))
    exact = binomtest(0, n).proportion_ci(method="exact")
    assert (never.value, never.low, never.high) == (0.0, 0.0, pytest.approx(exact.high))
    always = error_rate(np.full(n, 8.0), np.full(n, 8.0), Clusters.apart(n))
    exact = binomtest(n, n).proportion_ci(method="exact")
    assert (always.value, always.low, always.high) == (1.0, pytest.approx(exact.low), 1.0)


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_intervals_are_as_wide_as_the_analytic_cluster_standard_error(alike):
    # 300 images of 2 to 6 questions, 4 completions each; a part of an image's difficulty is shared.
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(300), rng.integers(2, 7, 300))
    own, shared = rng.uniform(size=len(image)), rng.uniform(size=300)[image]
    wrong = rng.binomial(4, np.where(rng.random(len(image)) < alike, shared, own)).astype(float)
    total = np.full(len(image), 4.0)
    interval = error_rate(wrong, total, Clusters(image))
    fit = sm.WLS(wrong / total, np.ones(len(image)), weights=total).fit(
        cov_type="cluster", cov_kwds={"groups": image}
    )
    width = interval.high - interval.low
    assert width == pytest.approx(2 * 1.96 * float(fit.bse[0]), rel=0.05)
    by_sample = error_rate(wrong, total, Clusters.apart(len(image)))
    ratio = width / (by_sample.high - by_sample.low)
    assert ratio > 1.4 if alike else ratio == pytest.approx(1, abs=0.15)


def test_bounds_of_what_is_never_wrong_count_clusters():
    # A hundred samples of ten images are ten trials: 1 - 0.025^(1/10).
    never = error_rate(np.zeros(100), np.full(100, 8.0), Clusters(np.arange(100) // 10))
    assert never.high == pytest.approx(1 - 0.025**0.1)


def test_identical_completions_widen_the_interval_as_if_there_were_one_each():
    rng = np.random.default_rng(2)
    wrong = 8.0 * (rng.uniform(size=100) < 0.5)
    interval = error_rate(wrong, np.full(100, 8.0), Clusters.apart(100))
    rate = interval.value
    alone = 1.96 * np.sqrt(rate * (1 - rate) / 100)  # half width, binomial over samples
    naive = 1.96 * np.sqrt(rate * (1 - rate) / 800)  # and over completions
    half = (interval.high - interval.low) / 2
    assert half == pytest.approx(alone, rel=0.1) and half > 2.5 * naive


def test_without_any_error_there_is_no_share():
    rows = errors_by_group(LABELS, ORDER, np.zeros(4), TOTAL, Clusters.apart(4))
    assert all(row.error_share.value is None for row in rows)
    assert rows[0].error_share.reason == "nothing is wrong"
    assert rows[0].error_rate.value == 0.0


@pytest.mark.parametrize("labels", [[None] * 4, []])
def test_no_grouped_sample_gives_empty_groups(labels):
    n = len(labels)
    rows = errors_by_group(labels, ORDER, WRONG[:n], TOTAL[:n], Clusters.apart(n))
    assert [row.samples for row in rows] == [0, 0, 0]
    assert all(row.error_share.value is row.error_rate.value is None for row in rows)


def test_no_group_at_all_gives_no_rows():
    assert errors_by_group([None] * 4, [], WRONG, TOTAL, Clusters.apart(4)) == []


def test_shares_add_up_to_all_errors():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200).tolist()
    rows = errors_by_group(
        labels, range(5), rng.binomial(8, 0.3, 200) * 1.0, np.full(200, 8.0), Clusters.apart(200)
    )
    assert sum(row.error_share.value for row in rows) == pytest.approx(1)
    for row in rows:
        for number in (row.error_share, row.error_rate):
            assert number.low < number.value < number.high
