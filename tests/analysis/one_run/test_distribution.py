"""How a measure is spread: bars and quartiles of a few values, by hand."""

import numpy as np
import pytest

from durian.analysis.one_run.distribution import BARS, distribution


def test_every_known_value_is_in_one_bar_the_largest_in_the_last():
    found = distribution(np.array([0.0, 1.0, 24.0, np.nan, 12.0]), {})
    assert len(found.histogram) == BARS == 24  # a unit each, from 0 to 24
    assert [(bar.least, bar.samples) for bar in found.histogram if bar.samples] == [
        (0.0, 1), (1.0, 1), (12.0, 1), (23.0, 1),
    ]  # fmt: skip
    assert found.histogram[-1].most == 24.0


def test_one_value_is_one_bar_and_none_is_nothing():
    (bar,) = distribution(np.array([3.0, 3.0]), {}).histogram
    assert bar.least <= 3.0 <= bar.most and bar.samples == 2
    assert distribution(np.array([np.nan]), {"kind": ["a"]}) is None


def test_values_of_a_column_come_with_their_quartiles_the_highest_median_first():
    values = np.array([1.0, 2.0, 3.0, 10.0, np.nan, 5.0])
    kinds = ["low", "low", "low", "high", "none has it", None]
    (low, high) = reversed(distribution(values, {"kind": kinds}).slices["kind"])
    # Of 1, 2, 3 the quartiles are 1.5, 2, 2.5; a sample without the measure counts nowhere.
    assert (low.value, low.samples, low.quartile_1, low.median, low.quartile_3) == (
        "low", 3, 1.5, 2.0, 2.5,
    )  # fmt: skip
    assert (high.value, high.samples, high.median) == ("high", 1, 10.0)


@pytest.mark.parametrize(
    "values",
    [
        [1.0, np.nextafter(1.0, 2.0)],  # neighbours: no room between them
        [1e300, np.nextafter(1e300, 2e300)],
        [0.0, 5e-324],
    ],
)
def test_values_too_close_for_bars_are_one_bar_around_them(values):
    found = distribution(np.array([*values, np.nan]), {})
    assert found is not None
    (bar,) = found.histogram
    assert bar.samples == 2 and bar.least < min(values) and bar.most > max(values)
