r"""Intervals and ranges: "(0, 2]", "0 < x ≤ 2", "x > 1 or x < 0", "25-34". Compared end by end.

Each end must be equal as a number and as open or closed. An inequality of one variable stands for
its interval. A range in words or with a hyphen ("25-34", "25 to 34") has two ends and nothing is
subtracted. Source: math-verify takes both for expressions, which makes 25-34 equal 35-44.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from durian.rewards import formula
from durian.rewards.kinds.base import Kind, Setting, one_sign
from durian.rewards.kinds.quantity import Quantity, read_quantity, same_quantity, shared_unit

_RELATIONS = {"<": (">", True), ">": ("<", True), "≤": ("≥", False), "≥": ("≤", False)}
_RELATION = re.compile(r"\s?(<=|>=|=<|=>|[<>≤≥])\s?")
_MEMBER = re.compile(r"(?:[A-Za-zα-ω](?:_\w)?\s?[∈]|[A-Za-z](?:_\w)?\s?=)\s?(?=[(\[])")
_BRACKETS = re.compile(r"(?P<open>[(\[])(?P<low>[^,()\[\]]+|[^,]+),(?P<high>[^,]+)(?P<close>[)\]])")
_LETTER = re.compile(r"[A-Za-zα-ω](?:_\{?\w+\}?)?")
_OR, _AND = (
    re.compile(r"\s?∪\s?|\s(?:or|and)\s(?=\(|\[)|\s?\bor\b\s?|\s?或\s?"),
    re.compile(r"\s?(?:\band\b|且|∧|∩)\s?"),
)
_RANGE = re.compile(
    r"(?P<low>.*?[\d％%\w])\s?(?:-|~|→|\bto\b|至|到)\s?(?P<high>[＄€£¥\d.].*)", re.IGNORECASE
)
_FROM = re.compile(r"(?:from|从)\s?", re.IGNORECASE)
_BETWEEN = re.compile(r"between\s(?P<low>.*\d.*?)\sand\s(?P<high>.*\d.*)", re.IGNORECASE)
_OPEN = re.compile(r"(\]|[(\[])([^()\[\]]+)([)\]]|\[)")  # "]0, 1[" is (0, 1)
_BUILT = re.compile(r"⦃\s?([A-Za-z])(?:\s?∈\s?(?:R|ℝ))?\s?[|:]\s?([^⦃⦄]+)⦄")


@dataclass(frozen=True)
class End:
    """One end of an interval."""

    value: formula.Number
    decimal: bool
    closed: bool


@dataclass(frozen=True)
class Interval:
    """From one end to the other, of a variable where it is named."""

    low: End
    high: End
    letter: str = ""


def read_intervals(text: str) -> list[Interval] | None:
    """The intervals, rising, whose union a tidied text is; None if it is none.

    "(1, 2)" is read as one too: whether it is a point only the reference can tell.
    """
    if len(text) > 300:
        return None
    built = _BUILT.fullmatch(text)
    if built is not None and built[1] in built[2]:
        text = built[2].strip()
    text = _MEMBER.sub("", text, count=1)
    if "]" in text[:-1] or text.endswith("["):
        text = _OPEN.sub(_turned, text)
    parts = [_meet(part) for part in _OR.split(text)]
    if not all(part is not None for part in parts):
        return None
    return sorted((p for p in parts if p), key=lambda i: (_real(i.low.value), _real(i.high.value)))


def read_range(text: str) -> tuple[Quantity, Quantity] | None:
    """The two ends of "25-34" or "25 to 34 years", or None."""
    if len(text) > 100:
        return None
    led = _FROM.match(text)
    found = _BETWEEN.fullmatch(text) or _RANGE.fullmatch(text[led.end() :] if led else text)
    if found is None:
        return None
    low, high = read_quantity(found["low"]), read_quantity(found["high"])
    if low is None or high is None or low.constant.name or high.constant.name:
        return None
    return low, high


def _turned(found: re.Match[str]) -> str:
    low, inner, high = found.groups()
    if low != "]" and high != "[":
        return found[0]
    return f"{'(' if low == ']' else low}{inner}{')' if high == '[' else high}"


def same_intervals(read: list[Interval], wanted: list[Interval], setting: Setting) -> bool:
    """Whether two unions are equal, end by end."""
    return len(read) == len(wanted) and all(
        _same_end(a.low, b.low, setting)
        and _same_end(a.high, b.high, setting)
        and (not a.letter or not b.letter or a.letter == b.letter)
        for a, b in zip(read, wanted, strict=True)
    )


def _same_end(a: End, b: End, setting: Setting) -> bool:
    return a.closed == b.closed and formula.same_number(
        a.value, b.value, decimal=a.decimal or b.decimal, tolerance=setting.tolerance
    )


def _meet(text: str) -> Interval | None:
    """One interval, or several joined by "and"."""
    met: Interval | None = None
    for part in _AND.split(text):
        one = _bracketed(part.strip()) or _inequality(part.strip())
        if one is None:
            return None
        if met is not None:
            if met.letter != one.letter:
                return None
            # The meeting of two intervals: the higher low end, the lower high end, and at equal
            # values the open one, which leaves its value out.
            low = max(met.low, one.low, key=lambda end: (_real(end.value), not end.closed))
            high = min(met.high, one.high, key=lambda end: (_real(end.value), end.closed))
            one = Interval(low, high, one.letter)
        met = one
    return met


def _real(value: formula.Number) -> float:
    return float(value.real) if isinstance(value, complex) else float(value)


def _end(text: str, closed: bool) -> End | None:
    number = formula.constant(text.strip())
    return None if number is None or isinstance(number[0], complex) else End(*number, closed)


def _bracketed(text: str) -> Interval | None:
    found = _BRACKETS.fullmatch(text)
    if found is None:
        return None
    low = _end(found["low"], found["open"] == "[")
    high = _end(found["high"], found["close"] == "]")
    return None if low is None or high is None else Interval(low, high)


def _inequality(text: str) -> Interval | None:
    pieces = _RELATION.split(text)
    if len(pieces) == 3:
        left, sign, right = pieces[0], one_sign(pieces[1]), pieces[2]
        # Turned so that the letter stands on the left: 2 > x is x < 2.
        if not _LETTER.fullmatch(left):
            left, right, sign = right, left, _RELATIONS[sign][0]
        letter, end = left, _end(right, sign in "≤≥")
        if not _LETTER.fullmatch(letter) or end is None:
            return None
        if sign in "<≤":
            return Interval(End(-math.inf, False, False), end, letter)
        return Interval(end, End(math.inf, False, False), letter)
    if len(pieces) == 5 and _LETTER.fullmatch(pieces[2]):
        first, second = one_sign(pieces[1]), one_sign(pieces[3])
        if (first in "<≤") != (second in "<≤"):
            return None
        low, high = _end(pieces[0], first in "≤≥"), _end(pieces[4], second in "≤≥")
        if low is None or high is None:
            return None
        return Interval(low, high, pieces[2]) if first in "<≤" else Interval(high, low, pieces[2])
    return None


def is_only_interval(text: str) -> bool:
    """Whether a text can be nothing but an interval: "(1, 2)" may be a point, "[1, 2]" a list."""
    intervals = read_intervals(text)
    if intervals is None:
        return False
    [*others, last] = intervals
    if others or last.letter or "∈" in text:
        return True
    return (
        text[0] + text[-1] not in ("()", "[]")
        or math.isinf(_real(last.high.value))
        or math.isinf(_real(last.low.value))
    )


def _recognizes(text: str) -> bool:
    if is_only_interval(text):
        return True
    ends = read_range(text)
    if ends is None or re.match(r"0\d|.*\D0\d", text):
        return False  # a phone number
    return _real(ends[0].constant.value) < _real(ends[1].constant.value)


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    wanted = read_intervals(reference)
    if wanted is not None:
        read = read_intervals(answer)
        return read is not None and same_intervals(read, wanted, setting)
    ends, found = read_range(reference), read_range(answer)
    if ends is None or found is None:
        return False
    low, high = shared_unit(found)
    wanted_low, wanted_high = shared_unit(ends)
    return same_quantity(low, wanted_low, setting) and same_quantity(high, wanted_high, setting)


INTERVAL = Kind(
    name="interval",
    rule="equal ends, open or closed alike; nothing is subtracted",
    recognizes=_recognizes,
    same=_compare,
)
