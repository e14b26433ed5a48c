"""Numbers as a reader sees them: none is rounded into certainty, none is plural that is one."""

import pytest

from durian.analysis.statistics.estimate import Estimate
from durian.rendering.text import counted, estimate_text, interval_text, percent_text, share_text


def known(value, low=None, high=None, reason=None):
    return Estimate(value=value, low=low, high=high, reason=reason)


@pytest.mark.parametrize(
    ("share", "digits", "said"),
    [
        (0.3, 0, "30 %"),
        (1.0, 0, "100 %"),
        (0.0, 0, "0 %"),
        (3998 / 4000, 0, "99.95 %"),  # not 100, nor 99.9 or 100.0, which 99.95 rounds to
        (0.003, 0, "0.3 %"),
        (0.00004, 1, "0.004 %"),
        (1 - 1e-9, 0, "100.0000 %"),  # digits end somewhere
        (None, 0, "–"),
    ],
)
def test_what_is_not_exactly_none_or_all_is_not_said_to_be(share, digits, said):
    assert percent_text(share, digits) == said


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (known(0.47, 0.33, 0.60), "47 % (33 to 60)"),
        (known(0.44, 0.4385, 0.4415), "44.0 % (43.9 to 44.1)"),
        (known(3998 / 4000, 0.998, 0.99999), "99.95 % (99.80 to 100.00)"),
        (known(1.0, 0.70, 1.0), "100 % (70 to 100)"),
        (known(0.4, reason="4 images are too few for an interval"),
         "40 % (no interval: 4 images are too few for an interval)"),
        (known(None, reason="the group is empty"), "– (the group is empty)"),
    ],
)  # fmt: skip
def test_an_interval_narrower_than_a_point_has_a_decimal(estimate, said):
    assert estimate_text(estimate, digits=0) == said


def test_an_interval_has_as_many_digits_alone_as_beside_its_number():
    assert interval_text(known(0.44, 0.4385, 0.4415), digits=0) == "43.9 to 44.1"
    assert interval_text(known(0.9995, 0.99, 0.9999), scale=1, digits=2) == "0.9900 to 0.9999"
    assert estimate_text(known(0.9995, 0.99, 0.9999), "", scale=1, digits=2).startswith("0.9995")


def test_a_difference_of_nothing_is_written_as_it_is():
    assert estimate_text(known(0.0, -0.02, 0.02), " points", sign="+", digits=0) == (
        "+0 points (-2 to +2)"
    )


def test_nearly_all_is_said_by_what_lacks():
    assert share_text(398, 400) == "all but 2"
    assert share_text(4, 6) == "67 %"  # 2 of 6 are not nearly none
    assert share_text(300, 400) == "75 %" and share_text(400, 400) == "100 %"


def test_one_is_singular():
    assert counted(1, "sample") == "1 sample" and counted(1200, "sample") == "1,200 samples"
    assert counted(0, "image") == "0 images"
