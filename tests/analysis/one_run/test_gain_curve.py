"""Image gain against error: flat where all samples are alike, and falling where they differ."""

import numpy as np
import polars as pl
import pytest

from durian.analysis.one_run.gain_curve import gain_against_error
from durian.analysis.one_run.rollouts import rollout_arrays
from durian.analysis.statistics.association import ScoreOrder, auroc
from durian.analysis.statistics.clusters import Clusters

N, G = 3000, 8


def drawn(seeing, blind, seed):
    """Completions of N samples of these true pass rates, and their blind pass rates."""
    rng = np.random.default_rng(seed)
    right = rng.random((N, G)) < np.broadcast_to(seeing, N)[:, None]
    ids = [str(i) for i in range(N)]
    said = pl.DataFrame(
        {
            "sample_id": np.repeat(ids, G), "rollout": np.tile(np.arange(G), N),
            "n_tokens": np.ones(N * G), "sum_logprob": np.full(N * G, -1.0),
            "correct": right.ravel(),
        }
    )  # fmt: skip
    return rollout_arrays(said, pl.Series(ids)), rng.binomial(G, blind, N) / G


def test_of_pure_noise_the_curve_is_flat_where_the_naive_one_is_steep():
    arrays, blind = drawn(0.5, 0.3, seed=1)
    found = gain_against_error(arrays, blind, Clusters.apart(N), seed=0)
    assert found.n == N
    low, high = found.auroc.interval
    assert low < 0.5 < high and high - low < 0.06
    for point in found.curve:
        low, high = point.error_rate.interval
        assert low - 0.03 < 0.5 < high + 0.03  # one in twenty intervals misses by a little
    # The whole pass rate in the gain, and its own errors: as if the image told all of them.
    wrong = arrays.wrong.sum(axis=1)
    naive = ScoreOrder(-(1 - wrong / G - blind), wrong, np.full(N, float(G)))
    assert auroc(naive).value > 0.6


def test_where_samples_differ_errors_fall_along_the_gain():
    truth = np.random.default_rng(2).random(N)
    arrays, blind = drawn(truth, 0.3, seed=3)
    found = gain_against_error(arrays, blind, Clusters.apart(N), seed=0)
    assert found.harder == "lower" and found.auroc.interval[0] > 0.7
    first, last = found.curve[0].error_rate, found.curve[-1].error_rate
    assert first.interval[0] > last.interval[1]


def test_samples_that_were_not_asked_blind_are_left_out():
    arrays, blind = drawn(0.5, 0.3, seed=4)
    blind[: N // 2] = np.nan
    assert gain_against_error(arrays, blind, Clusters.apart(N), seed=0).n == N // 2
    assert gain_against_error(arrays, np.full(N, np.nan), Clusters.apart(N), seed=0) is None


@pytest.mark.parametrize("seed", [0, 5])
def test_the_gain_is_that_of_the_first_half_less_the_blind_share(seed):
    # All completions of a sample are alike, so that halves are too: gains are 1 - b or -b.
    right = np.arange(N) % 2
    arrays, blind = drawn(right, 0.25, seed)
    found = gain_against_error(arrays, blind, Clusters.apart(N), seed=seed)
    assert found.base_rate == 0.5
    assert found.curve[-1].mean <= 1 and found.curve[0].mean >= -1
    assert found.auroc.value > 0.9
