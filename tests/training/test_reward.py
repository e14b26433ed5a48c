"""A Durian reward as TRL calls it: each sample's own attempts, and what a failure leaves."""

import json

import pytest

from durian.engines.resizing import Resizing
from durian.samples import Score
from durian.training.reward import Overlong, TrainingReward


class Keeps:
    """Scores 1, 0, 1, ...; fails on the sample whose reference is `fails`."""

    reads_images = True

    def __init__(self):
        self.given = []

    def start(self, attempts):
        self.given.append(attempts)

        def scores():
            if attempts.answer == "fails":
                raise ValueError("no reference")
            return [
                Score(reward=float(i % 2 == 0), correct=i % 2 == 0, formatted=i == 0, answer=None)
                for i, _ in enumerate(attempts.completions)
            ]

        return scores

    def close(self): ...


def call(reward, **changes):
    logged = {}
    rows = [json.dumps({"question": f"{n}?", "options": ["x", n], "columns": {"level": n}})
            for n in ("a", "b")]  # fmt: skip
    given = {
        "completions": [[{"role": "assistant", "content": text}] for text in ("1", "2", "3", "4")],
        "completion_ids": [[7], [7, 7], [7, 7, 7], []],
        "sample_id": ["a", "a", "b", "b"],
        "answer": ["4", "4", "9", "9"],
        "image_sizes": [[(30, 20)], [(30, 20)], [], []],
        "sample": [rows[0], rows[0], rows[1], rows[1]],
    }
    rewards = reward(**given | changes, log_extra=logged.__setitem__, log_metric=logged.__setitem__)
    return rewards, logged


def test_each_samples_completions_are_judged_by_what_is_known_of_it():
    kept = Keeps()
    halved = Resizing(min_pixels=1, max_pixels=9, step=1,
                      rule=lambda h, w, **_: (h // 2, w // 2))  # fmt: skip
    reward = TrainingReward(kept, opened=True, resizing=halved)
    rewards, logged = call(reward)
    first, second = kept.given
    assert (first.completions, first.n_tokens, first.answer) == (["1", "2"], [1, 2], "4")
    assert (first.question, first.options, first.columns) == ("a?", ("x", "a"), {"level": "a"})
    assert (first.image_sizes, first.seen_sizes, first.opened) == ([(30, 20)], [(15, 10)], True)
    assert (second.completions, second.n_tokens, second.answer) == (["3", "4"], [3, 0], "9")
    assert (second.question, second.columns, second.image_sizes) == ("b?", {"level": "b"}, [])
    assert rewards == [1.0, 0.0, 1.0, 0.0] and reward.correct == [True, False, True, False]
    assert logged["rewards/accuracy"] == logged["rewards/format"] == 0.5
    assert logged["rewards/failed"] == 0 and logged["sample_id"] == ["a", "a", "b", "b"]


def test_a_sample_on_which_the_reward_fails_has_none_and_is_no_part_of_the_shares():
    reward = TrainingReward(Keeps())
    rewards, logged = call(reward, answer=["fails", "fails", "9", "9"])
    assert rewards == [None, None, 1.0, 0.0] and reward.correct == [False, False, True, False]
    assert (logged["rewards/failed"], logged["rewards/accuracy"]) == (0.5, 0.5)


@pytest.mark.parametrize("content", ["2", [{"type": "text", "text": "2"}]])
def test_a_completion_is_the_text_of_its_last_message(content):
    kept = Keeps()
    call(TrainingReward(kept), completions=[[{"content": "?"}, {"content": content}]] * 4)
    assert kept.given[0].completions == ["2", "2"]


@pytest.mark.parametrize(
    ("tokens", "loss"),
    # The published setting: 20,480 tokens at most, of which the last 4,096 cost.
    [(0, 0.0), (16_384, 0.0), (18_432, -0.5), (20_480, -1.0), (30_000, -1.0)],
)
def test_a_long_completion_loses_by_how_far_it_is_into_the_buffer(tokens, loss):
    assert Overlong(longest=20_480, buffer=4_096, penalty=1.0).of(tokens) == loss


def test_length_takes_from_the_reward_and_leaves_right_right():
    # 1, 2, 3 and 0 tokens of at most 3, the last two of which cost: nothing, half, all, nothing.
    overlong = Overlong(longest=3, buffer=2, penalty=0.5)
    reward = TrainingReward(Keeps(), overlong=overlong)
    rewards, logged = call(reward)
    assert rewards == [1.0, -0.25, 0.5, 0.0] and reward.correct == [True, False, True, False]
    assert logged["rewards/overlong"] == -0.75 / 4 and logged["rewards/accuracy"] == 0.5
    failed, _ = call(reward, answer=["fails", "fails", "9", "9"])
    assert failed == [None, None, 0.5, 0.0]
    # A validation is told the reward as it is, and moves nothing of the call before it.
    judged = reward.judge(["1", "2", "3"], n_tokens=[3, 3, 3], sample_id=["a", "a", "b"],
                          answer=["fails", "fails", "9"])  # fmt: skip
    assert [score and score.reward for score in judged] == [None, None, 1.0]
    assert reward.correct == [False, False, True, False]
