r"""Formulas of a tidied answer: read into a small tree, and worked out in numbers.

Two formulas are the same where they agree in numbers: a constant in one number, others at fixed
points for their letters. That is some hundred times faster than a computer algebra system, takes a
bounded time whatever was written, and tells 1.6e-19 from 9.1e-31. A fraction is worked out exactly.
What this reads not (integrals, sums, limits), is left to math-verify.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

Number = Fraction | float | complex

TOLERANCE = 1e-6  # relative error at which a decimal equals a number (mathruler, math-verify: 1e-6)
_EXACT_TOLERANCE = 1e-9  # of roots and the like, none of them a decimal: round-off only
_LONGEST = 400  # characters
_DEEPEST = 40  # brackets in brackets
_BITS = 20_000  # of an exact whole number

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})++(?![\d,])|\d++)(?:\.\d*+)?(?:[eE][+-]?\d++(?![\d.]))?"
    r"|\.\d++(?:[eE][+-]?\d++)?)"
    r"|\\(?P<command>[A-Za-z]++)|(?P<word>[A-Za-z]++)|(?P<greek>[α-ωΑ-Ω])|(?P<sign>\*\*|.))"
)
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "sinh": cmath.sinh, "cosh": cmath.cosh,
    "tanh": cmath.tanh, "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan,
    "exp": cmath.exp, "ln": cmath.log, "log": cmath.log10, "lg": cmath.log10,
    "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "cot": lambda x: 1 / cmath.tan(x), "cosec": lambda x: 1 / cmath.sin(x),
}  # fmt: skip
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_WORDS = (*sorted(_FUNCTIONS, key=len, reverse=True), "sqrt", "pi", "abs")
_OPENING = {"(": ")", "[": "]", "{": "}", "⦃": "⦄"}
_POINTS = (0.7310585786, 1.3178416, -0.57721566, 2.2360679, -1.7320508, 0.4142135, 3.1622776,
           -2.6457513, 1.0986122, -0.2871920, 1.8477590)  # fmt: skip
_TRIES = 7


class Unreadable(ValueError):
    """The text is no formula that this module reads."""


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
        return _Reader(text).formula()
    except (Unreadable, RecursionError):
        return None


def value(formula: Formula, at: Mapping[str, float] | None = None) -> Number | None:
    """The formula in numbers; None where it has none there, or is too large to work out."""
    try:
        number: Number = _value(formula.tree, at or {})
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
        return None
    if isinstance(number, complex):
        if not cmath.isfinite(number) and not cmath.isinf(number):
            return None
        if abs(number.imag) <= 1e-12 * abs(number):
            number = number.real
    return None if isinstance(number, float) and math.isnan(number) else number


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


class _Reader:
    """A reader by recursive descent; each method takes what it reads off the tokens."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._letters: set[str] = set()
        self._decimal = False
        self._marked = False

    def formula(self) -> Formula:
        tree = self._sum()
        if self._at != len(self._tokens):
            raise Unreadable
        return Formula(tree, frozenset(self._letters), self._decimal, self._marked)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, sign: str) -> None:
        if self._take() != ("sign", sign):
            raise Unreadable

    def _sum(self) -> tuple[Any, ...]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unreadable
        terms = [self._product()]
        while self._peek() in (("sign", "+"), ("sign", "-")):
            self._marked = True
            negative = self._take()[1] == "-"
            term = self._product()
            terms.append(("-", term) if negative else term)
        self._depth -= 1
        return terms[0] if len(terms) == 1 else ("+", *terms)

    def _product(self, *, in_function: bool = False) -> tuple[Any, ...]:
        kind, token = self._peek()
        if kind == "sign" and token in "+-" and not in_function:
            self._take()
            return ("-", self._product()) if token == "-" else self._product()
        tree, last = self._power(), kind
        while True:
            kind, token = self._peek()
            if kind == "sign" and token in "·×*/" and not in_function:
                self._take()
                self._marked = True
                negative = self._peek() == ("sign", "-")
                if negative:
                    self._take()
                other = self._power()
                other = ("-", other) if negative else other
                tree, last = ("/" if token == "/" else "*", tree, other), "sign"
            elif kind == "number":
                raise Unreadable  # "x2", "1 7", "2x4": no product is written so
            elif kind in ("letter", "command", "word") or (kind == "sign" and token in "([{⌊⌈"):
                if in_function and (kind in ("command", "word") and token in _FUNCTIONS):
                    return tree  # sin x cos x
                fraction = (kind, token) == ("command", "frac")
                other = self._power()
                if fraction and last == "number" and tree[0] == "n":
                    tree = _mixed(tree, other)
                else:
                    tree = ("*", tree, other)
                last = "juxtaposed"
            else:
                return tree

    def _power(self) -> tuple[Any, ...]:
        tree = self._postfixed(self._atom())
        if self._peek() in (("sign", "^"), ("sign", "**")):
            self._take()
            self._marked = True
            tree = ("^", tree, self._exponent())
            tree = self._postfixed(tree)
        return tree

    def _exponent(self) -> tuple[Any, ...]:
        if self._peek() in (("sign", "-"), ("sign", "+")):
            negative = self._take()[1] == "-"
            exponent = self._power()
            return ("-", exponent) if negative else exponent
        return self._power() if self._peek()[0] in ("number", "letter") else self._atom()

    def _postfixed(self, tree: tuple[Any, ...]) -> tuple[Any, ...]:
        while self._peek() in (("sign", "!"), ("sign", "%"), ("sign", "°")):
            self._marked = True
            tree = (self._take()[1], tree)
        return tree

    def _atom(self) -> tuple[Any, ...]:
        kind, token = self._take()
        if kind == "number":
            self._decimal |= not token.replace(",", "").isdigit()
            return ("n", _numeral(token))
        if kind == "letter":
            return self._letter(token)
        if kind in ("command", "word"):
            self._marked = True
            return self._command(token)
        if token in ("(", "[", "{"):
            return self._until(_OPENING[token])
        if token == "|":
            self._marked = True
            return ("abs", self._until("|"))
        if token in "⌊⌈" and token:
            self._marked = True
            return (token, self._until("⌋" if token == "⌊" else "⌉"))
        if token == "∞":
            return ("n", math.inf)
        raise Unreadable

    def _until(self, closing: str) -> tuple[Any, ...]:
        tree = self._sum()
        self._expect(closing)
        return tree

    def _letter(self, token: str) -> tuple[Any, ...]:
        if token == "π":
            return ("n", math.pi)
        if self._peek() == ("sign", "_"):
            self._take()
            token += "_" + self._subscript()
        while self._peek() == ("sign", "'"):
            token += self._take()[1]
        if token == "e":
            return ("n", math.e)
        if token == "i":
            return ("n", 1j)
        self._letters.add(token)
        return ("x", token)

    def _subscript(self) -> str:
        kind, token = self._take()
        if token != "{":
            return token
        inner = ""
        while (token := self._take()[1]) != "}":
            if not token or token == "{":
                raise Unreadable
            inner += token
        return inner

    def _command(self, name: str) -> tuple[Any, ...]:
        if name == "frac":
            top = self._argument()
            return ("/", top, self._argument())
        if name == "sqrt":
            degree: tuple[Any, ...] = ("n", Fraction(2))
            if self._peek() == ("sign", "["):
                self._take()
                degree = self._until("]")
            return ("root", self._argument(), degree)
        if name == "binom":
            top = self._argument()
            return ("binom", top, self._argument())
        if name == "pi":
            return ("n", math.pi)
        if name == "abs":
            self._expect("(")
            return ("abs", self._until(")"))
        if name in ("bar", "overline", "hat", "tilde", "dot"):
            return self._accented(name)
        if name in _FUNCTIONS:
            return self._function(name)
        raise Unreadable

    def _accented(self, name: str) -> tuple[Any, ...]:
        self._expect("{")
        inner = ""
        while (token := self._take()[1]) != "}":
            if not token or token == "{":
                raise Unreadable
            inner += token
        letter = f"{name}:{inner}"
        self._letters.add(letter)
        return ("x", letter)

    def _argument(self) -> tuple[Any, ...]:
        kind, token = self._peek()
        if (kind, token) in (("sign", "{"), ("sign", "(")):
            self._take()
            return self._until(_OPENING[token])
        if kind == "number" and len(token) > 1 and token.isdigit():
            # \frac12 and \sqrt23 take one digit, as LaTeX does.
            self._tokens[self._at] = (kind, token[1:])
            return ("n", Fraction(int(token[0])))
        return self._atom()

    def _function(self, name: str) -> tuple[Any, ...]:
        power: tuple[Any, ...] | None = None
        base: tuple[Any, ...] | None = None
        for _ in range(2):
            if self._peek() == ("sign", "^"):
                self._take()
                power = self._exponent()
            elif self._peek() == ("sign", "_"):
                self._take()
                base = self._argument()
        if power == ("-", ("n", Fraction(1))) and name in _INVERSE:
            name, power = _INVERSE[name], None
        if self._peek() in (("sign", "("), ("sign", "{")):
            argument = self._power()
        else:
            argument = self._product(in_function=True)
        tree: tuple[Any, ...] = ("f", name, argument)
        if base is not None:
            if name != "log":
                raise Unreadable
            tree = ("/", ("f", "ln", argument), ("f", "ln", base))
        return tree if power is None else ("^", tree, power)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            if text[place:].strip():
                raise Unreadable
            break
        place = found.end()
        kind = found.lastgroup or ""
        token = found[kind]
        if kind == "word":
            tokens += _letters_and_functions(token)
        elif kind == "greek":
            tokens.append(("letter", token))
        else:
            tokens.append((kind, token))
    return tokens


