"""Equality of answers, case by case; the mathematics is checked by hand in the reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durian.rewards import answers_equal
from durian.rewards.math_judge import judge
from durian.rewards.tidy import tidy

PLAIN = [
    ("red", "Red ", True, "letter case and white space"),
    ("ice  cream", "ice cream", True, "inner white space"),
    ("red.", "red", True, "trailing period"),
    ("$red$", "red", True, "dollar signs"),
    (r"\(5\)", "5", True, "inline mathematics"),
    (r"\text{red}", "red", True, "text command"),
    (r"\textbf{Yes}.", "yes", True, "bold, and a period"),
    ("**yes**", "yes", True, "Markdown bold"),
    ("Ｙｅｓ", "yes", True, "full-width letters (NFKC)"),
    ("yes", "no", False, "yes is not no"),
    ("no", "on", False, "the same letters are another word"),
    ("dark-blue", "dark blue", True, "a hyphen between words (VQA v2)"),
    ("red", "5", False, "a word is no number"),
    ("five", "5", True, "a small number in words"),
    ("B", "b", True, "choice, letter case"),
    ("(B)", "B", True, "choice in brackets"),
    ("B.", "B", True, "choice with a period"),
    ("B)", "(B)", True, "choice with one bracket"),
    ("(B) a red cube", "B", True, "choice with its words"),
    ("B: a red cube", "(B)", True, "choice with its words"),
    ("B", "B. a red cube", True, "the reference has the words"),
    ("C", "B", False, "another choice"),
    ("(C) a red cube", "B", False, "another choice with words"),
    ("3,000", "3000", True, "thousands separator"),
    ("3{,}000", "3000", True, "LaTeX thousands separator"),
    (r"3\,000", "3,000", True, "thin space"),
    ("1,234,567.5", "1234567.5", True, "two separators and a decimal"),
    ("007", "7", True, "leading zeros"),
    ("+5", "5", True, "a plus sign"),
    ("−5", "-5", True, "the Unicode minus"),
    ("-5", "5", False, "sign counts"),
    ("1/2", "0.5", True, "1/2 = 0.5"),
    (".50", "1/2", True, "no leading zero"),
    (r"\frac{1}{2}", "0.5", True, "1/2 = 0.5"),
    (r"\dfrac{2}{4}", "1/2", True, "2/4 = 1/2"),
    (r"-\frac{1}{2}", "-0.5", True, "a negative fraction"),
    (r"\frac{-1}{2}", "-0.5", True, "a negative numerator"),
    ("1½", "1.5", True, "1 + 1/2"),
    ("1 1/2", "1.5", True, "mixed number"),
    (r"1\frac{1}{2}", "3/2", True, "mixed number in LaTeX"),
    ("½", "0.5", True, "vulgar fraction"),
    ("0.333333", "1/3", True, "1/3 to six places"),
    ("0.3333", "1/3", False, "four places are too few"),
    ("0.30000000000000004", "0.3", True, "binary round-off"),
    ("1000001.000000", "1000000", False, "six places do not forgive a whole unit"),
    ("0.0000001", "0.0000004", False, "small numbers are compared by their size"),
    ("1000000", "1000001", False, "whole numbers are exact"),
    ("50%", "50", True, "the sign left out"),
    (r"50\%", "0.5", True, "50/100 = 0.5"),
    ("50 percent", "1/2", True, "in words"),
    ("0.5", "50%", True, "the reference has the sign"),
    ("50%", "5", False, "50 is not 5, nor is 0.5"),
    ("5%", "50%", False, "two per cent signs: the numbers count"),
    ("0.5%", "50%", False, "two per cent signs: nothing is worked out"),
    ("5 cm", "5", True, "unit left out in the reference"),
    ("5", "5 cm", True, "unit left out in the answer"),
    (r"5\text{ cm}", "5 centimeters", True, "one unit, two spellings"),
    (r"5 \text{ cm}^2", "5 square centimeters", True, "square centimetres"),
    ("5 cm²", "5 cm^2", True, "a superscript"),
    ("5 cm", "5 m", False, "two units"),
    ("5 cm", "5 cm^2", False, "length and area"),
    ("10 am", "10 pm", False, "morning and evening"),
    ("5 men", "5 women", False, "what is counted"),
    ("12 apples", "12", True, "what is counted, left out"),
    ("12 apples", "12 apple", True, "plural"),
    ("$5", "5 dollars", True, "dollars"),
    (r"\$5", "5", True, "escaped dollar"),
    (r"90^\circ", "90", True, "degrees left out"),
    (r"90^{\circ}", "90°", True, "two ways to write degrees"),
    ("90 degrees", r"90^\circ", True, "degrees in words"),
    ("", "5", False, "no answer"),
    ("5", "", False, "no reference"),
    ("$$", "$$", False, "nothing between the signs"),
]


@pytest.mark.parametrize(("answer", "reference", "equal", "why"), PLAIN)
def test_plain_answers_are_compared_without_mathematics(answer, reference, equal, why):
    judge().close()
    assert answers_equal(answer, reference) is equal, why
    assert judge().pid is None


MATHEMATICS = [
    (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", True, "rationalised"),
    (r"\sqrt{2}/2", r"\dfrac{1}{\sqrt2}", True, "slash, dfrac, braces left out"),
    ("√2/2", r"\frac{\sqrt{2}}{2}", True, "the Unicode root"),
    (r"3\sqrt{2}", r"\sqrt{18}", True, "9 * 2 = 18"),
    (r"3\sqrt{2}", r"\sqrt{19}", False, "9 * 2 is not 19"),
    (r"3\sqrt{2}\text{ cm}", r"3\sqrt{2}", True, "unit after a root"),
    (r"3\sqrt{2}\text{ cm}", r"3\sqrt{2}\text{ m}", False, "another unit"),
    (r"\frac12", "0.5", True, "fraction without braces"),
    ("π/2", r"\frac{\pi}{2}", True, "the Unicode letter"),
    (r"2\pi", r"\pi", False, "twice"),
    ("5²", "25", True, "5 squared"),
    ("5²", "52", False, "a superscript is no digit"),
    (r"1.5 \times 10^{3}", "1500", True, "1.5 * 1000"),
    ("2^{10}", "1024", True, "a power of two"),
    ("5!", "120", True, "1 * 2 * 3 * 4 * 5"),
    ("x=5", "5", True, "the variable left out"),
    ("5", "x = 5", True, "the variable only in the reference"),
    ("x=5", "y=5", False, "another variable"),
    ("AB = 5", "5", True, "a segment"),
    ("(x+1)^2", "x^2+2x+1", True, "expanded"),
    ("2x", "x", False, "twice"),
    ("3x", "3", False, "x is no unit"),
    ("3m", "3", False, "m is no unit where it touches the number"),
    ("a/b", r"\frac{a}{b}", True, "letters"),
    ("y = 2x + 1", "y = 1 + 2x", True, "an equation"),
    ("x < 3", "3 > x", True, "an inequality read backwards"),
    (r"x \le 3", r"(-\infty, 3]", True, "the interval that it stands for"),
    (r"\left(1, 2\right)", "(1,2)", True, "a point"),
    ("(2, 1)", "(1, 2)", False, "the order in a point"),
    ("(1, 2, 3)", "(1, 3, 2)", False, "the order in a tuple"),
    ("[1, 2]", "(1, 2)", False, "closed is not open"),
    (r"[0,1) \cup (2,3]", "[0, 1) ∪ (2, 3]", True, "a union"),
    (r"\{1, 2\}", r"\{2, 1\}", True, "the order in a set"),
    (r"\{1, 2\}", r"\{1, 3\}", False, "another set"),
    ("2, 1", "1, 2", True, "two solutions in any order"),
    ("1, 2", "12", False, "two numbers are not one"),
    (r"x = 1 \text{ or } x = 2", "1, 2", True, "two solutions"),
    (r"\pm 3", "3, -3", True, "two signs"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True, "brackets"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", False, "rows"),
    (r"\frac{X}{2}", r"\frac{x+x}{4}", True, "letter case never counts: 2x/4 = x/2"),
    ("30,00", "3000", False, "no thousands group"),
    ("1/0", "1", False, "no number at all"),
    ("5 million", "5", False, "a million is no unit"),
    (r"\frac{1}{", r"\frac{1}{2}", False, "not LaTeX at all"),
]


@pytest.mark.parametrize(("answer", "reference", "equal", "why"), MATHEMATICS)
def test_mathematics_is_compared_by_its_meaning(answer, reference, equal, why):
    assert answers_equal(answer, reference) is equal, why


def test_a_dataset_of_words_numbers_and_choices_never_starts_the_mathematics_process():
    judge().close()
    references = ["red", "B", "12", "yes", "dark-blue", "3.5 cm", "T-shirt"]
    answers = ["blue", "(C)", "1,200", "no", "dark-red", "3.5 m", "n/a", "-0.5", "a red cube"]
    for reference in references:
        for answer in answers:
            assert not answers_equal(answer, reference)
    for words in ("red", "dark-blue", "T-shirt"):
        assert not answers_equal(r"\frac{\sqrt{2}}{2}", words)
    assert judge().pid is None


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_every_text_that_is_not_blank_equals_itself(text):
    # tidy("$$") is nothing, and nothing is no answer.
    assert answers_equal(text, text) is bool(tidy(text))


@given(st.fractions(max_denominator=999), st.integers(1, 5))
def test_a_fraction_equals_itself_in_any_spelling_that_is_not_reduced(value, factor):
    top, bottom = value.numerator * factor, value.denominator * factor
    assert answers_equal(rf"\frac{{{top}}}{{{bottom}}}", f"{value.numerator}/{value.denominator}")
    assert not answers_equal(f"{top}/{bottom}", f"{value.numerator + 1}/{value.denominator}")


@given(st.integers(-(10**12), 10**12))
def test_an_integer_equals_itself_with_thousands_separators(number):
    assert answers_equal(f"{number:,}", str(number))
    assert answers_equal(f"{number:,}".replace(",", "{,}"), f"{number}.0")
