"""A sample spread over a list, and its total: by hand, and by drawing many times."""

import numpy as np
import pytest

from durian.analysis.statistics.spread import spread, total


@pytest.mark.parametrize(("things", "size"), [(10, 3), (600, 128), (128, 128), (7, 100), (1, 1)])
def test_one_thing_is_drawn_from_each_block_and_the_blocks_fill_the_list(things, size):
    drawn = spread(things, size, seed=0)
    assert len(drawn.places) == min(things, size)
    assert drawn.blocks.sum() == things
    assert np.ptp(drawn.blocks) <= 1
    ends = np.cumsum(drawn.blocks)
    assert (drawn.places < ends).all() and (drawn.places >= ends - drawn.blocks).all()


def test_equal_seeds_draw_alike_and_others_do_not():
    first, again, other = (spread(600, 50, seed=seed).places for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_a_total_is_the_blocks_sum_with_the_margin_of_neighbouring_differences():
    # 3 x 2 + 3 x 4 + 2 x 8 = 34. Halved squared differences: (4 - 2)^2 / 2 = 2 and 8; the
    # neighbours' means are 2, 5, 8. Variance 3 x 2 x 2 + 3 x 2 x 5 + 2 x 1 x 8 = 58.
    found = total(np.array([2.0, 4.0, 8.0]), np.array([3, 3, 2]))
    assert found.value == 34
    assert found.high - 34 == pytest.approx(1.96 * 58**0.5, rel=1e-4)
    assert 34 - found.low == pytest.approx(1.96 * 58**0.5, rel=1e-4)


def test_a_total_is_never_below_what_was_seen():
    # 0 and 100 stand for 2 each: 200, give or take 1.96 sqrt(2 x 2 x 5000) = 277; 100 was seen.
    assert total(np.array([0.0, 100.0]), np.array([2, 2])).low == 100


def test_a_list_that_was_seen_whole_has_no_margin():
    found = total(np.array([2.0, 4.0, 9.0]), np.array([1, 1, 1]))
    assert (found.value, found.low, found.high) == (15, 15, 15)
    alone = total(np.array([5.0]), np.array([1]))
    assert (alone.value, alone.low, alone.high) == (5, 5, 5)


def test_one_value_for_many_has_no_interval():
    found = total(np.array([5.0]), np.array([4]))
    assert (found.value, found.low, found.high) == (20, None, None)
    assert found.reason


@pytest.mark.parametrize(
    ("order", "least", "most"), [("random", 0.92, 0.98), ("sorted", 0.95, 1.0)]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(order, least, most):
    values = np.random.default_rng(0).gamma(4.0, 20.0, size=600)
    values = np.sort(values) if order == "sorted" else values
    held = widths = 0.0
    for seed in range(500):
        drawn = spread(600, 60, seed=seed)
        found = total(values[drawn.places], drawn.blocks)
        held += found.low <= values.sum() <= found.high
        widths += (found.high - found.low) / 500
    assert least <= held / 500 <= most
    # By chance alone, of the whole list's variance: 2 x 1.96 x 600 x s sqrt((1 - 1/10) / 60).
    plain = 2 * 1.96 * 600 * values.std(ddof=1) * (0.9 / 60) ** 0.5
    assert widths < (1.1 if order == "random" else 0.4) * plain


def test_values_and_blocks_must_match():
    with pytest.raises(ValueError, match="must be"):
        total(np.array([1.0, 2.0]), np.array([1]))
