"""AUROC, Spearman and Kendall against scikit-learn, scipy, and the literally resampled rows."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import roc_auc_score

from durian.analysis.statistics.association import (
    NAMES,
    NUMBERS,
    ScoreOrder,
    area_under_risk,
    associate,
    excess_area,
)
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate

# score (few values, so ties), wrong completions, right completions of one sample
SAMPLE = st.tuples(st.integers(-3, 3), st.integers(0, 4), st.integers(0, 4)).filter(
    lambda sample: sample[1] + sample[2] > 0
)
TABLE = st.lists(SAMPLE, min_size=2, max_size=15)


def columns(table):
    score, wrong, right = np.array(table, np.float64).T
    return score, wrong, wrong + right


def peer_auroc(score, wrong, total):
    """scikit-learn's, over one row for each completion."""
    labels = [1] * int(wrong.sum()) + [0] * int((total - wrong).sum())
    scores = np.r_[
        np.repeat(score, wrong.astype(int)), np.repeat(score, (total - wrong).astype(int))
    ]
    return roc_auc_score(labels, scores) if len(set(labels)) == 2 else np.nan


def peers(score, wrong, total):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant resamples: NaN, as ours
        rate = wrong / total
        return [
            peer_auroc(score, wrong, total),
            spearmanr(score, rate).statistic,
            kendalltau(score, rate).statistic,
        ]


def associated(score, wrong, total, clusters=None):
    order = ScoreOrder(score, wrong, total)
    return associate(order, clusters or Clusters.apart(len(score)))


def value(name, score, wrong, total):
    return getattr(associated(score, wrong, total), name).value


def test_auroc_by_hand():
    # Wrong completions score 2, 2, 1; right ones 1, 0. Pairs: 2 > 1, 2 > 0 twice each, 1 = 1 for
    # half, 1 > 0: (4 + 0.5 + 1) / 6.
    score, wrong, total = np.array([[2.0, 1, 0], [2, 1, 0], [2, 2, 1]])
    assert value("auroc", score, wrong, total) == pytest.approx(5.5 / 6)


def test_kendall_by_hand():
    # Scores 1 2 2 3, error rates 0 1/2 1 1. Pairs: 1-2, 1-2', 1-3, 2-3 agree, 2'-3 ties in rate,
    # 2-2' ties in score: 4 agree, none differs, 5 of 6 untied in each: 4 / 5.
    score, wrong, total = np.array([[1.0, 2, 2, 3], [0, 1, 2, 2], [2, 2, 2, 2]])
    assert value("kendall", score, wrong, total) == pytest.approx(4 / 5)


@given(TABLE)
@settings(deadline=None)
def test_auroc_is_scikit_learns_over_completions(table):
    score, wrong, total = columns(table)
    assume(0 < wrong.sum() < total.sum() and score.min() < score.max())
    ours = value("auroc", score, wrong, total)
    assert ours == pytest.approx(peer_auroc(score, wrong, total), abs=1e-12)


@given(TABLE)
@settings(deadline=None)
def test_rank_correlations_are_scipys(table):
    score, wrong, total = columns(table)
    assume(score.min() < score.max() and (wrong / total).min() < (wrong / total).max())
    _, rho, tau = peers(score, wrong, total)
    assert value("spearman", score, wrong, total) == pytest.approx(rho, abs=1e-12)
    assert value("kendall", score, wrong, total) == pytest.approx(tau, abs=1e-12)


def test_many_samples_are_as_the_peers_have_them():
    rng = np.random.default_rng(0)
    score, total = np.round(rng.normal(size=3000), 1), rng.integers(1, 9, 3000).astype(float)
    wrong = rng.binomial(total.astype(int), 1 / (1 + np.exp(-score))).astype(float)
    ours = associated(score, wrong, total)
    assert [
        getattr(ours, name).value for name in ("auroc", "spearman", "kendall")
    ] == pytest.approx(peers(score, wrong, total), abs=1e-12)


def test_planted_difficulty_has_the_auroc_of_its_closed_form():
    # Scores i = 0 .. n - 1, of n completions i wrong, so with x = i / n the wrong ones have density
    # 2 x and the right ones 2 (1 - x). P(wrong above right) = int 2 x (2 x - x^2) dx = 5/6.
    n = 2000
    score = np.arange(n, dtype=float)
    ours = associated(score, score, np.full(n, float(n))).auroc
    assert ours.value == pytest.approx(5 / 6, abs=1e-3)


def drawn(n, tied, seed=5):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 6, n).astype(float) if tied else rng.normal(size=n)
    total = rng.integers(1, 6, n).astype(float)
    return score, rng.binomial(total.astype(int), 1 / (1 + np.exp(-score))) * 1.0, total


