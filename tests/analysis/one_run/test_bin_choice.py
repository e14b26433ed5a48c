"""Cuts found from the errors: planted steps, pure noise, shared images, bounds."""

import numpy as np
import pytest

from durian.analysis.one_run.bin_choice import choose_cuts
from durian.analysis.statistics.clusters import Clusters

G = 8  # completions a sample


def drawn(n, rate, seed=0):
    """Values spread over 0 to 1, and wrong completions at a rate that depends on them."""
    rng = np.random.default_rng(seed)
    values = rng.permutation((np.arange(n) + 0.5) / n)
    wrong = rng.binomial(G, rate(values)).astype(np.float64)
    return values, wrong, np.full(n, float(G))


def steps(values):
    return np.select([values < 0.3, values < 0.7], [0.2, 0.5], 0.8)


def test_planted_steps_are_found_where_they_are():
    choices = [choose_cuts(*drawn(2000, steps, seed)) for seed in range(20)]
    # Twenty bins of 100: cuts lie at multiples of 0.05, halfway between two values.
    for choice in choices:
        assert choice.start == 20 and choice.told_apart
        assert {0.3, 0.7} <= {round(edge, 9) for edge in choice.edges}
    # At 5 %, about one table in 20 has a cut too many.
    assert [len(choice.edges) for choice in choices].count(2) >= 17
    assert choices[1].sizes == (600, 800, 600)


def test_a_step_within_a_first_bin_is_found_to_within_that_bin():
    edges = choose_cuts(*drawn(1000, lambda v: np.where(v < 0.52, 0.2, 0.8))).edges
    assert all(0.5 - 1e-9 <= edge <= 0.55 + 1e-9 for edge in edges)


def test_pure_noise_mostly_ends_in_the_fewest_bins():
    # At 5 % over all first pairs, more than two bins should come in about 1 of 20 tables.
    counts = [
        len(choose_cuts(*drawn(1000, lambda v: np.full_like(v, 0.4), seed)).sizes)
        for seed in range(40)
    ]
    assert min(counts) == 2 and counts.count(2) >= 35


def test_two_bins_of_pure_noise_are_said_not_to_differ():
    values, _, total = drawn(400, steps)
    choice = choose_cuts(values, np.tile([2.0, 4.0], 200), total)  # rows were shuffled
    assert len(choice.sizes) == 2 and not choice.told_apart


def test_an_error_rate_that_rises_smoothly_gives_more_than_two_bins():
    values, wrong, total = drawn(3000, lambda v: 0.1 + 0.7 * v)
    choice = choose_cuts(values, wrong, total)
    bins = np.searchsorted(choice.edges, values, side="right")
    rates = np.bincount(bins, wrong) / np.bincount(bins, total)
    assert len(choice.sizes) >= 4 and np.bincount(bins).tolist() == list(choice.sizes)
    assert (np.diff(rates) > 0).all()


def test_questions_about_one_image_are_no_independent_evidence():
    # 200 images of 5 questions; an image is easy or hard as a whole, whatever its value.
    def spurious(with_clusters):
        found = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            image = np.repeat(np.arange(200), 5)
            values = rng.random(200)[image]
            wrong = rng.binomial(G, rng.choice([0.1, 0.9], 200)[image]).astype(np.float64)
            clusters = Clusters(image) if with_clusters else None
            choice = choose_cuts(values, wrong, np.full(1000, float(G)), clusters=clusters)
            found += len(choice.sizes) > 2
        return found

    assert spurious(with_clusters=False) == 20  # each question passes for an image of its own
    assert spurious(with_clusters=True) <= 3


def test_few_images_begin_with_few_bins_however_many_questions_they_have():
    values = np.repeat(np.arange(60.0), 20)
    wrong = np.tile([2.0, 6.0], 600)
    choice = choose_cuts(values, wrong, np.full(1200, 8.0), clusters=Clusters(values.astype(int)))
    assert choice.start == 3  # 60 images, 20 a bin


def test_three_groups_are_cut_at_the_widest_gaps():
    # Quarters at 0.1, 0.5, 0.55 and 0.9: with three to keep, the middle two go together.
    rate = lambda v: np.select([v < 0.25, v < 0.5, v < 0.75], [0.1, 0.5, 0.55], 0.9)  # noqa: E731
    choice = choose_cuts(*drawn(4000, rate), fewest=3, most=3)
    assert choice.edges == pytest.approx((0.25, 0.75), abs=1e-9) and choice.told_apart
    noise = choose_cuts(*drawn(4000, lambda v: np.full_like(v, 0.5)), fewest=3, most=3)
    assert len(noise.sizes) == 3 and not noise.told_apart