def _letters_and_functions(word: str) -> list[tuple[str, str]]:
    tokens = []
    place = 0
    while place < len(word):
        name = next((n for n in _WORDS if word.startswith(n, place)), None)
        tokens.append(("letter", word[place]) if name is None else ("word", name))
        place += 1 if name is None else len(name)
    return tokens


def _numeral(token: str) -> Fraction:
    token = token.replace(",", "")
    mantissa, _, exponent = token.lower().partition("e")
    if exponent and abs(int(exponent)) > 5_000:
        raise Unreadable
    return Fraction(mantissa.rstrip(".")) * Fraction(10) ** int(exponent or 0)


def _mixed(whole: tuple[Any, ...], fraction: tuple[Any, ...]) -> tuple[Any, ...]:
    plain = fraction[0] == "/" and fraction[1][0] == fraction[2][0] == "n"
    proper = plain and fraction[1][1] < fraction[2][1] and whole[1].denominator == 1
    if plain and not proper:
        raise Unreadable  # 4\frac{10}{3} is neither a mixed number nor a product
    return ("+", whole, fraction) if proper else ("*", whole, fraction)


def _value(tree: tuple[Any, ...], at: Mapping[str, float]) -> Any:
    operation = tree[0]
    if operation == "n":
        return tree[1]
    if operation == "x":
        return at[tree[1]]
    if operation == "f":
        return _applied(tree[1], _value(tree[2], at))
    values = [_value(branch, at) for branch in tree[1:]]
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
    result = _FUNCTIONS[name](argument)
    if isinstance(argument, complex) or abs(result.imag) > 1e-12 * abs(result):
        return result
    return result.real


def _powered(base: Any, exponent: Any) -> Any:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
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
