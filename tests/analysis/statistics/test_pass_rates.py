"""Extreme samples and samples without variance, as the paper's table 4 counts them."""

import numpy as np
import pytest

from durian.analysis.statistics.pass_rates import SamplesAtRate, pass_rate_shares


def shares(right, of):
    right = np.array(right, np.float64)
    total = np.broadcast_to(np.asarray(of, np.float64), right.shape)
    return pass_rate_shares(total - right, total)


def test_shares_of_eight_completions_by_hand():
    # Right of 8: 0 0 8 | 1 7 | 3 4 5. No variance 3 of 8; extreme 2 of 8, and 2 of the 5 that vary.
    of = shares([0, 0, 8, 1, 7, 3, 4, 5], 8)
    assert (of.never_right, of.always_right, of.no_variance) == (2 / 8, 1 / 8, 3 / 8)
    assert (of.extreme, of.extreme_of_varied) == (2 / 8, 2 / 5)
    assert of.histogram[0] == SamplesAtRate(pass_rate=0.0, samples=2)
    assert [bar.samples for bar in of.histogram] == [2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("of", "right", "extreme", "no_variance"),
    [
        (1, [0, 1, 1], 0.0, 1.0),  # one completion cannot differ from others
        (2, [0, 1, 2, 1], 0.0, 0.5),  # 1 of 2 is an even split: no advantage is blown up
        (3, [0, 1, 2, 3], 0.5, 0.5),
        (4, [1, 2, 3, 2], 0.5, 0.0),
    ],
)
def test_few_completions(of, right, extreme, no_variance):
    result = shares(right, of)
    assert (result.extreme, result.no_variance) == (extreme, no_variance)


def test_without_variance_there_is_no_share_of_the_varied():
    assert shares([0, 8], 8).extreme_of_varied is None


def test_each_sample_counts_by_its_own_number_of_completions():
    # 1 of 2, 1 of 8, 7 of 8, 4 of 4: two are extreme, one has no variance.
    of = shares([1, 1, 7, 4], [2, 8, 8, 4])
    assert (of.extreme, of.no_variance) == (0.5, 0.25)
