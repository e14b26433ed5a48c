"""AUROC, Spearman and Kendall against scikit-learn, scipy, and the literally resampled rows."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import roc_auc_score

from durian.analysis.statistics.association import NAMES, Association, ScoreOrder, associate
from durian.analysis.statistics.bootstrap import resampled_weights
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.risk_coverage import Harmonic

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


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """The point estimates do not need a thousand."""
    monkeypatch.setattr("durian.analysis.statistics.bootstrap.RESAMPLES", 40)


def value(name, score, wrong, total):
    return getattr(associate(score, wrong, total, seed=0), name).value


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
    ours = associate(score, wrong, total, seed=0)
    assert [
        getattr(ours, name).value for name in ("auroc", "spearman", "kendall")
    ] == pytest.approx(peers(score, wrong, total), abs=1e-12)


def test_planted_difficulty_has_the_auroc_of_its_closed_form():
    # Scores i = 0 .. n - 1, of n completions i wrong, so with x = i / n the wrong ones have density
    # 2 x and the right ones 2 (1 - x). P(wrong above right) = int 2 x (2 x - x^2) dx = 5/6.
    n = 2000
    score = np.arange(n, dtype=float)
    ours = associate(score, score, np.full(n, float(n)), seed=0).auroc
    assert ours.value == pytest.approx(5 / 6, abs=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_a_resample_counts_as_its_rows_written_out(tied):
    rng = np.random.default_rng(5)
    score = rng.integers(0, 6, 25).astype(float) if tied else rng.normal(size=25)
    total = rng.integers(1, 6, 25).astype(float)
    wrong = rng.binomial(total.astype(int), 0.5).astype(float)
    association = Association(ScoreOrder(score, wrong, total))
    weights = next(resampled_weights(25, seed=9))
    for drawn, ours in zip(weights, association(weights), strict=True):
        rows = np.repeat(np.arange(25), drawn.astype(int))
        literal = Association(ScoreOrder(score[rows], wrong[rows], total[rows]))
        assert ours[:3] == pytest.approx(peers(score[rows], wrong[rows], total[rows]), abs=1e-12)
        assert ours == pytest.approx(literal(np.ones((1, 25)))[0], abs=1e-12)


def test_the_interval_is_that_of_the_rows_written_out():
    rng = np.random.default_rng(6)
    score, total = rng.normal(size=30), np.full(30, 4.0)
    wrong = rng.binomial(4, 1 / (1 + np.exp(-score))).astype(float)
    draws = []
    for drawn in np.concatenate(list(resampled_weights(30, seed=3))):
        rows = np.repeat(np.arange(30), drawn.astype(int))
        draws.append(peers(score[rows], wrong[rows], total[rows]))
    ours = associate(score, wrong, total, seed=3)
    bounds = np.percentile(draws, [2.5, 97.5], axis=0).T
    for name, expected in zip(("auroc", "spearman", "kendall"), bounds, strict=True):
        assert [getattr(ours, name).low, getattr(ours, name).high] == pytest.approx(
            expected, abs=1e-12
        )


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
    found = associate(*columns(table), seed=0)
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
        associate(nothing, nothing, nothing, seed=0),
        associate(np.array([np.nan]), np.ones(1), np.ones(1), seed=0),
    ):
        assert all(number.reason == "no sample has it" for number in vars(found).values())


def test_samples_without_the_score_change_no_value():
    rng = np.random.default_rng(7)
    score, total = rng.normal(size=40), np.full(40, 4.0)
    wrong = rng.binomial(4, 0.5, 40).astype(float)
    more = np.r_[score, np.full(9, np.nan)], np.r_[wrong, np.full(9, 4.0)], np.full(49, 4.0)
    alone, among = associate(score, wrong, total, seed=0), associate(*more, seed=0)
    for name in NAMES:
        assert getattr(alone, name).value == getattr(among, name).value


def test_harmonic_numbers_grow_as_they_are_asked_for():
    harmonic = Harmonic()
    # H_3 = 1 + 1/2 + 1/3 = 11/6; H_40 is asked for later.
    assert harmonic(np.array([0.0, 1.0, 3.0])).tolist() == pytest.approx([0, 1, 11 / 6])
    forty = sum(1 / k for k in range(1, 41))
    assert harmonic(np.array([[40.0, 3.0]])).tolist()[0] == pytest.approx([forty, 11 / 6])
