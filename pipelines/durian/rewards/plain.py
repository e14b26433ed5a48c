r"""Comparing answers as plain text: choices, words, numbers, units. No mathematics library.

The rules, after `tidy`:
- Letter case never counts; nor does it to math-verify, which reads X and x as one variable.
- A choice is a letter from A to J, bare or in brackets: `B`, `(B)`, `B.`, `B)`; with words after
  it ("(B) a red cube") it equals the bare letter, and with other words it is compared as words.
- Numbers are compared exactly, as fractions: `1/2`, `0.5`, `\frac{2}{4}` and `.50` are equal, so
  are `3,000`, `3{,}000` and `3000`. A decimal comma is not read. A decimal of six places or more
  equals a number that it agrees with to half a unit of the sixth place and to a relative 1e-5.
- A unit may be left out on one side ("5" is "5 cm"); two units must be the same, however spelled
  ("5 cm", "5 centimeters"), and are not converted. A unit of one letter needs a space ("5 m").
- A per cent sign may be left out, or worked out: "50%" equals "50", "0.5" and "1/2".
- A dollar sign is dropped, other currencies are not.
"""

from __future__ import annotations

import re
from fractions import Fraction

from durian.rewards.units import split_unit

_CHOICE = re.compile(r"[(\[]?(?P<letter>[a-j])(?:[)\].:]+(?:\s+(?P<words>\S.*))?)?")

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)\s?(?:"
    rf"(?P<decimal>{_DIGITS}(?:\.(?P<places>\d*))?|\.(?P<bare_places>\d+))"
    rf"|(?:(?P<whole>\d+)\s?)?\\frac\s?\{{\s?(?P<top>-?{_DIGITS})\s?\}}\s?\{{\s?(?P<bottom>\d+)\s?\}}"
    rf"|(?:(?P<slash_whole>\d+)\s)?(?P<slash_top>{_DIGITS})\s?/\s?(?P<slash_bottom>\d+)"
    rf")"
)
_LONGEST_NUMBER = 100  # characters

_SIGN_OF_MATHEMATICS = re.compile(r"[\\^=<>+*√π∞≤≥≠±∪∩]|\d")
_WORD = re.compile(r"[^\W\d_]{2,}")


def compare_plain(answer: str, reference: str) -> bool | None:
    """Compare two tidied texts; None if they differ as text but are no words, choice or number."""
    answer, reference = answer.casefold(), reference.casefold()
    if answer == reference:
        return bool(answer)
    chosen = _same_choice(answer, reference)
    if chosen is not None:
        return chosen
    left, right = _quantity(answer), _quantity(reference)
    if left is not None and right is not None:
        return _same_quantity(left, right)
    if (left and not _SIGN_OF_MATHEMATICS.search(reference)) or (
        right and not _SIGN_OF_MATHEMATICS.search(answer)
    ):
        return False  # a number against letters: the choice "B", the word "red"
    return None


def mathematics(answer: str, reference: str) -> tuple[str, str] | None:
    """What a mathematics library should compare: both texts without their units.

    None if one of them is words (two letters together, and no sign of mathematics), if neither
    has such a sign, or if their units differ. Words must not go there: it takes "on" and "no" for
    equal products of letters.
    """
    marked = [bool(_SIGN_OF_MATHEMATICS.search(text)) for text in (answer, reference)]
    lettered = [bool(_WORD.search(text)) for text in (answer, reference)]
    if not any(marked) or any(w and not m for w, m in zip(lettered, marked, strict=True)):
        return None
    (left, left_unit), (right, right_unit) = split_unit(answer), split_unit(reference)
    if left_unit and right_unit and left_unit != right_unit:
        return None
    return left, right


def _same_choice(answer: str, reference: str) -> bool | None:
    left, right = _CHOICE.fullmatch(answer), _CHOICE.fullmatch(reference)
    if left is None or right is None or (left["words"] and right["words"]):
        return None
    return left["letter"] == right["letter"]


_Number = tuple[Fraction, int]  # value, decimal places as written
_Quantity = tuple[Fraction, int, str]  # and unit


def _quantity(text: str) -> _Quantity | None:
    if len(text) > _LONGEST_NUMBER:
        return None
    body, unit = split_unit(text, any_word=True)
    number = _number(body)
    return None if number is None else (*number, unit)


def _number(text: str) -> _Number | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign = -1 if found["sign"] == "-" else 1
    if found["decimal"] is not None:
        places = len(found["places"] or found["bare_places"] or "")
        return sign * Fraction(found["decimal"].replace(",", "").rstrip(".")), places
    top, bottom = found["top"] or found["slash_top"], found["bottom"] or found["slash_bottom"]
    if int(bottom) == 0:
        return None
    whole = int(found["whole"] or found["slash_whole"] or 0)
    return sign * (whole + Fraction(int(top.replace(",", "")), int(bottom))), 0


def _same_quantity(left: _Quantity, right: _Quantity) -> bool:
    (a, a_places, a_unit), (b, b_places, b_unit) = left, right
    if a_unit and b_unit and a_unit != b_unit:
        return False
    places = max(a_places, b_places)
    if _agree(a, b, places):
        return True
    if a_unit == b_unit or "%" not in (a_unit, b_unit):
        return False
    return _agree(a / 100, b, places) if a_unit == "%" else _agree(a, b / 100, places)


def _agree(a: Fraction, b: Fraction, places: int) -> bool:
    if a == b or places < 6:
        return a == b
    gap = abs(a - b)
    return gap <= Fraction(1, 2_000_000) and gap <= max(abs(a), abs(b)) / 100_000
