"""The reference outside a box: found where it stands last, and not where it is only named."""

import pytest

from durian.rewards import Reference
from durian.rewards.unboxed import stands_unboxed


@pytest.mark.parametrize(
    ("completion", "reference"),
    [
        ("<think>1 + 1</think> So there are 42.", "42"),
        ("I count **42** shapes in all, a lot.", "42"),
        (r"\boxed{41} is too few: it must be 42", "42"),
        (r"It is red: \boxed{blue}", "red"),
        ("It is red: <|begin_of_box|>blue<|end_of_box|>", "red"),
        ("It costs $1,250.00 in total.", "1250"),
        ("It is 12.5 % of the bar.", "12.5%"),
        ("so the length is 5 cm.", "5 cm"),
        (r"Therefore x = \frac{1}{2}", r"\frac{1}{2}"),
        ("The answer is (B).", "B"),
        ("A is too small, C too large.\nAnswer: B", "B"),
        ("Yes, it is left of the cube.", "yes"),
        ("Looking closely: the sphere is dark red.", "dark red"),
        ("**Answer:** triangle", "triangle"),
        ("It must be Tokyo!", '["Kyoto", "Tokyo"]'),  # either is accepted
    ],
)
def test_a_reference_that_stands_last_is_found(completion, reference):
    assert stands_unboxed(completion, Reference.of(reference))


@pytest.mark.parametrize(
    ("completion", "reference"),
    [
        ("<think>it is 42</think> I do not know.", "42"),  # in the reasoning
        (r"It is \boxed{42}", "42"),  # what a box holds was judged already
        (r"I see \boxed{the number 42", "42"),  # never closed
        ("There are 42 shapes, of which 7 are red.", "42"),
        ("There are 142.", "42"),
        ("A or B? I would say C.", "B"),
        ("B is wrong, so it is D.", "B"),
        ("Yes. Or rather no.", "yes"),
        ("The red cube is large.", "red"),
        ("It is green, not blue.", "blue"),
        ("", "42"),
        (" ... ", "..."),
    ],
)
def test_a_reference_that_is_only_named_or_boxed_is_not(completion, reference):
    assert not stands_unboxed(completion, Reference.of(reference))


def test_a_choice_is_found_by_its_content():
    reference = Reference.of("B", ["a red cube", "a blue ball", "a cone"])
    assert stands_unboxed("I would go for option B", reference)
    assert not stands_unboxed("I would go for a cone", reference)


def test_hostile_text_is_read_in_one_pass():
    # Each of these took minutes, were every box searched for its end anew.
    for text in ("\\boxed{" * 200_000, "1 / " * 200_000, "$" * 10**6, "<|begin_of_box|>" * 10**5):
        assert not stands_unboxed(text, Reference.of("42"))
