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


def test_no_variance_is_of_rewards_where_they_are_known():
    # All wrong, but with rewards that spread (a reward for the format, a continuous one): it
    # teaches. Half right with one reward for all, as a reward that ignores answers gives: it does
    # not. The last has one completion: no spread is known, and it cannot have any.
    wrong, total = np.array([4.0, 2, 2, 1]), np.array([4.0, 4, 4, 1])
    of = pass_rate_shares(wrong, total, np.array([0.05, 0.0, 0.5, np.nan]))
    assert (of.no_variance, of.varied, of.by_rewards) == (2 / 4, 2, True)
    old = pass_rate_shares(wrong, total, np.full(4, np.nan))
    assert (old.no_variance, old.varied, old.by_rewards) == (2 / 4, 2, False)
    assert old == pass_rate_shares(wrong, total)
