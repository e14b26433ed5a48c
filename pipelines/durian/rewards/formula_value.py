"""Works out the tree of a formula in numbers: fractions exactly, the rest as floats."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

_BITS = 20_000  # of an exact whole number
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh, "cosh": cmath.cosh,
    "tanh": cmath.tanh, "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan,
    "exp": cmath.exp, "ln": cmath.log, "log": cmath.log10, "lg": cmath.log10,
    "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "cot": lambda x: 1 / cmath.tan(x), "cosec": lambda x: 1 / cmath.sin(x),
}  # fmt: skip


def work_out(tree: tuple[Any, ...], at: Mapping[str, float]) -> Any:
    """The number of a tree with its letters at given values.

    Raises:
        ArithmeticError, ValueError, TypeError: it has none there, or is too large.
    """
    operation = tree[0]
    if operation == "n":
        return tree[1]
    if operation == "x":
        return at[tree[1]]
    if operation == "f":
        return _applied(tree[1], work_out(tree[2], at))
    # From the leaves up. Fractions stay exact until an operation has no exact result (a root, a
    # sine, π); after that floats go on, and the comparison allows for their round-off.
    values = [work_out(branch, at) for branch in tree[1:]]
    match operation:
        case "+":
            total = values[0]
            for other in values[1:]:
                total = total + other
            return total
        case "-":
            return -values[0]
        case "*":
            return values[0] * values[1]
        case "/":
            return values[0] / values[1]
        case "^":
            return _powered(values[0], values[1])
        case "root":
            return _rooted(values[0], values[1])
        case "abs":
            return abs(values[0])
        case "%":
            return values[0] / 100
        case "°":
            return values[0] * math.pi / 180
        case "!":
            return _factorial(values[0])
        case "binom":
            return Fraction(math.comb(_whole(values[0]), _whole(values[1])))
        case "⌊":
            return Fraction(math.floor(values[0]))
        case "⌈":
            return Fraction(math.ceil(values[0]))
    raise ValueError(operation)


def _applied(name: str, argument: Any) -> Any:
    # The complex functions have a value where the real ones fail: arcsin 2 is a number. What came
    # out real but for round-off is made real again, since only real numbers have an order, a floor
    # or a factorial.
    result = FUNCTIONS[name](argument)
    if isinstance(argument, complex) or abs(result.imag) > 1e-12 * abs(result):
        return result
    return result.real


def _powered(base: Any, exponent: Any) -> Any:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            # Estimated before it is made: 9^{9^9} written by a policy would fill the memory with
            # digits.
            size = max(base.numerator.bit_length(), base.denominator.bit_length())
            if size * abs(exponent.numerator) <= _BITS:
                return base**exponent.numerator
            if base in (1, -1, 0):
                return base ** (exponent.numerator % 2 or 2)
            raise OverflowError
        return _rooted(_powered(base, Fraction(exponent.numerator)), Fraction(exponent.denominator))
    if isinstance(base, complex) or isinstance(exponent, complex):
        return complex(base) ** complex(exponent)
    if float(base) == 0:
        return 0.0 if exponent > 0 else float(base) ** float(exponent)
    return float(base) ** (int(exponent) if exponent == int(exponent) else float(exponent))


def _rooted(radicand: Any, degree: Any) -> Any:
    if isinstance(radicand, complex):
        return radicand ** (1 / degree)
    if radicand < 0:
        if degree % 2 == 1:
            return -_rooted(-radicand, degree)
        return complex(radicand) ** (1 / float(degree))
    # A root that comes out stays a fraction, so that √4 is 2 exactly and not to a tolerance; the
    # odd root of a negative number is the real one that a school book means, not the complex
    # principal root.
    if degree == 2 and isinstance(radicand, Fraction):
        top, bottom = math.isqrt(radicand.numerator), math.isqrt(radicand.denominator)
        if top * top == radicand.numerator and bottom * bottom == radicand.denominator:
            return Fraction(top, bottom)
        return math.sqrt(radicand)
    return float(radicand) ** (1 / float(degree))


def _factorial(number: Any) -> Any:
    if isinstance(number, Fraction):
        return Fraction(math.factorial(_whole(number)))
    return math.gamma(number + 1)


def _whole(number: Any) -> int:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= 1_000:
        raise ValueError
    return int(number)
