"""A repeated tail is found in any language, and what only looks like one is left alone."""

import random
import string

import pytest

from durian.causes.loops import LONGEST, TAIL, is_looping

PI = (
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253"
    "421170679821480865132823066470938446095505822317253594081284811174502841027019385211055596446"
    "229489549303819644288109756659334461284756482337867831652712019091456485669234603486104543266"
)


@pytest.mark.parametrize(
    "piece",
    [
        "Wait, let me look at the image again. ",
        "重新检查一下这个三角形的面积。",
        "ลองดูภาพอีกครั้ง ",
        "الزاوية تساوي ٣٠ درجة. ",
        r"\frac{1}{2} \cdot \frac{1}{2} = ",
        "!",
        "\n",
        "0.333",
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_piece_that_is_repeated_to_the_end_is_a_loop_wherever_it_is_cut(piece, cut):
    copies = piece * (2 * LONGEST // len(piece) + 3)
    assert is_looping("<think>The two sides are 3 and 4. " + copies + piece[: cut % len(piece)])


@pytest.mark.parametrize(
    "text",
    [
        PI,
        ", ".join(str(number) for number in range(400)),
        "\n".join(f"| {n} | {n * n} | {n % 7} |" for n in range(120)),
        r"\begin{aligned}" + "".join(rf" x_{{{n + 1}}} &= x_{n} + {2 * n} \\ " for n in range(90)),
        r"\begin{pmatrix}"
        + r" \\ ".join(
            " & ".join(str(int(row == column)) for column in range(20)) for row in range(20)
        ),
        "The area is 12. " * 2 + "So the answer is 12, since 3 times 4 is 12. " * 2,
        "[" + "0, " * 60,  # 180 letters, which a row of a matrix may have
        "",
    ],
    ids=["pi", "numbers", "table", "aligned", "matrix", "said twice", "zeros", "empty"],
)
def test_tables_lists_and_derivations_are_no_loops(text):
    assert not is_looping(text)


def test_random_text_is_no_loop_and_neither_is_one_that_ended_its_loop():
    letters = random.Random(0)
    for alphabet in (string.ascii_letters + " ", "01", "0123456789, "):
        assert not is_looping("".join(letters.choices(alphabet, k=3_000)))
    assert not is_looping("No, wait. " * 50 + "It is 4, for the third angle is 90 degrees.")


def test_three_copies_of_a_long_paragraph_are_a_loop_and_two_are_none():
    paragraph = "".join(random.Random(1).choices(string.ascii_lowercase + " ", k=700))
    assert is_looping(3 * paragraph)
    assert not is_looping("x" + 2 * paragraph)


def test_only_the_tail_of_a_megabyte_is_looked_at(monkeypatch):
    seen = []
    from durian.causes import loops

    borders = loops._borders
    monkeypatch.setattr(loops, "_borders", lambda text: seen.append(len(text)) or borders(text))
    # Words by Fibonacci's rule: full of near-repetitions, the worst case of naive comparison.
    a, b = "a", "ab"
    while len(b) < 1_000_000:
        a, b = b, b + a
    for hostile in (b, "a" * 1_000_000, ("a" * 999 + "b") * 1_000):
        is_looping(hostile)
    assert seen and max(seen) <= TAIL
