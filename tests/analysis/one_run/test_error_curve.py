"""The curve along a measure: its bins by hand, its isotonic fit by hand and by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from durian.analysis.one_run.error_curve import error_curve, isotonic_error
from durian.analysis.statistics.clusters import Clusters


def test_the_curve_runs_along_the_measure_in_its_own_direction():
    # 24 samples into 12 bins of two: 0 and 1, 2 and 3, ...; wrong grows with the measure.
    values = np.arange(24.0)
    wrong = np.repeat(np.arange(12.0), 2)
    harder, curve = error_curve(values, wrong, np.full(24, 11.0), Clusters.apart(24))
    assert harder == "higher"
    assert [point.mean for point in curve] == [2 * k + 0.5 for k in range(12)]
    assert [point.error_rate.value for point in curve] == [k / 11 for k in range(12)]
    assert [point.isotonic for point in curve] == pytest.approx([k / 11 for k in range(12)])
    assert [point.samples for point in curve] == [2] * 12


def test_the_curve_of_no_sample_is_empty():
    nothing = np.empty(0)
    assert error_curve(nothing, nothing, nothing, Clusters.apart(0))[1] == []
    assert error_curve(np.array([np.nan]), np.ones(1), np.ones(1), Clusters.apart(1))[1] == []


def test_the_fit_pools_what_falls_by_hand():
    # Rates 0, 3/4, 1/4, 1 of 4, 4, 12, 4 completions: 3/4 above 1/4 is pooled to
    # (3 + 3) / 16 = 3/8, which is above 0 and below 1.
    values, total = np.array([1.0, 2, 3, 4]), np.array([4.0, 4, 12, 4])
    harder, fitted = isotonic_error(values, np.array([0.0, 3, 3, 4]), total, "higher")
    assert harder == "higher" and fitted.tolist() == pytest.approx([0, 3 / 8, 3 / 8, 1])


def test_equal_values_share_one_fitted_rate():
    _, fitted = isotonic_error(np.ones(3), np.array([0.0, 2, 1]), np.full(3, 2.0), "higher")
    assert fitted.tolist() == pytest.approx([1 / 2] * 3)


@pytest.mark.parametrize("harder", ["higher", "lower"])
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=20
    )
)
@settings(deadline=None)
def test_the_fit_is_scikit_learns(harder, table):
    values, wrong, more = np.array(table, np.float64).T
    total = wrong + more
    peer = IsotonicRegression(increasing=harder == "higher").fit_transform(
        values, wrong / total, sample_weight=total
    )
    assert isotonic_error(values, wrong, total, harder)[1] == pytest.approx(peer, abs=1e-9)


def test_a_plain_column_takes_the_direction_that_fits_better():
    values, total = np.arange(30.0), np.full(30, 29.0)
    assert isotonic_error(values, values, total, None)[0] == "higher"
    assert isotonic_error(values, 29 - values, total, None)[0] == "lower"
    assert isotonic_error(np.ones(30), values, total, None)[0] == "higher"  # none is better


def test_the_fit_keeps_the_number_of_wrong_completions():
    rng = np.random.default_rng(0)
    values, total = rng.normal(size=200), rng.integers(1, 9, 200).astype(float)
    wrong = rng.binomial(total.astype(int), 0.4).astype(float)
    _, curve = error_curve(values, wrong, total, Clusters.apart(200), "lower")
    fitted = sum(row.isotonic * row.completions for row in curve)
    assert fitted == pytest.approx(wrong.sum())
    assert (np.diff([row.isotonic for row in curve]) < 1e-12).all()  # but for round-off
