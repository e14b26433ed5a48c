"""Errors by group, worked out by hand, and the curve along a measure."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.analysis.error_share import error_curve, error_rate, errors_by_group

# Four samples of two completions. Wrong: a 0, b 1, c 2, d 1; a and b are easy, c is hard, d is in
# no group. Grouped errors: 0 + 1 + 2 = 3.
WRONG, TOTAL = np.array([0.0, 1, 2, 1]), np.full(4, 2.0)
LABELS = ["easy", "easy", "hard", None]
ORDER = ("easy", "medium", "hard")


@pytest.fixture
def rows():
    return errors_by_group(LABELS, ORDER, WRONG, TOTAL, seed=0)


def test_errors_by_group_by_hand(rows):
    counts = [(r["group"], r["samples"], r["completions"], r["errors"]) for r in rows]
    assert counts == [("easy", 2, 4, 1), ("medium", 0, 0, 0), ("hard", 1, 2, 2)]
    assert [r["error_share"]["value"] for r in rows] == [pytest.approx(1 / 3), 0.0, 2 / 3]
    assert [r["error_rate"]["value"] for r in rows] == [0.25, None, 1.0]
    assert rows[1]["error_rate"]["reason"] == "the group is empty"


def test_the_interval_of_a_share_is_that_of_its_resamples_by_hand(rows):
    # Of a, b, c three are drawn. No error at all (a a a, 1 in 27) is left out; the share of the
    # hard group runs from 0 (no c: 7 of the 26 others) to 1 (no b: 7 of 26).
    hard = rows[2]["error_share"]
    assert (hard["low"], hard["high"]) == (0.0, 1.0)
    # The rate of the easy group (a 0, b 1/2 wrong): from 0 (only a) to 1/2 (only b).
    assert (rows[0]["error_rate"]["low"], rows[0]["error_rate"]["high"]) == (0.0, 0.5)


def test_samples_in_no_group_change_nothing():
    rng = np.random.default_rng(3)
    labels, wrong = rng.choice(["easy", "hard"], 40).tolist(), rng.binomial(8, 0.4, 40) * 1.0
    more = [*labels, *[None] * 20], np.r_[wrong, rng.binomial(8, 0.9, 20)]
    alone = errors_by_group(labels, ORDER, wrong, np.full(40, 8.0), seed=0)
    assert errors_by_group(more[0], ORDER, more[1], np.full(60, 8.0), seed=0) == alone


@pytest.mark.parametrize("n", [1, 9, 60])
def test_nothing_wrong_is_bounded_by_the_number_of_samples_not_completions(n):
    # Clopper and Pearson's 95 % bounds of 0 and of n out of n.
    never = error_rate(np.zeros(n), np.full(n, 8.0), seed=0)
    exact = binomtest(0, n).proportion_ci(method="exact")
    assert never == {"value": 0.0, "low": 0.0, "high": pytest.approx(exact.high)}
    always = error_rate(np.full(n, 8.0), np.full(n, 8.0), seed=0)
    exact = binomtest(n, n).proportion_ci(method="exact")
    assert always == {"value": 1.0, "low": pytest.approx(exact.low), "high": 1.0}


def test_without_any_error_there_is_no_share():
    rows = errors_by_group(LABELS, ORDER, np.zeros(4), TOTAL, seed=0)
    assert all(row["error_share"]["value"] is None for row in rows)
    assert rows[0]["error_share"]["reason"] == "nothing is wrong"
    assert rows[0]["error_rate"]["value"] == 0.0


@pytest.mark.parametrize("labels", [[None] * 4, []])
def test_no_grouped_sample_gives_empty_groups(labels):
    n = len(labels)
    rows = errors_by_group(labels, ORDER, WRONG[:n], TOTAL[:n], seed=0)
    assert [row["samples"] for row in rows] == [0, 0, 0]
    assert all(row[key]["value"] is None for row in rows for key in ("error_share", "error_rate"))


def test_no_group_at_all_gives_no_rows():
    assert errors_by_group([None] * 4, [], WRONG, TOTAL, seed=0) == []


def test_shares_add_up_to_all_errors():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200).tolist()
    rows = errors_by_group(
        labels, range(5), rng.binomial(8, 0.3, 200) * 1.0, np.full(200, 8.0), seed=0
    )
    assert sum(row["error_share"]["value"] for row in rows) == pytest.approx(1)
    for row in rows:
        for key in ("error_share", "error_rate"):
            assert row[key]["low"] < row[key]["value"] < row[key]["high"]


def test_the_curve_runs_along_the_measure_in_its_own_direction():
    # 24 samples into 12 bins of two: 0 and 1, 2 and 3, ...; wrong grows with the measure.
    values = np.arange(24.0)
    wrong = np.repeat(np.arange(12.0), 2)
    curve = error_curve(values, wrong, np.full(24, 11.0), seed=0)
    assert [point["mean"] for point in curve] == [2 * k + 0.5 for k in range(12)]
    assert [point["error_rate"]["value"] for point in curve] == [k / 11 for k in range(12)]
    assert [point["samples"] for point in curve] == [2] * 12


def test_the_curve_of_no_sample_is_empty():
    nothing = np.empty(0)
    assert error_curve(nothing, nothing, nothing, seed=0) == []