@pytest.mark.parametrize("least", [100, 130, 300, 700, 1000])
def test_every_bin_has_the_least_number_of_samples(least):
    data = drawn(2000, lambda v: v)
    choice = choose_cuts(*data, least_samples=least)
    # 20 bins hold 100, 15 hold 133, 6 hold 333; 1,000 leaves two.
    assert choice.start == 2000 // least == {100: 20, 130: 15, 300: 6, 700: 2, 1000: 2}[least]
    assert min(choice.sizes) >= least and sum(choice.sizes) == 2000 and len(choice.sizes) >= 2


def test_bins_that_ties_leave_too_small_are_merged():
    # 700 zeros, 200 ones, 100 twos: with 250 asked of each, ones and twos go together.
    values = np.repeat([0.0, 1.0, 2.0], [700, 200, 100])
    wrong = np.repeat([0.0, 4.0, 8.0], [700, 200, 100])
    choice = choose_cuts(values, wrong, np.full(1000, 8.0), least_samples=250)
    assert choice.edges == (0.5,) and choice.sizes == (700, 300)


def test_too_few_samples_for_two_bins_leave_one_and_the_caller_says_so():
    assert choose_cuts(*drawn(2000, steps), least_samples=1001).sizes == (2000,)


def test_a_measure_of_few_values_begins_with_one_bin_a_value():
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 100)
    wrong = np.repeat([1.0, 1.0, 6.0, 6.0], 100) + np.tile([0.0, 1.0], 200)
    choice = choose_cuts(values, wrong, np.full(400, float(G)))
    assert choice.start == 4 and choice.edges == (2.5,) and choice.told_apart


def test_a_rare_value_is_no_bin_of_its_own():
    # One sample at 3 that is all wrong: in no resample does its rate vary.
    values = np.array([1.0] * 100 + [2.0] * 100 + [3.0])
    wrong = np.array([0.0, 1.0] * 50 + [6.0, 7.0] * 50 + [8.0])
    assert choose_cuts(values, wrong, np.full(201, float(G))).edges == (1.5,)


def test_missing_values_are_left_out_and_unscored_samples_count_in_sizes_alone():
    values, wrong, total = drawn(2000, steps, seed=1)
    unscored = np.zeros(2000)
    choice = choose_cuts(
        np.concatenate([values, values, [np.nan] * 50]),
        np.concatenate([wrong, unscored, [8.0] * 50]),
        np.concatenate([total, unscored, [8.0] * 50]),
    )
    assert choice.sizes == (1200, 1600, 1200)
    assert choice.edges == pytest.approx((0.3, 0.7), abs=1e-9)


def test_bins_that_nothing_was_scored_in_cannot_be_told_apart():
    values = np.arange(100.0)
    choice = choose_cuts(values, np.zeros(100), np.where(values < 40, 8.0, 0.0))
    assert len(choice.sizes) == 2 and not choice.told_apart


@pytest.mark.parametrize("error", [0.0, 8.0])
def test_all_right_or_all_wrong_gives_the_fewest_bins(error):
    values, _, total = drawn(400, steps)
    choice = choose_cuts(values, np.full(400, error), total)
    assert len(choice.sizes) == 2 and not choice.told_apart


def test_rates_without_any_spread_that_differ_are_told_apart():
    values = np.arange(200.0)
    choice = choose_cuts(values, np.where(values < 100, 2.0, 4.0), np.full(200, 8.0))
    assert choice.edges == (99.5,) and choice.told_apart


def test_cuts_depend_neither_on_the_order_of_rows_nor_on_the_scale():
    values, wrong, total = drawn(600, lambda v: 0.1 + 0.7 * v)
    images = np.arange(600) // 3
    first = choose_cuts(values, wrong, total, clusters=Clusters(images))
    order = np.random.default_rng(1).permutation(600)
    shuffled = choose_cuts(
        values[order], wrong[order], total[order], clusters=Clusters(images[order])
    )
    assert shuffled == first
    assert choose_cuts(np.exp(values), wrong, total, clusters=Clusters(images)).sizes == first.sizes


def test_rows_that_tie_can_stand_in_any_order():
    for seed in range(40):
        values, wrong, total = drawn(400, lambda v: 0.1 + 0.7 * v, seed)
        values = np.round(values, 1)
        order = np.random.default_rng(seed).permutation(400)
        shuffled = choose_cuts(values[order], wrong[order], total[order])
        assert shuffled == choose_cuts(values, wrong, total)


def test_two_neighbouring_floats_are_cut_between():
    above = np.nextafter(1.0, 2.0)
    values = np.repeat([1.0, above], 50)
    choice = choose_cuts(values, np.repeat([1.0, 7.0], 50), np.full(100, 8.0))
    assert choice.edges == (above,) and choice.sizes == (50, 50)  # a value on a cut is above it