@pytest.mark.parametrize("tied", [True, False])
def test_the_influence_of_a_sample_is_what_one_more_of_it_changes(tied):
    # Every sample 40 times, then one more or one less of a sample: the slope of the peers' numbers
    # (of AURC, which has none, of our own), at a fortieth of a sample.
    score, wrong, total = drawn(25, tied)
    whole, times = ScoreOrder(score, wrong, total), 40
    rows = np.repeat(np.arange(25), times)

    def at(rows):
        given = score[rows], wrong[rows], total[rows]
        order = ScoreOrder(*given)
        return [*peers(*given), area_under_risk(order).value, excess_area(order).value]

    for sample in (0, 7, 13):
        more, less = at(np.r_[rows, sample]), at(np.delete(rows, sample * times))
        slopes = (np.array(more) - less) / 2 * times
        for name, slope in zip(NAMES, slopes, strict=True):
            found = NUMBERS[name][0](whole)
            # Of AURC the number itself changes a little with the number of completions.
            near = 4e-3 if "aurc" in name else 2e-4
            assert found.influence[sample] == pytest.approx(slope, abs=near), name


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_is_as_wide_as_the_cluster_bootstraps(name):
    # 150 images of 1 to 5 samples that share a part of their difficulty, drawn again 400 times.
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(150), rng.integers(1, 6, 150))
    hard = rng.normal(size=150)[image] + 0.5 * rng.normal(size=len(image))
    score = np.round(hard + rng.normal(size=len(image)), 1)
    total = np.full(len(image), 8.0)
    wrong = rng.binomial(8, 1 / (1 + np.exp(-hard))) * 1.0
    number, scale = NUMBERS[name]
    members = [np.flatnonzero(image == k) for k in range(150)]
    again = []
    for _ in range(400):
        rows = np.concatenate([members[k] for k in rng.integers(150, size=150)])
        again.append(number(ScoreOrder(score[rows], wrong[rows], total[rows])).value)
    found = number(ScoreOrder(score, wrong, total)).estimate(Clusters(image), scale)
    # 400 resamples know a deviation to 1 / sqrt(800) = 4 %.
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(again), rel=0.12)


def rare(wrong_samples, n=1200):
    """One right or wrong completion in almost no sample, as the issue found it."""
    rng = np.random.default_rng(2)
    wrong = np.zeros(n)
    wrong[list(wrong_samples)] = 2.0
    return rng.normal(size=n), wrong, np.full(n, 2.0)


def test_an_auroc_that_rests_on_one_sample_has_no_interval_and_says_why():
    found = associated(*rare([17]))
    assert found.auroc.value is not None
    for number in vars(found).values():
        assert (number.low, number.reason) == (None, "only 1 sample has a wrong completion")
    score, wrong, total = rare([17])
    right = associated(score, total - wrong, total)
    assert right.auroc.reason == "only 1 sample has a right completion"


def test_ten_clusters_with_a_wrong_completion_have_an_interval_and_nine_have_not():
    assert associated(*rare(range(9))).auroc.low is None
    assert associated(*rare(range(10))).auroc.low is not None
    # Ten samples, but of nine images.
    clusters = Clusters(np.r_[0, np.arange(1199)])
    found = associated(*rare(range(10)), clusters=clusters)
    assert found.auroc.reason == "only 9 images have a wrong completion"


@pytest.mark.parametrize(
    ("table", "auroc", "correlation", "excess"),
    [
        ([(1, 2, 0), (2, 2, 0)], "all are wrong", "the error rate is constant", "all are wrong"),
        ([(1, 0, 2), (2, 0, 2)], "all are right", "the error rate is constant", "all are right"),
        ([(1, 1, 1), (1, 0, 2)], "the measure is constant", "the measure is constant", None),
        ([(1, 1, 1)], "the measure is constant", "the measure is constant", None),
        ([(1, 1, 1), (2, 1, 1)], None, "the error rate is constant", None),
    ],
)
def test_what_is_undefined_is_none_with_its_reason(table, auroc, correlation, excess):
    found = associated(*columns(table))
    expected = {
        "auroc": auroc, "spearman": correlation, "kendall": correlation, "excess_aurc": excess,
    }  # fmt: skip
    for name, reason in expected.items():
        assert (getattr(found, name).value is None) == (reason is not None)
        if reason is not None:
            assert getattr(found, name) == Estimate(value=None, reason=reason)


def test_no_sample_is_none_with_its_reason():
    nothing = np.empty(0)
    for found in (
        associated(nothing, nothing, nothing),
        associated(np.array([np.nan]), np.ones(1), np.ones(1)),
    ):
        assert all(number.reason == "no sample has it" for number in vars(found).values())


def test_samples_without_the_score_change_no_value():
    rng = np.random.default_rng(7)
    score, total = rng.normal(size=40), np.full(40, 4.0)
    wrong = rng.binomial(4, 0.5, 40).astype(float)
    more = np.r_[score, np.full(9, np.nan)], np.r_[wrong, np.full(9, 4.0)], np.full(49, 4.0)
    alone, among = associated(score, wrong, total), associated(*more)
    for name in NAMES:
        assert getattr(alone, name).value == getattr(among, name).value
