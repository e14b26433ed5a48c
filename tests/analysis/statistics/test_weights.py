"""Samples with unequal numbers of rollouts weigh alike, in every number that is made of them."""

import numpy as np
import polars as pl
import pytest

from durian.analysis.one_run.rollouts import RolloutArrays
from durian.analysis.one_run.split_half import SplitHalf
from durian.analysis.one_run.summary import analyse
from durian.analysis.statistics.agreement import auroc_statistic
from durian.analysis.statistics.bootstrap import resample
from durian.analysis.statistics.error_share import errors_by_group
from durian.analysis.statistics.risk_coverage import Harmonic, best_aurc
from durian.analysis.statistics.weights import even
from durian.analysis.two_runs.floor import Completions, redraws

# Error rates 0, 1/2 and 1, and the harder, the more completions, as where more are drawn of them.
WRONG, TOTAL = np.array([0.0, 2, 8]), np.array([2.0, 4, 8])
SCORE = np.array([0.0, 1, 2])
# AUROC of the score, a sample one completion, so much wrong (0, 1/2, 1) and so much right
# (1, 1/2, 0): 1/2 x 1 + 1 x 1 + 1 x 1/2, and half of 1/2 x 1/2, over 3/2 x 3/2. Completions
# alike, it would be (2 x 2 + 8 x 2 + 8 x 2 + half of 2 x 2) / (10 x 4) = 0.95.
AUROC = 2.125 / 2.25


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("durian.analysis.statistics.bootstrap.RESAMPLES", 20)


def test_unequal_counts_become_the_rounded_mean_at_the_same_rates():
    wrong, total = even(WRONG, TOTAL)  # a mean of 14 / 3
    assert (wrong.tolist(), total.tolist()) == ([0.0, 2.5, 5.0], [5.0, 5.0, 5.0])
    # Halves stay equal to the last bit: a tie is a tie.
    wrong, _ = even(np.array([1.0, 2, 3, 0]), np.array([2.0, 4, 6, 3]))
    assert len(set(wrong[:3])) == 1


def test_equal_counts_and_samples_without_any_are_left():
    wrong, total = np.array([1.0, 3, 0]), np.array([4.0, 4, 0])
    assert [x.tolist() for x in even(wrong, total)] == [[1, 3, 0], [4, 4, 0]]
    wrong, total = even(np.array([1.0, 3, 0]), np.array([2.0, 4, 0]))
    assert (wrong.tolist(), total.tolist()) == ([1.5, 2.25, 0.0], [3.0, 3.0, 0.0])
    assert [x.tolist() for x in even(np.empty(0), np.empty(0))] == [[], []]


def test_a_groups_error_rate_is_the_mean_of_its_samples_and_its_counts_are_of_those_drawn():
    [easy, hard] = errors_by_group(["a", "b", "b"], ["a", "b"], WRONG, TOTAL, seed=0)
    assert (easy.error_rate.value, hard.error_rate.value) == (0.0, 0.75)
    assert hard.error_share.value == 1.0
    assert (easy.completions, hard.completions, hard.errors) == (2, 12, 10)


def test_auroc_of_a_comparison_counts_samples_alike():
    found = auroc_statistic(SCORE, WRONG, TOTAL)(np.ones((1, 3)))
    assert found[0, 0] == pytest.approx(AUROC)


def test_a_report_counts_samples_alike():
    n = 20
    table = pl.DataFrame(
        {
            "mean_logprob": np.repeat(-SCORE, n),
            "rollouts": pl.Series(np.repeat(TOTAL, n), dtype=pl.Int32),
            "pass_rate": np.repeat(1 - WRONG / TOTAL, n),
            "perceptual_group": ["easy"] * n + ["hard"] * 2 * n,
            "reasoning_group": pl.Series(np.repeat(2 - SCORE, n), dtype=pl.Int32),
            "error": pl.Series([None] * 3 * n, dtype=pl.String),
        }
    )
    summary = analyse(table, {"mean_logprob": "lower"}).scored
    assert summary.error_rate.value == pytest.approx(0.5)
    assert summary.completions == 14 * n
    measure = summary.measures["mean_logprob"]
    assert measure.auroc.value == pytest.approx(AUROC)
    assert measure.base_rate == pytest.approx(0.5)
    # Three levels, so that the isotonic fit is the rates themselves, in three bins.
    assert [row.isotonic for row in measure.curve] == pytest.approx([1.0, 0.5, 0.0])
    assert summary.contrast["perceptual"].value == pytest.approx(0.75)
    known = summary.reliability
    assert (known.fewest_rollouts, known.most_rollouts) == (2, 8)


def test_split_halves_count_samples_alike():
    # Both halves of a sample are alike: its rollouts are pairs of equal ones. Rates 0, 1 and 1/2
    # cannot all be so; two samples of 2 and one of 8, wrong in 0, 2 and 8, score 0, 1 and 2.
    def rectangle(first, second, third):
        return np.array([[first] * 2 + [np.nan] * 6, [second] * 2 + [np.nan] * 6, [third] * 8])

    wrong, score = rectangle(0.0, 1.0, 1.0), rectangle(0.0, 3.0, -1.0)
    arrays = RolloutArrays(
        present=~np.isnan(wrong), wrong=wrong, n_tokens=wrong * 0 + 1, sum_logprob=score
    )
    half = SplitHalf("mean_logprob", arrays, seed=0)
    found = half.estimates(resample(half.statistics(), 3, seed=0))
    # The least confident, of 8, is above the right one, the most confident below: 1/2. Completions
    # alike, it would be 4 of 5.
    assert found.other.value == pytest.approx(0.5)


def test_the_best_area_of_parts_of_errors_lies_between_those_of_whole_ones():
    harmonic = Harmonic()
    two, half, three = (
        best_aurc(np.array([errors]), np.array([10.0]), harmonic)[0] for errors in (2.0, 2.5, 3.0)
    )
    # E = 2.5 of 10: (2.5 - 7.5 (H_10 - H_7.5)) / 10 with H_7.5 = H_7 + 0.5 / 8.
    sums = 1 / 8 + 1 / 9 + 1 / 10 - 0.5 / 8
    assert half == pytest.approx((2.5 - 7.5 * sums) / 10)
    assert two < half < three


def test_samples_of_unequal_completions_are_redrawn_as_often_as_each_was_drawn():
    # No sample differs from another but by luck, of variance 4: means of 2 completions have a
    # variance of 2, of 16 one of 1/4.
    rng = np.random.default_rng(12)
    values = rng.normal(scale=2.0, size=(4000, 16))
    values[:2000, 2:] = np.nan
    wrong = (values < 0) + values * 0  # half of them
    drawn = Completions({"m": values}, {}, wrong)
    redraw = next(redraws(drawn, (None, 8), seed=0))
    own, other = redraw.values["m"]
    spreads = [own[:2000].var(), own[2000:].var(), other.var()]
    assert spreads == pytest.approx([2.0, 1 / 4, 4 / 8], rel=0.12)
    assert set(redraw.rates[0][:2000]) == {0.0, 0.5, 1.0}
    assert redraw.rates[0].mean() == pytest.approx(0.5, abs=0.02)
