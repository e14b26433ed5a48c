"""AUROC and Spearman against scikit-learn, scipy, and the literally resampled rows."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from pipelines.analysis import association
from pipelines.analysis.association import auroc_of_error, spearman_with_error
from pipelines.analysis.bootstrap import resampled_weights

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
    return roc_auc_score(labels, scores)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """The point estimates do not need a thousand."""
    monkeypatch.setattr("pipelines.analysis.bootstrap.RESAMPLES", 40)


def test_auroc_by_hand():
    # Wrong completions score 2, 2, 1; right ones 1, 0. Pairs: 2 > 1, 2 > 0 twice each, 1 = 1 for
    # half, 1 > 0: (4 + 0.5 + 1) / 6.
    score, wrong, total = np.array([[2.0, 1, 0], [2, 1, 0], [2, 2, 1]])
    assert auroc_of_error(score, wrong, total, seed=0).value == pytest.approx(5.5 / 6)


@given(TABLE)
def test_auroc_is_scikit_learns_over_completions(table):
    score, wrong, total = columns(table)
    assume(0 < wrong.sum() < total.sum() and score.min() < score.max())
    ours = auroc_of_error(score, wrong, total, seed=0).value
    assert ours == pytest.approx(peer_auroc(score, wrong, total), abs=1e-12)


def test_auroc_of_many_samples_is_scikit_learns():
    rng = np.random.default_rng(0)
    score, total = np.round(rng.normal(size=3000), 1), rng.integers(1, 9, 3000).astype(float)
    wrong = rng.binomial(total.astype(int), 1 / (1 + np.exp(-score))).astype(float)
    ours = auroc_of_error(score, wrong, total, seed=0).value
    assert ours == pytest.approx(peer_auroc(score, wrong, total), abs=1e-12)


@given(TABLE)
def test_spearman_is_scipys(table):
    score, wrong, total = columns(table)
    assume(score.min() < score.max() and (wrong / total).min() < (wrong / total).max())
    ours = spearman_with_error(score, wrong, total, seed=0).value
    assert ours == pytest.approx(spearmanr(score, wrong / total).statistic, abs=1e-12)


@pytest.mark.parametrize("statistic", ["auroc", "spearman"])
def test_a_resample_counts_as_its_rows_written_out(statistic):
    rng = np.random.default_rng(5)
    score, total = rng.integers(0, 6, 25).astype(float), np.full(25, 4.0)
    wrong = rng.binomial(4, 0.2 + 0.1 * score).astype(float)
    weights = next(resampled_weights(25, seed=9))
    order = np.argsort(score, kind="stable")
    if statistic == "auroc":
        pos, neg = (weights * part for part in (wrong, total - wrong))
        ours = association._auroc(pos[:, order], neg[:, order], association._starts(score[order]))
    else:
        x, y = association._Ranks(score), association._Ranks(wrong / total)
        ours = association._spearman(x, y, weights)
    for drawn, value in zip(weights, ours, strict=True):
        rows = np.repeat(np.arange(25), drawn.astype(int))
        s, w, t = score[rows], wrong[rows], total[rows]
        peer = peer_auroc(s, w, t) if statistic == "auroc" else spearmanr(s, w / t).statistic
        assert value == pytest.approx(peer, abs=1e-12)


@pytest.mark.parametrize("statistic", [auroc_of_error, spearman_with_error])
def test_the_interval_is_that_of_the_rows_written_out(statistic):
    rng = np.random.default_rng(6)
    score, total = rng.normal(size=30), np.full(30, 4.0)
    wrong = rng.binomial(4, 1 / (1 + np.exp(-score))).astype(float)
    draws = []
    for drawn in np.concatenate(list(resampled_weights(30, seed=3))):
        rows = np.repeat(np.arange(30), drawn.astype(int))
        s, w, t = score[rows], wrong[rows], total[rows]
        draws.append(
            peer_auroc(s, w, t) if statistic is auroc_of_error else spearmanr(s, w / t).statistic
        )
    ours = statistic(score, wrong, total, seed=3)
    assert (ours.low, ours.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=1e-12)


@pytest.mark.parametrize(
    ("table", "auroc_reason", "spearman_reason"),
    [
        ([(1, 2, 0), (2, 2, 0)], "all are wrong", "the error rate is constant"),
        ([(1, 0, 2), (2, 0, 2)], "all are right", "the error rate is constant"),
        ([(1, 1, 1), (1, 0, 2)], "the measure is constant", "the measure is constant"),
        ([(1, 1, 1)], "the measure is constant", "the measure is constant"),
    ],
)
def test_what_is_undefined_is_none_with_its_reason(table, auroc_reason, spearman_reason):
    for statistic, reason in (
        (auroc_of_error, auroc_reason),
        (spearman_with_error, spearman_reason),
    ):
        estimate = statistic(*columns(table), seed=0).as_dict()
        assert estimate == {"value": None, "low": None, "high": None, "reason": reason}


def test_no_sample_is_none_with_its_reason():
    nothing = np.empty(0)
    for statistic in (auroc_of_error, spearman_with_error):
        assert statistic(nothing, nothing, nothing, seed=0).value is None
