"""The shares of causes that training logs, by hand."""

import pytest
import torch

from durian.causes.rules import OF_A_BATCH
from durian.samples import Score
from durian.training.causes import SIGNS, cause_shares, signs_of

LOOP = "Wait, let me look again. " * 20


def score(answer, right=False, formatted=True):
    return Score(reward=float(right), correct=right, formatted=formatted, answer=answer)


def sample(*said):
    """Signs and verdicts of 4 completions, each (text, answer, right, cut)."""
    texts, answers, right, cut = zip(*said, strict=True)
    scores = [score(a, r) for a, r in zip(answers, right, strict=True)]
    return signs_of(texts, scores, cut), right


def shares(*samples):
    signs, right = zip(*samples, strict=True)
    correct = torch.tensor(right)
    return cause_shares(correct, correct.double(), torch.tensor(signs))


WRONG = [("a", str(n), False, False) for n in range(4)]
SAMPLES = {
    "looped": [(LOOP, None, False, True)] * 2 + WRONG[:2],
    "cut": [("It is", None, False, True)] * 2 + WRONG[:2],
    "unformatted": [("It is 7.", None, False, False)] * 2 + WRONG[:2],
    "solved": [("a", "7", True, False)] * 4,
    # 3 of 4 mean a half, which is wrong: (3 - 0) / 4.
    "steady_wrong": [("a", form, False, False) for form in ("1/2", "0.5", r"\frac{1}{2}", "3")],
    "scattered": WRONG,
    "mixed": [("a", "7", True, False)] * 2 + WRONG[:2],
}


@pytest.mark.parametrize("cause", OF_A_BATCH)
def test_each_cause_is_told_from_the_completions_alone(cause):
    assert shares(sample(*SAMPLES[cause])) == {
        f"durian/why/{name}": float(name == cause) for name in OF_A_BATCH
    }


def test_shares_are_of_the_samples_that_were_scored():
    found = shares(*(sample(*SAMPLES[cause]) for cause in ("cut", "cut", "mixed")))
    assert found["durian/why/cut"] == pytest.approx(2 / 3)
    signs, right = sample(*SAMPLES["scattered"])
    twice = torch.tensor([right, right])
    rewards = torch.stack([torch.zeros(4), torch.full((4,), float("nan"))])
    found = cause_shares(twice, rewards, torch.tensor([signs, signs]))
    assert found["durian/why/scattered"] == 1.0  # of one
    assert cause_shares(twice[:1], rewards[1:], torch.tensor([signs])) == {}


def test_an_answer_is_a_number_that_any_float_holds():
    ((*_, one),), ((*_, other),) = (
        signs_of(["a"], [score(form)], [False]) for form in (r"\frac{1}{2}", "0.5")
    )
    assert one == other == torch.tensor(one, dtype=torch.float32).item() > 0
    assert len(signs_of(["a"], [None], [False])[0]) == SIGNS


def test_a_reward_that_takes_no_answers_out_makes_no_sample_unformatted():
    signs = signs_of(["It is 7."] * 4, [score(None, formatted=None)] * 4, [False] * 4)
    wrong = torch.zeros((1, 4), dtype=torch.bool)
    found = cause_shares(wrong, torch.zeros((1, 4)), torch.tensor([signs]))
    assert found["durian/why/unformatted"] == 0 and found["durian/why/scattered"] == 1


def test_only_what_was_wrong_and_cut_is_searched_for_a_loop(monkeypatch):
    searched = []
    monkeypatch.setattr(
        "durian.training.causes.is_looping", lambda text: searched.append(text) or True
    )
    scores = [score("7", right=True), score("8"), score(None), None]
    found = signs_of(list("abcd"), scores, [True, False, True, True])
    assert searched == ["c"] and [looped for looped, *_ in found] == [0, 0, 1, 0]
