"""Split halves: what a half holds, and that shared noise shows on the same half only."""

import numpy as np
import polars as pl
import pytest

from durian.analysis.one_run.rollouts import rollout_arrays
from durian.analysis.one_run.split_half import SPLITS, _both_ways, split_halves
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import Estimate


def frame(correct, logprob, n_tokens=1):
    """Rollouts of N samples, from (N, G) arrays."""
    correct, logprob = np.asarray(correct), np.asarray(logprob, np.float64)
    n, g = correct.shape
    return pl.DataFrame(
        {
            "sample_id": np.repeat([f"s{i}" for i in range(n)], g),
            "rollout": np.tile(np.arange(g, dtype=np.int32), n),
            "n_tokens": np.broadcast_to(n_tokens, (n, g)).ravel(),
            "sum_logprob": logprob.ravel(),
            "correct": correct.ravel(),
        }
    )


def check(rollouts, n, name="mean_logprob"):
    arrays = rollout_arrays(rollouts, pl.Series([f"s{i}" for i in range(n)]))
    return split_halves([name], arrays, Clusters.apart(n), seed=0)[name]


def test_noise_that_error_and_confidence_share_shows_on_the_same_half_only():
    # Every sample is as hard: a rollout is wrong with chance 1/2, and its log-probability says so.
    rng = np.random.default_rng(0)
    correct = rng.random((400, 8)) < 0.5
    found = check(frame(correct, np.where(correct, -1.0, -2.0) + rng.normal(0, 0.3, (400, 8))), 400)
    assert found.same.low > 0.6
    assert found.other.low < 0.5 < found.other.high
    assert found.splits == SPLITS


def test_a_difficulty_of_the_sample_shows_on_both_halves():
    rng = np.random.default_rng(1)
    hard = rng.uniform(size=(400, 1))
    correct = rng.random((400, 8)) > hard
    found = check(frame(correct, np.repeat(-hard, 8, axis=1)), 400)
    # The confidence is the chance itself. Error and score: P(wrong above right) of independent
    # uniform h with weights h and 1 - h is 5/6 (as in test_association).
    for side in ("same", "other"):
        assert getattr(found, side).value == pytest.approx(5 / 6, abs=0.02)


def test_an_odd_rollout_is_left_out_and_halves_do_not_overlap():
    # Of two rollouts, one wrong with log-probability -1 and one right with 0, either half is one:
    # it always tells its own error, and is always mistaken about the other's.
    correct = np.array([[False, True], [True, False], [False, True]])
    found = check(frame(correct, correct - 1.0), 3)
    assert found.same.value == 1 and found.other.value == 0
    three = np.array([[False, True, True]] * 4)
    arrays = rollout_arrays(frame(three, three - 1.0), pl.Series([f"s{i}" for i in range(4)]))
    for each in _both_ways("mean_logprob", arrays, np.random.default_rng(0)):
        assert each.total.tolist() == [1, 1, 1, 1]
        assert ((each.wrong[0] + each.wrong[1]) <= 1).all()


def test_per_token_and_whole_confidence_differ_by_length():
    # Whole log-probability is the same for all, its length is what differs.
    rng = np.random.default_rng(2)
    hard = np.arange(40) % 2
    correct = np.repeat(1 - hard, 4).reshape(40, 4) == 1
    lengths = np.where(correct, 20, 10) + rng.integers(0, 5, (40, 4))
    rollouts = frame(correct, np.full((40, 4), -5.0), lengths)
    assert check(rollouts, 40, "mean_logprob").other.value == 1
    assert check(rollouts, 40, "sum_logprob").other.reason == "the measure is constant"


@pytest.mark.parametrize(
    ("correct", "reason"),
    [
        (np.array([[True], [False]]), "no sample has two rollouts"),
        (np.ones((2, 4), bool), "all are right"),
        (np.zeros((2, 4), bool), "all are wrong"),
    ],
)
def test_what_is_undefined_is_none_with_its_reason(correct, reason):
    logprob = -np.arange(correct.size, dtype=float).reshape(correct.shape)
    found = check(frame(correct, logprob), 2)
    for side in ("same", "other"):
        assert getattr(found, side) == Estimate(value=None, reason=reason)
    assert found.splits == 0


def test_only_confidence_can_be_split():
    arrays = rollout_arrays(frame([[True, False]], [[-1, -2]]), pl.Series(["s0"]))
    names = ["pixel_entropy", "sum_logprob", "answer_entropy", "mean_logprob"]
    assert list(split_halves(names, arrays, Clusters.apart(1), seed=0)) == [
        "mean_logprob",
        "sum_logprob",
    ]


def test_rollouts_follow_the_order_of_the_samples_whatever_theirs():
    rollouts = frame([[True, False], [True, True]], [[-1, -2], [-3, -4]]).sample(
        fraction=1, shuffle=True, seed=3
    )
    arrays = rollout_arrays(rollouts, pl.Series(["s1", "unknown", "s0"]))
    assert arrays.sum_logprob.tolist()[0] == [-3, -4] and arrays.sum_logprob.tolist()[2] == [-1, -2]
    assert np.isnan(arrays.sum_logprob[1]).all()
    assert arrays.wrong[2].tolist() == [0, 1] and arrays.present.sum(axis=1).tolist() == [2, 0, 2]
