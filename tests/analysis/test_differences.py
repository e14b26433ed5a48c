"""Paired differences of AUROC: which pairs, on which samples, and how much narrower than apart."""

import numpy as np
import pytest

from durian.analysis.one_run.against_error import AgainstError, auroc_differences
from durian.analysis.one_run.columns import Candidate
from durian.analysis.statistics.association import ScoreOrder, associate
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED, Estimate

N = 300


def planted(seed=0):
    rng = np.random.default_rng(seed)
    hard = rng.uniform(size=N)
    return hard, rng.binomial(4, hard).astype(float), np.full(N, 4.0)


def compare(wrong, total, **columns):
    given = wrong, total, Clusters.apart(len(wrong))
    found = {
        name: AgainstError(Candidate(kind=kind, values=values, harder="higher"), *given)
        for name, (kind, values) in columns.items()
    }
    return auroc_differences(found, *given)


def auroc(score, wrong, total):
    return associate(ScoreOrder(score, wrong, total), Clusters.apart(len(score))).auroc


def test_measures_meet_the_baseline_and_each_other():
    hard, wrong, total = planted()
    rng = np.random.default_rng(1)
    entries = compare(
        wrong,
        total,
        entropy=("measure", hard),
        length=("baseline", rng.normal(size=N)),
        scatter=("measure", -hard),
        width=("column", hard),
        absent=("measure", np.full(N, np.nan)),
    )
    assert [(entry.first, entry.second) for entry in entries] == [
        ("entropy", "length"), ("scatter", "length"), ("entropy", "scatter"),
    ]  # fmt: skip
    # scatter is entropy turned round: their AUROCs are a and 1 - a.
    alone = auroc(hard, wrong, total).value
    assert entries[2].difference.value == pytest.approx(2 * alone - 1)
    assert entries[0].difference.low > 0.2 and entries[0].n == N


def test_a_measure_differs_from_itself_by_nothing():
    hard, wrong, total = planted()
    (entry,) = compare(wrong, total, one=("measure", hard), two=("measure", 3 * hard))
    assert entry.difference.value == 0
    assert entry.difference.reason == AGREED


def test_pairing_narrows_the_interval():
    hard, wrong, total = planted()
    rng = np.random.default_rng(2)
    near = hard + 0.05 * rng.normal(size=N)
    (entry,) = compare(wrong, total, one=("measure", hard), two=("measure", near))
    alone = auroc(hard, wrong, total)
    paired = entry.difference.high - entry.difference.low
    assert paired < 0.5 * (alone.high - alone.low)


def test_only_samples_that_have_both_are_compared():
    hard, wrong, total = planted()
    half = np.where(np.arange(N) < 200, hard, np.nan)
    rest = np.where(np.arange(N) < 50, np.nan, hard**2 - 0.5 * hard)
    entries = compare(wrong, total, one=("measure", half), two=("measure", rest))
    both = slice(50, 200)
    apart = [auroc(score[both], wrong[both], total[both]).value for score in (half, rest)]
    assert entries[0].n == 150
    assert entries[0].difference.value == pytest.approx(apart[0] - apart[1])


def test_what_is_undefined_is_none_with_its_reason():
    hard, _, total = planted()
    for wrong, one, reason in (
        (np.zeros(N), hard, "all are right"),
        (total, hard, "all are wrong"),
        (np.arange(N) % 2 * 1.0, np.ones(N), "the measure is constant"),
        (
            np.arange(N) % 2 * 1.0,
            np.where(np.arange(N) == 1, 1, np.nan),
            "the measure is constant",
        ),
    ):
        (entry,) = compare(wrong, total, one=("measure", one), two=("measure", hard))
        assert entry.difference == Estimate(value=None, reason=reason)
    left = np.where(np.arange(N) < 9, hard, np.nan), np.where(np.arange(N) < 9, np.nan, hard)
    (entry,) = compare(
        np.arange(N) % 2 * 1.0, total, one=("measure", left[0]), two=("measure", left[1])
    )
    assert (entry.n, entry.difference.reason) == (0, "no sample has both")
