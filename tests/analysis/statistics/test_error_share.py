"""Errors by group, worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from durian.analysis.statistics.bootstrap import resample
from durian.analysis.statistics.error_share import GroupErrors, error_rate, errors_by_group

# Four samples of two completions. Wrong: a 0, b 1, c 2, d 1; a and b are easy, c is hard, d is in
# no group. Grouped errors: 0 + 1 + 2 = 3.
WRONG, TOTAL = np.array([0.0, 1, 2, 1]), np.full(4, 2.0)
LABELS = ["easy", "easy", "hard", None]
ORDER = ("easy", "medium", "hard")


@pytest.fixture
def rows():
    return errors_by_group(LABELS, ORDER, WRONG, TOTAL, seed=0)


def test_errors_by_group_by_hand(rows):
    counts = [(r.group, r.samples, r.completions, r.errors) for r in rows]
    assert counts == [("easy", 2, 4, 1), ("medium", 0, 0, 0), ("hard", 1, 2, 2)]
    assert [r.error_share.value for r in rows] == [pytest.approx(1 / 3), 0.0, 2 / 3]
    assert [r.error_rate.value for r in rows] == [0.25, None, 1.0]
    assert rows[1].error_rate.reason == "the group is empty"


def test_the_interval_of_a_share_is_that_of_its_resamples_by_hand(rows):
    # Of a, b, c, d four are drawn. The rate of the easy group (a 0, b 1/2 wrong) runs from 0 (only
    # a) to 1/2 (only b), each in more than 2.5 % of resamples; likewise the share of the hard
    # group from 0 (no c: (3/4)^4 = 32 %) to 1 (no b: 32 %).
    hard = rows[2].error_share
    assert (hard.low, hard.high) == (0.0, 1.0)
    assert (rows[0].error_rate.low, rows[0].error_rate.high) == (0.0, 0.5)


def test_the_contrast_is_hard_less_easy_on_the_same_resamples():
    # Ten samples in each group, 1 of 4 and 3 of 4 wrong: every resample with both gives 1/2 exactly
    # where a group alone never moves, so that the pair has no interval.
    labels = ["easy"] * 10 + ["hard"] * 10
    wrong = np.repeat([1.0, 3.0], 10)
    groups = GroupErrors(labels, ORDER, wrong, np.full(20, 4.0))
    drawn = resample({0: groups}, 20, seed=0)[0]
    still = groups.contrast(drawn, "hard", "easy")
    assert (still.value, still.low, still.reason) == (0.5, None, "all resamples agree")
    assert groups.contrast(drawn, "medium", "easy").reason == "group medium is empty"


def test_samples_in_no_group_change_no_value():
    rng = np.random.default_rng(3)
    labels, wrong = rng.choice(["easy", "hard"], 40).tolist(), rng.binomial(8, 0.4, 40) * 1.0
    more = [*labels, *[None] * 20], np.r_[wrong, rng.binomial(8, 0.9, 20)]

    def values(rows):
        return [(row.error_share.value, row.error_rate.value) for row in rows]

    alone = errors_by_group(labels, ORDER, wrong, np.full(40, 8.0), seed=0)
    among = errors_by_group(more[0], ORDER, more[1], np.full(60, 8.0), seed=0)
    assert values(among) == values(alone)


@pytest.mark.parametrize("n", [1, 9, 60])
def test_nothing_wrong_is_bounded_by_the_number_of_samples_not_completions(n):
    # Clopper and Pearson's 95 % bounds of 0 and of n out of n.
    never = error_rate(np.zeros(n), np.full(n, 8.0), seed=0)
    exact = binomtest(0, n).proportion_ci(method="exact")
    assert (never.value, never.low, never.high) == (0.0, 0.0, pytest.approx(exact.high))
    always = error_rate(np.full(n, 8.0), np.full(n, 8.0), seed=0)
    exact = binomtest(n, n).proportion_ci(method="exact")
    assert (always.value, always.low, always.high) == (1.0, pytest.approx(exact.low), 1.0)


def test_without_any_error_there_is_no_share():
    rows = errors_by_group(LABELS, ORDER, np.zeros(4), TOTAL, seed=0)
    assert all(row.error_share.value is None for row in rows)
    assert rows[0].error_share.reason == "nothing is wrong"
    assert rows[0].error_rate.value == 0.0


@pytest.mark.parametrize("labels", [[None] * 4, []])
def test_no_grouped_sample_gives_empty_groups(labels):
    n = len(labels)
    rows = errors_by_group(labels, ORDER, WRONG[:n], TOTAL[:n], seed=0)
    assert [row.samples for row in rows] == [0, 0, 0]
    assert all(row.error_share.value is row.error_rate.value is None for row in rows)


def test_no_group_at_all_gives_no_rows():
    assert errors_by_group([None] * 4, [], WRONG, TOTAL, seed=0) == []


def test_shares_add_up_to_all_errors():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200).tolist()
    rows = errors_by_group(
        labels, range(5), rng.binomial(8, 0.3, 200) * 1.0, np.full(200, 8.0), seed=0
    )
    assert sum(row.error_share.value for row in rows) == pytest.approx(1)
    for row in rows:
        for number in (row.error_share, row.error_rate):
            assert number.low < number.value < number.high
