"""The boxed reward: which answer is taken, what counts as the format, and the four rewards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durian.rewards import (
    Attempts,
    BoxedReward,
    boxed_reward,
    extract_answer,
    is_formatted,
    opens_thinking,
)

BS = "\\"

EXTRACTED = [
    (r"\boxed{5}", "5", "a box alone"),
    (r"so \boxed{ 5 } it is", "5", "stripped, text on both sides"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "nested braces"),
    (r"\boxed{1} or rather \boxed{2}", "2", "the last box wins"),
    (r"\boxed{a = \boxed{5}}", "5", "of nested boxes, the last opened"),
    (r"\boxed {x}", "x", "white space before the brace"),
    (r"\fbox{7}", "7", "fbox is a box"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "escaped braces are text"),
    (r"\boxed{\}}", r"\}", "an escaped closing brace does not close"),
    (r"\boxed{a \\}", r"a \\", "an escaped backslash, then a brace that closes"),
    (r"\boxed{1} and \boxed{2", None, "the last box is cut off"),
    (r"\boxed{\frac{1}{2}", None, "one brace short"),
    (r"\boxed{}", None, "nothing in the box"),
    (r"\boxed{  }", None, "only blanks in the box"),
    (r"\boxed 5", None, "no brace, no box"),
    (r"\boxed{5} means \boxed", "5", "a box without a brace is no box"),
    (r"\boxedx{5}", None, "another command"),
    ("the answer is 5", None, "no box"),
    ("", None, "nothing"),
    (r"<think>\boxed{1}</think> \boxed{2}", "2", "the answer after the reasoning"),
    (r"<think>\boxed{1}</think> so it is 2", None, "a box in the reasoning is no answer"),
    (r"<think>a \boxed{1} b", "1", "reasoning never closed: the whole text is searched"),
    (r"<think>a</think>\boxed{1}</think>", None, "after the last closing tag"),
    (r"<think>a< / think > \boxed{3}", "3", "spaces in the closing tag"),
    ("so <|begin_of_box|>5<|end_of_box|>", "5", "GLM's box"),
    ("<|begin_of_box|>1<|end_of_box|> <|begin_of_box|> 2 <|end_of_box|>", "2", "the last of them"),
    ("<|begin_of_box|>5", None, "GLM's box, cut off"),
    (r"<|begin_of_box|>\boxed{5}<|end_of_box|>", "5", "a box in GLM's"),
    (r"◁think▷\boxed{1}◁/think▷ \boxed{2}", "2", "Kimi's marks"),
    (r"◁think▷\boxed{1}◁/think▷ so 2", None, "Kimi's reasoning is no answer"),
    ("<think>a</think><answer> 5 </answer>", "5", "answer tags where no box is"),
    ("<answer>1</answer> or <Answer>2</Answer>", "2", "the last tags"),
    (r"<answer>1</answer> \boxed{2}", "2", "a box goes before tags"),
    (r"<answer>so \boxed{3}</answer>", "3", "a box within the tags"),
    ("<think><answer>1</answer></think> so 2", None, "tags in the reasoning"),
    ("<answer>5", None, "tags never closed"),
    ("<answer> </answer>", None, "nothing in the tags"),
]


@pytest.mark.parametrize(("completion", "answer", "why"), EXTRACTED)
def test_the_answer_is_what_the_last_box_holds(completion, answer, why):
    assert extract_answer(completion) == answer, why


FORMATTED = [
    (r"<think>a</think>\boxed{1}", True, "the shape"),
    ("<think>\na\n</think>\n\nIt is \\boxed{1}.\n", True, "line breaks, text around the box"),
    ("\n <think>a</think> \\boxed{1}", True, "white space before"),
    (r"< think >a</ think > \boxed{1}", True, "spaces inside the tags"),
    (r"<think></think>\boxed{1}", True, "EasyR1 asks for no words in the reasoning either"),
    (r"Well. <think>a</think>\boxed{1}", False, "text before the reasoning"),
    (r"a</think>\boxed{1}", False, "never opened"),
    (r"<think>a \boxed{1}", False, "never closed"),
    (r"<think>a \boxed{1}</think>", False, "box in the reasoning only"),
    (r"<think>a</think> 1", False, "no box"),
    (r"<think>a</think>\boxed{}", False, "empty box"),
    (r"<think>a</think>\boxed{1", False, "box never closed"),
    (r"</think><think>\boxed{1}", False, "closed before it is opened"),
    (r"<THINK>a</THINK>\boxed{1}", False, "the tags are in small letters"),
    ("", False, "nothing"),
]


@pytest.mark.parametrize(("completion", "expected", "why"), FORMATTED)
def test_the_format_is_reasoning_and_then_a_box(completion, expected, why):
    assert is_formatted(completion) is expected, why


def test_an_opening_tag_that_the_template_wrote_counts():
    assert is_formatted(r"a</think>\boxed{1}", opened=True)
    assert is_formatted(r"a◁/think▷\boxed{1}", opened=True)
    assert is_formatted(r"<think>a</think>\boxed{1}", opened=True)  # written once more
    assert not is_formatted(r"a \boxed{1}", opened=True)  # never closed
    assert not is_formatted(r"a <think> b</think>\boxed{1}", opened=True)  # text before another
    attempts = Attempts(completions=[r"a</think>\boxed{7}"], n_tokens=[1], answer="7", opened=True)
    assert BoxedReward(apart=False).start(attempts)()[0].reward == 1.0


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n◁think▷", True),
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),  # thinking is off
        ("Use <think> and </think>.<|im_end|>\n<|im_start|>assistant\n", False),
    ],
)
def test_a_prompt_that_ends_with_the_opening_tag_opens_the_reasoning(prompt, opens):
    assert opens_thinking(prompt) is opens


SEVERAL = [
    (r"\boxed{1} and \boxed{-4}", "1, -4", True, "a box for each solution"),
    (r"\boxed{-4}, \boxed{1}", "1, -4", True, "in any order"),
    (r"\boxed{1} and \boxed{4}", "1, -4", False, "one is wrong"),
    (r"\boxed{1}, \boxed{2}, \boxed{-4}", "1, -4", False, "one too many"),
    (r"\boxed{1} and \boxed{1, -4}", "1, -4", True, "the last holds all"),
    (r"\boxed{A} and \boxed{C}", "A, C", True, "choices"),
    (r"\boxed{5} or \boxed{3}", "5", False, "of one number the last box counts"),
    (r"\boxed{3} or \boxed{5}", "5", True, "of one number the last box counts"),
    (r"\boxed{\frac{1}{2}} \boxed{} \boxed{\boxed{3}}", "0.5, 3", True, "empty and nested ones"),
]


@pytest.mark.parametrize(("completion", "reference", "right", "why"), SEVERAL)
def test_several_boxes_are_one_answer_where_the_reference_is_a_list(
    completion, reference, right, why
):
    [score] = boxed_reward([completion], [1], reference)
    assert score.correct is right, why


def test_the_reward_is_a_tenth_format_and_nine_tenths_accuracy():
    completions = [
        r"<think>a</think>\boxed{7}",  # both: 0.1 + 0.9 = 1
        r"\boxed{7}",  # right, not in the format: 0.9
        r"<think>a</think>\boxed{8}",  # in the format, wrong: 0.1
        "7",  # neither: 0
    ]
    scores = boxed_reward(completions, [1, 1, 1, 1], "7")
    assert [s.reward for s in scores] == [1.0, 0.9, 0.1, 0.0]
    assert [s.correct for s in scores] == [True, True, False, False]
    assert [s.formatted for s in scores] == [True, False, True, False]
    assert [s.answer for s in scores] == ["7", "7", "8", None]


def test_a_reference_that_is_a_solution_stands_for_its_box():
    [score] = boxed_reward([r"\boxed{4}"], [1], r"Twice two: \boxed{4}.")
    assert score.correct


# Texts built of the very pieces that the scanners look for.
PIECES = st.sampled_from(
    [BS, "{", "}", "boxed", "fbox", BS + "boxed{", "<think>", "</think>", "<", " ", "/", "red", "$"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_any_text_earns_one_of_the_four_rewards(completion):
    # The reference is words, so that no mathematics is started.
    [score] = boxed_reward([completion], [1], "red cube")
    assert score.reward in (0.0, 0.1, 0.9, 1.0)
    assert score.reward == 0.1 * score.formatted + 0.9 * score.correct
    assert score.answer is None or score.answer in completion


HUGE = 1_000_000
HOSTILE = [
    (BS + "boxed{" * 10_000, "boxes never closed, 10,000 deep"),
    ((BS + "boxed{") * 10_000, "nested boxes never closed"),
    (BS + "boxed{" + "{" * HUGE, "a megabyte of opening braces"),
    (BS + "boxed" + " " * HUGE, "a megabyte of blanks where a brace may stand"),
    ((BS + "boxed ") * 100_000, "many boxes without a brace"),
    ("<" + " " * HUGE, "a megabyte of blanks in a tag"),
    ("<" * HUGE, "a megabyte of tags opened"),
    ("<think>" * 100_000, "reasoning opened again and again"),
    (" " * HUGE, "a megabyte of blanks"),
    (BS * HUGE, "a megabyte of backslashes"),
]


@pytest.mark.parametrize(("completion", "why"), HOSTILE, ids=[why for _, why in HOSTILE])
def test_hostile_text_without_an_answer_is_read_in_one_pass(completion, why):
    [score] = boxed_reward([completion], [1], "red")
    assert score.answer is None and score.reward == 0.0


def test_ten_thousand_nested_boxes_hold_the_innermost_answer():
    completion = (BS + "boxed{") * 10_000 + "red" + "}" * 10_000
    assert extract_answer(completion) == "red"


def test_a_megabyte_in_a_box_equals_only_itself():
    long = "a" * 1_000_000
    completions = [rf"\boxed{{{long}}}", rf"\boxed{{{long}b}}", rf"\boxed{{${long}$}}"]
    assert [s.correct for s in boxed_reward(completions, [1, 1, 1], long)] == [True, False, False]
