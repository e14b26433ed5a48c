"""AURC by hand, over all orders written out, and the small cases of a published test suite."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.analysis.statistics.association import (
    ScoreOrder,
    area_under_risk,
    associate,
    excess_area,
)
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.risk_coverage import POINTS, risk_coverage_points


def areas(score, wrong, total):
    """AURC and excess AURC of samples."""
    order = ScoreOrder(*(np.array(x, np.float64) for x in (score, wrong, total)))
    return [area_under_risk(order).value, excess_area(order).value]


def risks(wrong):
    """Risk after each completion of one order."""
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def test_aurc_by_hand():
    # Easiest first: right, wrong, right. Risks 0, 1/2, 1/3: their mean is 5/18. The best order
    # has risks 0, 0, 1/3: 1/9.
    assert areas([1, 2, 3], [0, 1, 0], [1, 1, 1]) == pytest.approx([5 / 18, 5 / 18 - 1 / 9])


def test_a_tie_by_hand():
    # Right, then one right and one wrong in either order: risks 0, 0, 1/3 or 0, 1/2, 1/3. The mean
    # of 1/9 and 5/18 is 7/36.
    assert areas([1, 2, 2], [0, 0, 1], [1, 1, 1])[0] == pytest.approx(7 / 36)
    # A sample's completions have its score, so one sample of two is the same tie.
    assert areas([1, 2], [0, 1], [1, 2])[0] == pytest.approx(7 / 36)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)).filter(
            lambda sample: sample[1] + sample[2] > 0
        ),
        min_size=1,
        max_size=4,
    ).filter(lambda table: sum(wrong + right for _, wrong, right in table) <= 6)
)
@settings(max_examples=60, deadline=None)
def test_aurc_is_the_mean_over_all_orders_of_ties(table):
    completions = [
        (score, outcome)
        for score, wrong, right in table
        for outcome in [1] * wrong + [0] * right
    ]  # fmt: skip
    orders = [
        [outcome for _, outcome in order]
        for order in permutations(completions)
        if [score for score, _ in order] == sorted(score for score, _ in completions)
    ]
    expected = np.mean([risks(order).mean() for order in orders])
    best = risks(sorted(outcome for _, outcome in completions)).mean()
    score, wrong, right = np.array(table).T
    assert areas(score, wrong, wrong + right) == pytest.approx([expected, expected - best])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_constant_score_gives_the_base_rate_whatever_the_order(table):
    wrong, more = np.array(table, np.float64).T
    total, rng = wrong + more, np.random.default_rng(0)
    rows = rng.permutation(len(wrong))
    for w, t in ((wrong, total), (wrong[rows], total[rows])):
        assert areas(np.ones(len(w)), w, t)[0] == pytest.approx(wrong.sum() / total.sum())


def test_the_best_order_has_no_excess_and_none_has_less():
    rng = np.random.default_rng(1)
    outcome = rng.integers(0, 2, 50)
    assert areas(outcome, outcome, np.ones(50))[1] == pytest.approx(0, abs=1e-12)
    for _ in range(20):
        assert areas(rng.normal(size=50), outcome, np.ones(50))[1] > 0


# The cases of fd-shifts' tests (100 predictions; confidence constant, alternating with the outcome
# or against it, rising, in four plateaus), whose expected areas are those of a trapezoid rule, are
# worked out here for the mean of E[R_k]. Outcomes alternate right, wrong unless said; H(100) is the
# 100th harmonic number.
H = [0.0, *np.cumsum(1 / np.arange(1, 101))]
ALTERNATING = np.arange(100) % 2
BEST = (50 - 50 * (H[100] - H[50])) / 100  # 50 right first; sum_{j=1..50} j / (50 + j)
CASES = {
    # (score, wrong): AURC, excess
    "all right": (np.zeros(100), np.zeros(100), 0.0, 0.0),
    "all wrong": (np.zeros(100), np.ones(100), 1.0, 0.0),
    "constant": (np.zeros(100), ALTERNATING, 0.5, 0.5 - BEST),
    "right ones first": (ALTERNATING, ALTERNATING, BEST, 0.0),
    # 50 wrong ones have risk 1 each, then 50 / (50 + j).
    "wrong ones first": (
        1 - ALTERNATING,
        ALTERNATING,
        (50 + 50 * (H[100] - H[50])) / 100,
        H[100] - H[50],
    ),
    # k even: 1/2. k odd: (k - 1) / 2 k = 1/2 - 1 / 2k when a right one is first.
    "rising": (
        np.arange(100),
        ALTERNATING,
        0.5 - sum(1 / k for k in range(1, 100, 2)) / 200,
        0.5 - sum(1 / k for k in range(1, 100, 2)) / 200 - BEST,
    ),
    # Four plateaus of 25 with 12, 13, 12, 13 wrong. Each adds w + (e - n w / m) (H_{n+m} - H_n):
    # 12; 13 + (12 - 13) (H50 - H25); 12 + (25 - 24) (H75 - H50); 13 + (37 - 39) (H100 - H75).
    "plateaus": (
        np.repeat(np.arange(4), 25),
        ALTERNATING,
        (50 - (H[50] - H[25]) + (H[75] - H[50]) - 2 * (H[100] - H[75])) / 100,
        (50 - (H[50] - H[25]) + (H[75] - H[50]) - 2 * (H[100] - H[75])) / 100 - BEST,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cases_of_fd_shifts_by_hand(case):
    score, wrong, area, excess = CASES[case]
    assert areas(score, wrong, np.ones(100)) == pytest.approx([area, excess], abs=1e-12)


def test_those_cases_tend_to_the_published_limits():
    # As the number grows the best order of half wrong ones tends to 1/2 + 1/2 ln(1/2) = 0.1534,
    # and the excess of a constant score to the 0.3466 that fd-shifts' tests expect.
    outcome = np.arange(100_000) % 2
    area, excess = areas(np.zeros(100_000), outcome, np.ones(100_000))
    assert (area, excess) == (pytest.approx(0.5), pytest.approx(0.3465736, abs=1e-4))


def test_all_right_has_no_order_to_judge():
    order = ScoreOrder(np.arange(4.0), np.zeros(4), np.full(4, 2.0))
    found = associate(order, Clusters.apart(4))
    assert found.aurc.value == 0 and found.excess_aurc.reason == "all are right"


def test_the_curve_shows_the_expected_risk_by_hand():
    # One right, then a tie of one right and one wrong: half a wrong one is expected in two.
    points = risk_coverage_points(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    assert [point.coverage for point in points] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [point.risk for point in points] == pytest.approx([0, 1 / 4, 1 / 3])


def test_a_long_curve_has_few_points_and_ends_with_the_base_rate():
    rng = np.random.default_rng(0)
    wrong = rng.integers(0, 9, 5000)
    points = risk_coverage_points(np.cumsum(wrong) * 1.0, np.arange(1, 5001) * 8.0)
    assert len(points) == POINTS and points[-1].coverage == 1
    assert points[-1].risk == pytest.approx(wrong.sum() / 40_000)


def test_the_curve_of_no_completion_is_empty():
    assert risk_coverage_points(np.empty(0), np.empty(0)) == []
