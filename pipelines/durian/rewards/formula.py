r"""Formulas of a tidied answer: read into a small tree, and worked out in numbers.

Two formulas are the same where they agree in numbers: a constant in one number, others at fixed
points for their letters. That is some hundred times faster than a computer algebra system, takes a
bounded time whatever was written, and tells 1.6e-19 from 9.1e-31. A fraction is worked out exactly.
What this reads not (integrals, sums, limits), is left to math-verify.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from durian.rewards.formula_reader import Reader, Unreadable
from durian.rewards.formula_value import work_out

Number = Fraction | float | complex

TOLERANCE = 1e-6  # relative error at which a decimal equals a number (mathruler, math-verify: 1e-6)
_EXACT_TOLERANCE = 1e-9  # of roots and the like, none of them a decimal: round-off only
_LONGEST = 400  # characters

_POINTS = (0.7310585786, 1.3178416, -0.57721566, 2.2360679, -1.7320508, 0.4142135, 3.1622776,
           -2.6457513, 1.0986122, -0.2871920, 1.8477590)  # fmt: skip
_TRIES = 7


@dataclass(frozen=True)
class Formula:
    """A formula that was read."""

    tree: tuple[Any, ...]
    letters: frozenset[str]  # its variables; e, i and π are none
    decimal: bool  # a number in it has a decimal point or an exponent
    marked: bool  # it has a sign or a command, and is not letters and digits side by side


@lru_cache(maxsize=4_096)
def read(text: str) -> Formula | None:
    """The formula that a tidied text is, or None. Letter case never counts, see `tidy`."""
    if not text or len(text) > _LONGEST:
        return None
    try:
        reader = Reader(text)
        tree = reader.formula()
    except (Unreadable, RecursionError):
        return None
    return Formula(tree, frozenset(reader.letters), reader.decimal, reader.marked)


def value(formula: Formula, at: Mapping[str, float] | None = None) -> Number | None:
    """The formula in numbers; None where it has none there, or is too large to work out."""
    try:
        number: Number = work_out(formula.tree, at or {})
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
        return None
    if isinstance(number, complex):
        if not cmath.isfinite(number) and not cmath.isinf(number):
            return None
        if abs(number.imag) <= 1e-12 * abs(number):
            number = number.real
    return None if isinstance(number, float) and math.isnan(number) else number


def constant(text: str) -> tuple[Number, bool] | None:
    """The number that a tidied text is, and whether it is a decimal; None where it is none."""
    formula = read(text)
    if formula is None or formula.letters:
        return None
    number = value(formula)
    return None if number is None else (number, formula.decimal)


def same_number(a: Number, b: Number, *, decimal: bool, tolerance: float = TOLERANCE) -> bool:
    """Whether two numbers are equal: whole ones exactly, decimals by relative error.

    Args:
        b: of the reference; the error is relative to it.
        decimal: one of the two was written as a decimal; else both are exact forms.
    """
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if a == b:
            return True
        exact = not decimal or (a.denominator == 1 and b.denominator == 1)
        if exact and tolerance <= TOLERANCE:
            return False
        # As written: 0.333333 is 1/3 to exactly 1e-6.
        return abs(a - b) <= Fraction(tolerance).limit_denominator(10**9) * abs(b)
    try:
        x, y = complex(a), complex(b)
    except OverflowError:
        return False
    if cmath.isinf(x) or cmath.isinf(y):
        return x == y
    allowed = tolerance if decimal else min(tolerance, _EXACT_TOLERANCE)
    # A sum such as 1 - 1/3 - 2/3 leaves round-off where the exact value is 0.
    return abs(x - y) <= allowed * abs(y) or (not decimal and y == 0 and abs(x) < 1e-12)


def same_formula(a: Formula, b: Formula, *, tolerance: float = TOLERANCE) -> bool | None:
    """Whether two formulas mean the same; None if they could not be worked out."""
    # Formulas that differ agree at a point by chance alone, and at several hardly ever (Schwartz
    # and Zippel). Points where one has no value, or leaves the real line, say nothing; with fewer
    # than three that say something the answer is "cannot tell", and the slower judge is asked.
    decimal = a.decimal or b.decimal
    tried = 0
    letters = sorted(a.letters | b.letters)
    for number in range(_TRIES if letters else 1):
        at = point(letters, number)
        left, right = value(a, at), value(b, at)
        if left is None or right is None or _off_the_line(left, right):
            continue
        if not same_number(left, right, decimal=decimal, tolerance=tolerance):
            return False
        tried += 1
    return True if tried >= (3 if letters else 1) else None


def proportion(a: Formula, b: Formula) -> float | None:
    """The number that `a` is of `b`, at all points; None if there is none, or it is 0."""
    letters = sorted(a.letters | b.letters)
    if a.letters != b.letters or not letters:
        return None
    ratios = []
    for number in range(_TRIES):
        at = point(letters, number)
        left, right = value(a, at), value(b, at)
        if left is None or right is None or not right:
            continue
        ratio = complex(left) / complex(right)
        if abs(ratio.imag) > 1e-9 * abs(ratio) or not cmath.isfinite(ratio):
            return None
        ratios.append(ratio.real)
    if len(ratios) < 3 or not ratios[0]:
        return None
    return ratios[0] if all(abs(r - ratios[0]) <= 1e-9 * abs(ratios[0]) for r in ratios) else None


def difference(a: Formula, b: Formula) -> Formula:
    """`a - b` as a formula."""
    return Formula(
        ("+", a.tree, ("-", b.tree)), a.letters | b.letters, a.decimal or b.decimal, True
    )


def point(letters: list[str], number: int) -> dict[str, float]:
    """Fixed values for some letters, in the order of the alphabet; the first ones are positive."""
    # Positive first: logarithms and roots have a real value there. The later points are negative
    # too, or |x| would be x.
    if number < 2:
        return {
            letter: abs(_POINTS[(place + 5 * number) % len(_POINTS)]) * (1 + place / 37)
            for place, letter in enumerate(letters)
        }
    return {
        letter: _POINTS[(3 * number + place * (number + 1)) % len(_POINTS)] * (1 + place / 41)
        for place, letter in enumerate(letters)
    }


def _off_the_line(a: Number, b: Number) -> bool:
    # ln(-2) is on another branch than 2 ln(...): only a real value says something there.
    return isinstance(a, complex) != isinstance(b, complex)
