import pytest

from durian.measures import MEASURES, Completions
from durian.measures.consensus import label_doubt
from durian.samples import Rollout, Score


def test_three_agree_on_another_answer_and_one_is_right():
    # 3 of 4 against 1 of 4: half of the completions more.
    assert label_doubt(["a", "a", "b", "a"], [False, False, True, False]) == 0.5


def test_nothing_speaks_against_a_reference_that_is_as_common():
    assert label_doubt(["a", "b", "a", "b"], [False, True, False, True]) == 0
    assert label_doubt(["b", "b"], [True, True]) == 0


def test_scattered_wrong_answers_are_little_doubt_and_none_is_no_answer():
    assert label_doubt(list("abcd"), [False] * 4) == 0.25
    assert label_doubt([None] * 4, [False] * 4) == 0
    assert label_doubt(["a"] * 5, [False] * 5) == 1


def test_no_answers_or_fewer_verdicts_are_refused():
    for answers, correct in (([], []), (["a"], [True, True])):
        with pytest.raises(ValueError, match="1 or more of each"):
            label_doubt(answers, correct)


def taken(texts, numbers, right):
    rollouts = [Rollout(completion="", n_tokens=1, sum_logprob=0.0, finish_reason="stop")] * len(
        texts
    )
    scores = [
        Score(reward=float(ok), correct=ok, formatted=True, answer=text)
        for text, ok in zip(texts, right, strict=True)
    ]
    return MEASURES["consensus"].take(
        Completions(rollouts=rollouts, scores=scores, answers=numbers)
    )


def test_the_most_common_answer_is_written_as_it_is_mostly_written():
    # 4, "4.0" and four are one answer (number 0), written "4" twice.
    found = taken(["4", "4.0", "7", "4", None], [0, 0, 1, 0, None], [False] * 4 + [False])
    assert found == {"consensus": 0.6, "consensus_answer": "4", "label_doubt": 0.6}


def test_where_no_completion_answers_there_is_no_consensus():
    assert taken([None, None], [None, None], [False, False]) == {}
    assert taken([], [], []) == {}
