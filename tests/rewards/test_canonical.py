"""Which completions gave one answer: forms first, then few judgements between forms."""

import pytest

from durian.rewards import canonical as module
from durian.rewards import distinct_answers
from durian.rewards.canonical import canonical as form

ONE = [
    ["5", "5.0", "05", r"\boxed{5}", "$5$", "**5**", "5。"],
    ["0.5", "1/2", r"\frac{1}{2}", "½", "50/100"],
    ["5 cm", "5cm", r"5\text{ cm}", "50 mm", "5厘米"],
    ["(B)", "B", "b.", "Option B", "B. red"],
    ["A, C", "C and A", "AC"],
    ["x^2+1", "1+x^2", "x^{2} + 1"],
    ["Red", "red ", "“red”"],
    ["3:30", "03:30"],
    ["2024-01-05", "January 5, 2024"],
]


@pytest.mark.parametrize("answers", ONE, ids=[answers[0] for answers in ONE])
def test_one_answer_has_one_form_however_written(answers):
    assert len({form(answer) for answer in answers}) == 1


def test_other_answers_have_other_forms():
    forms = [form(answers[0]) for answers in ONE]
    assert len(set(forms)) == len(forms)
    pairs = [("1000000", "1000001"), ("5 mW", "5 MW"), ("CO2", "C2O"), ("x+1", "y+1"), ("5", "5%")]
    assert all(form(a) != form(b) for a, b in pairs)


def test_forms_that_still_are_one_are_judged():
    assert distinct_answers(["5", "5 cm", "7", None, "5.0", "five"]) == [0, 0, 1, None, 0, 0]
    assert distinct_answers(["1, 2", "x = 2 or x = 1", "2"]) == [0, 0, 1]
    assert distinct_answers([None, None]) == [None, None]


def test_the_most_common_answer_is_number_0():
    assert distinct_answers(["red", "blue", "blue", "Blue", "green"]) == [1, 0, 0, 0, 2]


def test_a_sample_costs_at_most_one_judgement_less_than_it_has_completions(monkeypatch):
    asked = []
    grade = module.grade
    monkeypatch.setattr(module, "grade", lambda a, b, **k: asked.append((a, b)) or grade(a, b, **k))
    answers = [f"{number} apples and {number} pears" for number in range(8)]
    assert distinct_answers(answers) == list(range(8))
    assert len(asked) == 7
