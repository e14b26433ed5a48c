r"""Numbers: a constant, however written. Compared by value.

Whole numbers and fractions are equal exactly, decimals and roots by a relative error of at most
1e-6 (the precision of mathruler's and math-verify's comparisons; theirs is absolute, so that both
take 1.6e-19 for 9.1e-31). ChartQA's 5 % (Masry et al., 2022, "relaxed accuracy") is an option.
A per cent sign may be left out, or worked out: "50%" equals "50", "0.5" and "1/2" (math-verify
does the second, mathruler the first).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from durian.rewards import formula
from durian.rewards.kinds.base import Setting
from durian.rewards.kinds.named import without_name
from durian.rewards.kinds.spelled import read_spelled


@dataclass(frozen=True)
class Constant:
    """A number as written."""

    value: formula.Number
    decimal: bool
    percent: bool
    name: str | None  # "x" of "x = 5"


_ABOUT = re.compile(
    r"(?:about|approximately|approx|around|roughly|nearly|almost|[≈~]|大约|约为?)\.?\s*",
    re.IGNORECASE,
)
_MINUS = re.compile(r"(?:minus|negative)\s+(?=\S)|负\s?(?=\S)", re.IGNORECASE)
_NUMBER_SIGN = re.compile(r"(?:#|№|no\.?|number)\s?(?=\d)", re.IGNORECASE)
_CHINESE_PERCENT = re.compile(r"百分之\s?(?=.)")
_PERCENT = re.compile(r"\s?(?:%|\bper\s?cent|\bpct)$", re.IGNORECASE)
_SPACED_THOUSANDS = re.compile(r"\d{1,3}(?: \d{3})+(?:\.\d+)?")
_MIXED = re.compile(r"([+-]?)\s?(\d+)\s(?:and\s)?(\d+)\s?/\s?(\d+)")
_NUMERAL = r"[+-]?(?:\d[\d,]*\.?\d*|\.\d+)"
# Of plain numerals alone these are a range, a score, a date, a size, a time: no arithmetic.
NO_ARITHMETIC = re.compile(
    rf"{_NUMERAL}(?:\s?(?:[-+×*:~]|x(?=\s?\d)|/(?=[^/]*/))\s?{_NUMERAL}(?:/[\d.]+)*)+",
    re.IGNORECASE,
)
_SHARES = re.compile(r"(\d{2,})/\1")  # fifty-fifty is no 1
_SCALES = {
    "thousand": 3, "million": 6, "billion": 9, "bn": 9, "trillion": 12, "千": 3, "万": 4,
    "百万": 6, "亿": 8,
}  # fmt: skip
DEGREE = "°"  # a unit, but within a function
_ANGLE_OF = re.compile(r"sin|cos|tan|cot|sec|csc")
_SCALED = re.compile(rf"(?P<number>.*\d)\s?(?P<scale>{'|'.join(_SCALES)})", re.IGNORECASE)
_THOUSANDS_LETTER = re.compile(r"([+-]?\d+(?:\.\d+)?)([kKM])")
_BEYOND = re.compile(
    r"\\(?:int|iint|oint|sum|prod|lim|log|det|gcd|operatorname|max|min|Re|Im)\b|\^|!"
)


def read_number(text: str, *, scaled: bool = True) -> Constant | None:
    """The constant that a tidied text is, or None.

    Args:
        scaled: also read "7 million".
    """
    name, text = without_name(text)
    text = _NUMBER_SIGN.sub("", _ABOUT.sub("", text, count=1), count=1)
    percent = _PERCENT.search(text) or _CHINESE_PERCENT.match(text)
    if percent is not None:
        text = text[: percent.start()] + text[percent.end() :]
    read = _plain(text)
    if read is None and scaled:
        read = _scaled(text)
    return None if read is None else Constant(*read, percent is not None, name)


def same_constant(answer: Constant, reference: Constant, setting: Setting) -> bool:
    """Whether two constants are equal, per cent signs worked out or left out."""
    if answer.name and reference.name and answer.name != reference.name:
        return False
    decimal = answer.decimal or reference.decimal
    # A per cent sign on one side alone may have been left out on the other or worked out there: 50%
    # is 50, and it is 0.5. On both sides, or on none, the numbers are compared as they stand.
    pairs = [(answer.value, reference.value)]
    if answer.percent and not reference.percent:
        pairs.append((answer.value / 100, reference.value))
    if reference.percent and not answer.percent:
        pairs.append((answer.value, reference.value / 100))
    return any(
        formula.same_number(a, b, decimal=decimal, tolerance=setting.tolerance) for a, b in pairs
    )


def is_mathematics_beyond(text: str) -> bool:
    """Whether a text that is no readable formula may be asked of the algebra system."""
    return (
        bool(_BEYOND.search(text))
        and text.count("{") == text.count("}")
        and not re.search(r"[A-Za-z]{4,}", re.sub(r"\\[A-Za-z]+", "", text))
        and text.isprintable()
    )


def _plain(text: str) -> tuple[formula.Number, bool] | None:
    text = text.strip()
    below_zero = _MINUS.match(text)
    if below_zero is not None:
        rest = text[below_zero.end() :]
        if rest.startswith(("-", "+")) or _MINUS.match(rest):
            return None  # "minus -5" is a slip, and no 5
        read = _plain(rest)
        return None if read is None else (-read[0], read[1])
    spelled = read_spelled(text)
    if spelled is not None:
        return spelled, False
    if _SPACED_THOUSANDS.fullmatch(text):
        text = text.replace(" ", "")
    mixed = _MIXED.fullmatch(text)
    if mixed is not None:
        whole, top, bottom = (int(part) for part in mixed.groups()[1:])
        if not 0 < top < bottom:
            return None  # "4 10/3" is no mixed number, and nothing else either
        total = whole + Fraction(top, bottom)
        return (-total if mixed[1] == "-" else total), False
    # Worked out, the score 3-1 would be 2 and equal every other score two goals apart; dates,
    # sizes and times likewise.
    if NO_ARITHMETIC.fullmatch(text) or (DEGREE in text and not _ANGLE_OF.search(text)):
        return None
    if _SHARES.fullmatch(text):
        return None
    return formula.constant(text)


def _scaled(text: str) -> tuple[formula.Number, bool] | None:
    text = text.strip()
    found = _SCALED.fullmatch(text)
    if found is not None:
        number, exponent = found["number"], _SCALES[found["scale"].lower()]
    else:
        letter = _THOUSANDS_LETTER.fullmatch(text)
        if letter is None:
            return None
        number, exponent = letter[1], 6 if letter[2] == "M" else 3
    read = _plain(number)
    return None if read is None else (read[0] * 10**exponent, read[1])
