"""Rows of the two tables, against figures worked out by hand."""

import math

import pytest

from durian.measuring.rows import arrow_table, difficulty_row, rollout_rows
from durian.rewards import Score
from durian.samples import Rollout, Sample
from durian.schema import DIFFICULTY, ROLLOUTS

SAMPLE = Sample(sample_id="ab", row=3, problem="How many?", answer="2", images=(b"x",))
ROLLOUTS_OF_IT = [
    Rollout(completion="a", n_tokens=2, sum_logprob=-1.0, finish_reason="stop"),
    Rollout(completion="b", n_tokens=4, sum_logprob=-6.0, finish_reason="length"),
]
SCORES = [
    Score(reward=1.0, correct=True, formatted=True, answer="2"),
    Score(reward=0.0, correct=False, formatted=False, answer=None),
]


def row_of(rollouts, scores, error=None):
    return difficulty_row(
        SAMPLE, copies=2, width=8, height=9, pixel_entropy=1.5, spectral_entropy=0.25,
        rollouts=rollouts, scores=scores, error=error,
    )  # fmt: skip


def test_measures_of_a_sample_by_hand():
    row = row_of(ROLLOUTS_OF_IT, SCORES)
    assert row["mean_logprob"] == -1.0  # (-1/2 + -6/4) / 2
    assert row["sum_logprob"] == -3.5  # (-1 - 6) / 2
    assert row["answer_entropy"] == pytest.approx(math.log(2))  # two answers, once each
    assert (row["rollouts"], row["pass_rate"], row["format_rate"]) == (2, 0.5, 0.5)
    assert row["reward_mean"] == 0.5
    assert row["reward_std"] == pytest.approx(math.sqrt(0.5))  # (1/4 + 1/4) / (2 - 1)
    assert (row["mean_tokens"], row["truncated"]) == (3.0, 0.5)
    assert (row["row"], row["copies"], row["n_images"]) == (3, 2, 1)


def test_a_failed_reward_keeps_the_completions_and_their_confidence():
    row = row_of(ROLLOUTS_OF_IT, [], error="reward failed")
    assert row["mean_logprob"] == -1.0 and row["error"] == "reward failed"
    assert "pass_rate" not in row
    kept = rollout_rows(SAMPLE, ROLLOUTS_OF_IT, [])
    assert [r["completion"] for r in kept] == ["a", "b"]
    table = arrow_table(kept, ROLLOUTS)
    assert table["reward"].to_pylist() == [None, None]


def test_one_rollout_has_no_spread():
    assert row_of(ROLLOUTS_OF_IT[:1], SCORES[:1])["reward_std"] is None


def test_a_reward_that_does_not_judge_the_format_leaves_the_rate_null():
    score = Score(reward=1.0, correct=True, formatted=None, answer="2")
    assert row_of(ROLLOUTS_OF_IT[:1], [score])["format_rate"] is None


def test_text_that_utf8_cannot_hold_is_kept_as_its_escape():
    table = arrow_table([{"sample_id": "a", "problem": "\ud800 or \u00e9"}], DIFFICULTY)
    assert table["problem"].to_pylist() == ["\\ud800 or \u00e9"]
