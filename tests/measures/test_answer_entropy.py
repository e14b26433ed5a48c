import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from durian.measures.answer_entropy import answer_entropy

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", "", None]), min_size=1, max_size=16)


def test_two_answers_equally_often_are_ln_2():
    assert answer_entropy(["4", "5", "5", "4"]) == pytest.approx(math.log(2), abs=1e-15)


def test_three_of_four_and_one_of_four():
    # 3/4 ln(4/3) + 1/4 ln 4 = ln 4 - 3/4 ln 3 = 0.5623...
    expected = math.log(4) - 0.75 * math.log(3)
    assert answer_entropy(["a", "a", "b", "a"]) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("answers", [["7"] * 8, [None] * 3, ["x"], ["0.1"] * 7])
def test_one_answer_is_exactly_positive_zero(answers):
    assert answer_entropy(answers) == 0.0
    assert math.copysign(1.0, answer_entropy(answers)) == 1.0


def test_no_answer_is_an_answer_of_its_own_and_not_the_empty_text():
    assert answer_entropy([None, "7", None, "7"]) == pytest.approx(math.log(2), abs=1e-15)
    assert answer_entropy([None, ""]) == pytest.approx(math.log(2), abs=1e-15)
    assert answer_entropy([None, "None"]) == pytest.approx(math.log(2), abs=1e-15)


def test_numbers_of_answers_do_as_well_as_texts():
    assert answer_entropy([0, 1, None, 0]) == pytest.approx(1.5 * math.log(2), abs=1e-15)


@given(ANSWERS)
def test_it_equals_scipys_entropy_of_the_counts(answers):
    expected = entropy(list(Counter(answers).values()))
    assert answer_entropy(answers) == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= answer_entropy(answers) <= math.log(len(answers)) + 1e-12


def test_no_completions_are_refused():
    with pytest.raises(ValueError, match="answers is empty"):
        answer_entropy([])
