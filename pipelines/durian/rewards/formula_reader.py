r"""Reads a formula by recursive descent into a tree of tuples, `formula_value.py` works it out."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from durian.rewards.formula_value import FUNCTIONS

_DEEPEST = 40  # brackets in brackets
# Possessive throughout: a token is taken once and never tried shorter, so that a line of digits
# costs its length and not its square.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})++(?![\d,])|\d++)(?:\.\d*+)?(?:[eE][+-]?\d++(?![\d.]))?"
    r"|\.\d++(?:[eE][+-]?\d++)?)"
    r"|\\(?P<command>[A-Za-z]++)|(?P<word>[A-Za-z]++)|(?P<greek>[α-ωΑ-Ω])|(?P<sign>\*\*|.))"
)
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_WORDS = (*sorted(FUNCTIONS, key=len, reverse=True), "sqrt", "pi", "abs")
_OPENING = {"(": ")", "[": "]", "{": "}", "⦃": "⦄"}


class Unreadable(ValueError):
    """The text is no formula that is read here."""


class Reader:
    """A reader by recursive descent; each method takes what it reads off the tokens."""

    # The grammar, each line in terms of the next: a sum of products; a product of powers, with
    # signs or side by side; a power of a postfixed atom (5!, 30°); an atom, which is a numeral, a
    # letter, a command or a sum in brackets. No text is run, so none can do more than be
    # unreadable.
    def __init__(self, text: str) -> None:
        """Cut a text into tokens. Raises: Unreadable."""
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self.letters: set[str] = set()  # as in `Formula`, and so the next two
        self.decimal = False
        self.marked = False

    def formula(self) -> tuple[Any, ...]:
        """The tree of the whole text. Raises: Unreadable."""
        tree = self._sum()
        if self._at != len(self._tokens):
            raise Unreadable
        return tree

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
        # Each bracket is a few calls deep here; ten thousand of them would end in Python's own
        # limit, which is another depth for each caller.
        if self._depth > _DEEPEST:
            raise Unreadable
        terms = [self._product()]
        while self._peek() in (("sign", "+"), ("sign", "-")):
            self.marked = True
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
                self.marked = True
                negative = self._peek() == ("sign", "-")
                if negative:
                    self._take()
                other = self._power()
                other = ("-", other) if negative else other
                tree, last = ("/" if token == "/" else "*", tree, other), "sign"
            elif kind == "number":
                raise Unreadable  # "x2", "1 7", "2x4": no product is written so
            # Side by side is a product too, and binds no tighter than a sign: 1/2x is half of x. A
            # numeral on the right makes none (x2 is a label), and a fraction behind a numeral makes
            # a mixed number: 2\frac12 is two and a half.
            elif kind in ("letter", "command", "word") or (kind == "sign" and token in "([{⌊⌈"):
                if in_function and (kind in ("command", "word") and token in FUNCTIONS):
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
            self.marked = True
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
            self.marked = True
            tree = (self._take()[1], tree)
        return tree

    def _atom(self) -> tuple[Any, ...]:
        kind, token = self._take()
        if kind == "number":
            self.decimal |= not token.replace(",", "").isdigit()
            return ("n", _numeral(token))
        if kind == "letter":
            return self._letter(token)
        if kind in ("command", "word"):
            self.marked = True
            return self._command(token)
        if token in ("(", "[", "{"):
            return self._until(_OPENING[token])
        if token == "|":
            self.marked = True
            return ("abs", self._until("|"))
        if token in "⌊⌈" and token:
            self.marked = True
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
        self.letters.add(token)
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
        if name in FUNCTIONS:
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
        self.letters.add(letter)
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
        # LaTeX's \sin^{-1} x is the inverse function, while \sin^{2} x is the square of the sine.
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
