"""How often a policy is right, against figures worked out by hand; and all that rollouts give."""

import math

import pytest

from durian.measures import Completions, RolloutMeasure, taken
from durian.measures.outcome import outcome
from durian.samples import Rollout, Score

ROLLOUTS = [
    Rollout(completion="a", n_tokens=2, sum_logprob=-1.0, finish_reason="stop"),
    Rollout(completion="b", n_tokens=4, sum_logprob=-6.0, finish_reason="length"),
]
SCORES = [
    Score(reward=1.0, correct=True, formatted=True, answer="2", kind="number"),
    Score(reward=0.0, correct=False, formatted=False, answer=None),
]


def test_outcome_of_two_completions_by_hand():
    assert outcome(ROLLOUTS, SCORES) == {
        "rollouts": 2,
        "answer_kind": "number",
        "right_unboxed": None,
        "pass_rate": 0.5,
        "format_rate": 0.5,
        "reward_mean": 0.5,
        "reward_std": pytest.approx(math.sqrt(0.5)),  # (1/4 + 1/4) / (2 - 1)
        "mean_tokens": 3.0,
        "truncated": 0.5,
    }


def test_a_failed_reward_leaves_what_needs_no_score():
    assert outcome(ROLLOUTS, []) == {"rollouts": 2, "mean_tokens": 3.0, "truncated": 0.5}


def test_of_the_wrong_completions_the_share_is_right_outside_a_box():
    # None where a completion is right, or where nobody has looked: 1 of the 2 others.
    assert outcome(ROLLOUTS, SCORES, [None, True])["right_unboxed"] == 1
    assert outcome([*ROLLOUTS, ROLLOUTS[0]], [SCORES[0], SCORES[1], SCORES[1]],
                   [None, True, False])["right_unboxed"] == 0.5  # fmt: skip


def test_one_rollout_has_no_spread():
    assert outcome(ROLLOUTS[:1], SCORES[:1])["reward_std"] is None


def test_a_reward_that_does_not_judge_the_format_leaves_the_rate_null():
    score = Score(reward=1.0, correct=True, formatted=None, answer="2")
    assert outcome(ROLLOUTS[:1], [score])["format_rate"] is None


def test_confidence_comes_with_the_scatter_of_the_answers_and_the_outcome():
    values = {}
    for measure in taken(RolloutMeasure, ["confidence"]):
        values |= measure.take(Completions(rollouts=ROLLOUTS, scores=SCORES, answers=[0, None]))
    assert values["mean_logprob"] == -1.0  # (-1/2 + -6/4) / 2
    assert values["sum_logprob"] == -3.5  # (-1 - 6) / 2
    assert values["answer_entropy"] == pytest.approx(math.log(2))  # two answers, once each
    assert values["pass_rate"] == 0.5
