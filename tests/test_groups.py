"""Groups of like difficulty: by hand, against numpy, and as properties."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durian.groups import PERCEPTUAL, bins_at, perceptual_groups, reasoning_groups

NAN = float("nan")
# Few distinct values, so that ties and edges that fall on a value are common.
TIED = st.integers(-4, 4).map(float)
PLAIN = st.floats(-1e6, 1e6)
VALUES = st.lists(st.one_of(TIED, PLAIN, st.just(NAN)), max_size=40)
BINS = st.integers(1, 12)


def array(values):
    return np.array(values, np.float64)


# --- perceptual groups (eq. 10)


def test_perceptual_groups_by_hand():
    # Positions 0..4 of 5 values; t25 is at 0.25 * 4 = 1, t75 at 3: the values 20 and 40.
    grouping = perceptual_groups(array([50, 10, 40, 20, 30]))
    assert grouping.labels == ["hard", "easy", "hard", "easy", "medium"]
    assert grouping.edges == (20.0, 40.0)
    assert grouping.sizes == {"easy": 2, "medium": 1, "hard": 2}


def test_percentiles_are_interpolated_by_hand():
    # Four values: t25 is at 0.75, so 1 + 0.75 * (2 - 1) = 1.75; t75 at 2.25, so 4 + 0.25 * 4 = 5.
    grouping = perceptual_groups(array([1, 2, 4, 8]))
    assert grouping.edges == (1.75, 5.0)
    assert grouping.labels == ["easy", "medium", "medium", "hard"]


def test_other_percentiles_cut_elsewhere():
    # 0..10: t10 = 1, t90 = 9.
    grouping = perceptual_groups(array(range(11)), (10, 90))
    assert grouping.sizes == {"easy": 2, "medium": 7, "hard": 2}


def test_equal_cuts_leave_no_sample_on_the_cut_hard():
    # 0 0 0 0 1: both cuts are 0. H <= t25 is easy first; hard needs H > t25.
    grouping = perceptual_groups(array([0, 0, 1, 0, 0]))
    assert grouping.labels == ["easy", "easy", "hard", "easy", "easy"]
    assert grouping.edges == (0.0,)


def test_a_constant_measure_is_easy_throughout():
    grouping = perceptual_groups(array([3.3] * 7))
    assert grouping.sizes == {"easy": 7, "medium": 0, "hard": 0}


@pytest.mark.parametrize("values", [[], [NAN], [NAN, NAN]])
def test_nothing_measured_is_no_perceptual_group(values):
    grouping = perceptual_groups(array(values))
    assert grouping.labels == [None] * len(values)
    assert grouping.edges == () and sum(grouping.sizes.values()) == 0


def test_one_sample_is_easy_and_in_bin_0():
    assert perceptual_groups(array([2.0])).labels == ["easy"]
    assert reasoning_groups(array([2.0])).labels == [0]


def test_hard_is_the_low_end_of_a_measure_that_falls_with_difficulty():
    # Turned round, -5 -4 -3 -2 -1: cuts -4 and -2, which are 4 and 2 of the measure.
    grouping = perceptual_groups(array([1, 2, 3, 4, 5]), harder="lower")
    assert grouping.labels == ["hard", "hard", "medium", "easy", "easy"]
    assert grouping.edges == (2.0, 4.0)


@given(VALUES)
def test_perceptual_groups_are_numpys_percentiles(values):
    values = array(values)
    known = values[~np.isnan(values)]
    grouping = perceptual_groups(values)
    peer = np.percentile(known, [25, 75]) if len(known) else []
    assert grouping.edges == tuple(sorted(set(peer)))  # to the last bit
    for value, label in zip(values, grouping.labels, strict=True):
        if np.isnan(value):
            assert label is None
            continue
        low, high = np.percentile(known, [25, 75])
        expected = {"easy": value <= low, "hard": value >= high and value > low}
        expected["medium"] = not (expected["easy"] or expected["hard"])
        assert expected[label]


# --- reasoning groups (eq. 16)


def test_bin_0_is_the_least_confident():
    assert reasoning_groups(array([-0.1, -4.0, -2.0, -0.2]), 2).labels == [1, 0, 0, 1]


def test_bins_are_even_where_values_differ():
    # 1..100 into tens: the k-th cut is at position 9.9 k, so 10 k + 1 - k / 10: between two values.
    grouping = reasoning_groups(array(range(1, 101)), 10)
    assert grouping.labels == [k for k in range(10) for _ in range(10)]
    assert grouping.edges == pytest.approx([10 * k + 1 - k / 10 for k in range(1, 10)], rel=1e-15)
    assert grouping.sizes == dict.fromkeys(range(10), 10)


def test_a_value_on_an_edge_belongs_to_the_bin_above():
    # 1..5 into two: the cut is 3 itself.
    grouping = reasoning_groups(array([1, 2, 3, 4, 5]), 2)
    assert grouping.labels == [0, 0, 1, 1, 1] and grouping.edges == (3.0,)


def test_ties_make_bins_uneven_and_fewer():
    # 0 0 0 0 0 0 1 2 into four: cuts at positions 1.75, 3.5, 5.25: 0, 0, 0.25. Nothing lies
    # below 0, so one cut is left, and 1 and 2 share what is above it.
    grouping = reasoning_groups(array([0, 0, 0, 0, 0, 0, 1, 2]), 4)
    assert grouping.labels == [0, 0, 0, 0, 0, 0, 1, 1]
    assert grouping.edges == (0.25,) and grouping.sizes == {0: 6, 1: 2}


def test_an_empty_bin_leaves_no_number_out():
    # 0 0 10 into five: cuts at 0.4, 0.8, 1.2, 1.6: 0, 0, 2, 6. No value lies from 2 to 6.
    grouping = reasoning_groups(array([0, 0, 10]), 5)
    assert grouping.labels == [0, 0, 1] and grouping.edges == pytest.approx([6.0])


def test_fewer_samples_than_bins_stand_alone():
    assert reasoning_groups(array([3, 1, 2]), 10).labels == [2, 0, 1]


def test_a_constant_measure_is_one_bin():
    grouping = reasoning_groups(array([0.7] * 9), 10)
    assert grouping.labels == [0] * 9 and grouping.edges == () and grouping.sizes == {0: 9}


@pytest.mark.parametrize("values", [[], [NAN], [NAN, NAN]])
def test_nothing_measured_is_no_reasoning_group(values):
    grouping = reasoning_groups(array(values))
    assert grouping.labels == [None] * len(values)
    assert grouping.edges == () and grouping.sizes == {}


def test_bin_0_is_the_hard_end_of_a_measure_that_grows_with_difficulty():
    grouping = reasoning_groups(array([0.0, 5.0, 1.0, 9.0]), 2, harder="higher")
    assert grouping.labels == [1, 0, 1, 0] and grouping.edges == (3.0,)


@given(st.lists(PLAIN, min_size=1, max_size=40, unique=True), BINS)
def test_reasoning_edges_are_numpys_quantiles(values, bins):
    peer = np.percentile(values, [100 * k / bins for k in range(1, bins)])
    edges = array(reasoning_groups(array(values), bins).edges)
    scale = max(map(abs, values)) or 1.0
    assert all(np.abs(peer - edge).min() <= 1e-12 * scale for edge in edges)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=40), BINS)
def test_reasoning_bins_are_the_cuts_of_exact_arithmetic(values, bins):
    ordered = sorted(values)
    cuts = []
    for k in range(1, bins):
        place = Fraction(k * (len(values) - 1), bins)
        low, high = ordered[floor(place)], ordered[ceil(place)]
        cuts.append(low + (high - low) * (place - floor(place)))
    passed = [sum(cut <= value for cut in cuts) for value in values]
    dense = {number: place for place, number in enumerate(sorted(set(passed)))}
    labels = reasoning_groups(array(values), bins).labels
    assert labels == [dense[number] for number in passed]


@pytest.mark.parametrize("bins", [3, 6, 7, 9, 10, 11, 12, 16, 48, 100])
@pytest.mark.parametrize("size", [1, 2, 5, 25])
def test_a_cut_on_a_value_is_not_moved_by_round_off(bins, size):
    # size * bins + 1 different values: the k-th cut is exactly the value k * size, and only the
    # last bin has one more. numpy.percentile misses some of them: 0.07 * 100 > 7 in binary.
    sizes = reasoning_groups(np.arange(size * bins + 1.0), bins).sizes
    assert list(sizes.values()) == [size] * (bins - 1) + [size + 1]


# --- both


def grouped(values, bins=5, **turned):
    """(how groups rank in difficulty, labels, grouping) for both kinds."""
    seen, thought = perceptual_groups(values, **turned), reasoning_groups(values, bins, **turned)
    return [
        ({label: place for place, label in enumerate(PERCEPTUAL)}, seen),
        ({label: -label for label in thought.sizes}, thought),
    ]


@given(VALUES, BINS, st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_row_order(values, bins, random):
    order = list(range(len(values)))
    random.shuffle(order)
    pairs = zip(grouped(array(values), bins), grouped(array(values)[order], bins), strict=True)
    for (_, plain), (_, shuffled) in pairs:
        assert [plain.labels[place] for place in order] == shuffled.labels
        assert (plain.edges, plain.sizes) == (shuffled.edges, shuffled.sizes)


@given(VALUES, BINS, st.sampled_from(["higher", "lower"]))
def test_groups_follow_the_measure_and_hold_every_measured_sample(values, bins, harder):
    sign = 1 if harder == "higher" else -1
    for rank, grouping in grouped(array(values), bins, harder=harder):
        placed = [
            (sign * value, rank[label])
            for value, label in zip(values, grouping.labels, strict=True)
            if label is not None
        ]
        by_value = dict(placed)
        assert all(by_value[value] == place for value, place in placed)  # equal values together
        rising = [by_value[value] for value in sorted(by_value)]
        assert rising == sorted(rising)
        assert len(placed) == sum(grouping.sizes.values()) == int((~np.isnan(values)).sum())
        assert all(grouping.labels.count(label) == n for label, n in grouping.sizes.items())
        assert list(grouping.edges) == sorted(set(grouping.edges))


@given(st.lists(st.one_of(TIED, PLAIN), min_size=1, max_size=40), BINS)
def test_bins_are_numbered_without_a_gap_and_none_is_empty(values, bins):
    grouping = reasoning_groups(array(values), bins)
    assert list(grouping.sizes) == list(range(len(grouping.sizes)))
    assert all(grouping.sizes.values()) and len(grouping.sizes) <= bins
    assert len(grouping.edges) == len(grouping.sizes) - 1


@given(VALUES, BINS)
def test_turning_a_measure_round_is_negating_it(values, bins):
    there = grouped(array(values), bins, harder="higher")
    back = grouped(-array(values), bins, harder="lower")
    for (_, one), (_, other) in zip(there, back, strict=True):
        assert one.labels == other.labels


# --- bins at given cuts


def test_bins_between_given_cuts_are_numbered_from_the_hard_end():
    values = array([0.5, NAN, 2.0, 1.0, 3.5])
    low = bins_at(values, [1.0, 3.0], harder="lower")  # a value on a cut is above it
    assert low.labels == [0, None, 1, 1, 2] and low.edges == (1.0, 3.0)
    assert low.sizes == {0: 1, 1: 2, 2: 1}
    high = bins_at(values, [1.0, 3.0], harder="higher")  # and stays so, counted from above
    assert high.labels == [2, None, 1, 1, 0] and high.sizes == {0: 1, 1: 2, 2: 1}


def test_a_bin_that_no_value_is_in_keeps_its_number():
    grouping = bins_at(array([0, 9]), [1, 5])
    assert grouping.labels == [0, 2] and grouping.sizes == {0: 1, 1: 0, 2: 1}
    assert bins_at(array([NAN]), [1]).sizes == {0: 0, 1: 0}


@given(VALUES, BINS)
def test_the_cuts_of_quantile_bins_give_the_same_bins_again(values, bins):
    asked = reasoning_groups(array(values), bins)
    assert bins_at(array(values), asked.edges).labels == asked.labels
