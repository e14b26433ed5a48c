"""The verdict on every pair, kind by kind; what a reference is; lists of accepted answers."""

import json
from pathlib import Path

import pytest

from durian.rewards import Reference, answer_kind, boxed_reward, grade
from durian.rewards.kinds import KINDS
from tests.rewards.more_pairs import MORE_PAIRS
from tests.rewards.pairs import PAIRS
from tests.rewards.third_pairs import LEFT, NEAR_PAIRS, THIRD_COMPLETIONS, THIRD_PAIRS

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("grading.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['answer']} | {c['reference']}" for c in CASES])
def test_the_pairs_that_people_complain_about(case):
    assert grade(case["answer"], case["reference"]).right is case["right"], case["why"]


@pytest.mark.parametrize("kind", PAIRS)
def test_the_pairs_of_a_kind(kind):
    given = [
        (answer, reference, grade(answer, reference).right)
        for answer, reference, _, _ in PAIRS[kind]
    ]
    assert given == [(answer, reference, right) for answer, reference, right, _ in PAIRS[kind]]


def test_more_pairs():
    given = [
        (answer, reference, grade(answer, reference).right) for answer, reference, _ in MORE_PAIRS
    ]
    assert given == MORE_PAIRS


@pytest.mark.parametrize("kind", THIRD_PAIRS)
def test_the_third_set_by_kinds(kind):
    wrong = {(a, r) for a, r, right in THIRD_PAIRS[kind] if grade(a, r).right is not right}
    assert wrong == {(a, r) for a, r, _ in THIRD_PAIRS[kind]} & LEFT.keys()


def test_what_is_left_is_never_wrongly_right():
    rows = [row for rows in THIRD_PAIRS.values() for row in rows if row[:2] in LEFT]
    assert len(rows) == len(LEFT) and all(right for _, _, right in rows)


@pytest.mark.parametrize(("completion", "reference", "right"), THIRD_COMPLETIONS)
def test_whole_completions(completion, reference, right):
    [score] = boxed_reward([completion], [1], reference)
    assert score.correct is right


def test_a_bit_is_no_byte_and_small_letters_are_bytes():
    assert not grade("5 GB", "5 Gb").right and not grade("5 Mb", "5 MB").right
    assert grade("5 gb", "5 GB").right and grade("5 Gbit", "5 Gb").right


def test_each_rule_takes_in_what_it_should_and_no_more():
    assert [(a, r, grade(a, r).right) for a, r, _ in NEAR_PAIRS] == NEAR_PAIRS


def test_a_text_above_the_bound_equals_only_itself():
    assert grade("5" + " " * 1_990 + "cm", "5 cm").right
    long = "5" + " " * 2_000 + "cm"
    assert not grade(long, "5 cm").right and grade(long, long).right


def test_lists_are_read_four_deep():
    def nested(depth, comma):
        return "(" * depth + "1" + f"{comma}2)" * depth

    assert grade(nested(4, ", "), nested(4, ",")).right
    assert not grade(nested(6, ", "), nested(6, ",")).right


REFERENCES = [
    ("12", "number"), ("1,200.5", "number"), (r"\frac{\pi}{2}", "number"), ("50%", "number"),
    (r"5\sqrt{3}", "number"), ("6.02e23", "number"), ("two", "number"), ("1 1/2", "number"),
    ("5 cm", "quantity"), ("30°", "quantity"), ("$5", "quantity"), ("5厘米", "quantity"),
    ("12 apples", "quantity"), ("9.8 m/s^2", "quantity"),
    ("B", "choice"), ("(K)", "choice"), ("B. red", "choice"), ("A, C", "choice"),
    ("1, -4", "list"), ("(2, 3)", "list"), (r"\{1, 2\}", "list"), ("red and blue", "list"),
    ("1:2:3", "list"), (r"\pm 2", "list"), (r"\emptyset", "list"),
    ("[0, 1)", "interval"), ("x > 3", "interval"), ("25-34", "interval"), ("0 < x < 1", "interval"),
    ("x^2+1", "expression"), ("y = 2x", "expression"), ("2x", "expression"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "expression"), ("x + y \\le 3", "expression"),
    ("2024-01-05", "time"), ("3:30", "time"), ("10 pm", "time"), ("May 5, 2024", "time"),
    ("12.5.2024", "time"),
    ("CO2", "code"), ("KL 204", "code"), ("192.168.0.1", "code"), ("3x4", "code"),
    ("555-1234", "interval"), ("2-1", "code"), ("1980s", "code"), ("2nd", "code"),
    ("0.1.2", "code"), ("3 x 5 cm", "code"), ("SO4^{2-}", "code"), ("+1 555 123 4567", "code"),
    ("half past 3", "time"), ("noon", "time"), ("5 o'clock", "time"), ("二月", "name"),
    ("三角形", "name"), ("twenty-five", "number"), ("三分之一", "number"), ("3 to 4", "interval"),
    ("red", "name"), ("New York", "name"), ("yes", "name"), ("ab", "name"), ("红色", "name"),
    ("A man rides a horse", "text"), ("图中有三只狗和一只猫", "text"), ("", "text"), ("$$", "text"),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "kind"), REFERENCES)
def test_a_reference_is_recognized(reference, kind):
    assert answer_kind(reference) == kind


def test_every_kind_says_its_rule_in_one_sentence():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.rule and "\n" not in kind.rule
    assert set(KINDS) == set(PAIRS)


def test_any_of_the_accepted_answers_is_right():
    accepted = ["grey", "gray", "12 cm"]
    assert [grade(a, accepted).right for a in ("gray", "12cm", "grey, gray")] == [True, True, False]
    assert grade("gray", Reference(("grey", "gray"))).kind == "name"
    assert grade("gray", '["grey", "gray"]').right  # as the readers write it
    assert not grade("gray", '["grey", "gray"').right  # no JSON: a text
    assert not grade("gray", []).right


OPTIONS = ("12 cm", "13 cm", "a red cube", "none of these")


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("13 cm", "B", True),
        ("13cm", "B", True),
        ("B", "13 cm", True),
        ("(B)", "13 cm", True),
        ("12 cm", "B", False),
        ("A", "13 cm", False),
        ("red cube", "C", True),
        ("B. 12 cm", "B", True),  # the letter counts
        ("14 cm", "B", False),
        ("13", "B", True),
        ("E", "B", False),
    ],
)
def test_letter_and_content_stand_for_each_other_where_the_options_are_known(
    answer, reference, right
):
    assert grade(answer, Reference((reference,), OPTIONS)).right is right


def test_options_may_carry_their_letters():
    labelled = ("A. 12 cm", "B. 13 cm")
    assert grade("13 cm", Reference(("B",), labelled)).right
    assert not grade("12 cm", Reference(("B",), labelled)).right


def test_the_question_tells_whether_the_order_of_a_list_counts():
    assert grade("3, 1, 2", "1, 2, 3").right
    assert not grade("3, 1, 2", "1, 2, 3", question="Sort the numbers.").right
    assert not grade("3, 1, 2", "1, 2, 3", question="从小到大排列").right


def test_a_wider_tolerance_is_an_option():
    assert not grade("102", "100").right
    assert grade("102", "100", tolerance=0.05).right
    assert grade("105", "100", tolerance=0.05).right  # ChartQA: 5 % is within
    assert not grade("105.1", "100", tolerance=0.05).right
    assert not grade("0.01", "0", tolerance=0.05).right
