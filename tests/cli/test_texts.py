"""Numbers as the terminal writes them."""

import pytest

from durian_cli.texts import duration, pace


@pytest.mark.parametrize(
    ("steps", "seconds", "written"),
    [
        (3000, 2, "1,500.0/s"),
        (3, 60, "3.0/min"),  # 0.05 a second
        (2, 3600, "2.0/h"),
        (0, 5, "0.0/h"),
        (5, 0, "5,000.0/s"),  # no time passed that the clock can tell
    ],
)
def test_a_rate_is_at_least_one_in_its_unit_of_time(steps, seconds, written):
    assert pace(steps, seconds) == written


def test_a_length_of_time_is_read_in_the_units_that_fit_it():
    assert [duration(s) for s in (0.25, 75, 3_660)] == ["0.2 s", "1 min 15 s", "1 h 01 min"]
