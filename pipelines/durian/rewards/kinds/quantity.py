r"""Quantities: a number with a unit. Compared as numbers, once their units are of one kind.

The unit may be left out on one side ("5" is "5 cm"); both of one kind are converted ("5 cm" is
"0.05 m"); of two kinds they are never equal ("5 cm" and "5 cm^2", "£5" and "€5"). A lone letter
that touches the number (3m, 12A) may be a variable or a label: it is a unit only where the other
side has that unit too. Source: `units.py`; numbers as in `number.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from durian.rewards.kinds.base import Kind, Setting
from durian.rewards.kinds.named import without_name
from durian.rewards.kinds.number import Constant, read_number, same_constant
from durian.rewards.kinds.spelled import read_spelled
from durian.rewards.units import RADIANS, Unit, is_counter, known_unit, read_unit


@dataclass(frozen=True)
class Quantity:
    """A constant with its unit."""

    constant: Constant
    unit: Unit | None
    touching: bool = False  # the unit is a lone letter that touches the number


_CURRENCY_BEFORE = re.compile(
    r"(?P<sign>[+-]?)\s?(?P<unit>US＄|[＄€£¥₹₩]|USD|EUR|GBP|RMB|CNY|INR|Rs\.?|HK＄)\s?(?=[\d.\\])"
)
_UNIT_START = re.compile(r"(?<![A-Za-z\\])[A-Za-zμΩÅ°'\"＄€£¥₹₩¢\u4e00-\u9fff]")
_NUMERALS = frozenset("零〇一二两三四五六七八九十百千万亿")
_DECADE = re.compile(r"[12]\d\d0s")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?([^\d.,;]+)")
_COMPOUND = re.compile(rf"(?:{_PART.pattern}){{2,3}}")
_ARC = re.compile(r"(\d{1,3})\s?°\s?(\d{1,2}(?:\.\d+)?)\s?'(?:\s?(\d{1,2}(?:\.\d+)?)\s?(?:\"|''))?")
_BRACKETED_UNIT = re.compile(r"(.*\S)\s?\(([^()]{1,20})\)")
_STARTS = 12  # places where a unit may begin


def read_quantity(text: str) -> Quantity | None:
    """The number and the unit, if it has one, that a tidied text is; else None."""
    name, text = without_name(text)
    number = read_number(text)
    if number is not None:
        return Quantity(replace(number, name=name), None)
    bracketed = _BRACKETED_UNIT.fullmatch(text)
    if bracketed is not None and known_unit(bracketed[2]) is not None:
        text = f"{bracketed[1]} {bracketed[2]}"  # "5 (cm)"
    if _DECADE.fullmatch(text):
        return None
    compound = _compound(text, name)  # first: the 2 of 6'2" is no power of feet
    if compound is not None:
        return compound
    currency = _CURRENCY_BEFORE.match(text)
    if currency is not None:
        number = read_number(currency["sign"] + text[currency.end() :])
        unit = read_unit(currency["unit"].rstrip("."))
        if number is not None:
            return Quantity(replace(number, name=name), unit)
    # The unit may begin at any letter, as "2 x 10^3 kg" has several: the first place with a unit
    # behind it and a number before it counts, so the unit is the longest there is. Bounded, for
    # each place is a parse.
    for place in [found.start() for found in _UNIT_START.finditer(text)][:_STARTS]:
        before, after = text[:place], text[place:]
        if not before:
            continue
        unit = read_unit(after)
        if unit is None:
            continue
        number = read_number(before)
        if before[-1] in _NUMERALS and not is_counter(after[0]):
            if after in ("角", "月") or known_unit(after) is None:
                continue  # 三角形 is no 3 of anything, 二月 is February
        if before.endswith("-") or read_spelled(after.split()[0]) is not None:
            continue  # "twenty-five dollars" are not 20
        if number is not None and not number.percent:
            touching = (
                len(after) == 1 and after.isalpha() and after.isascii() and not before.endswith(" ")
            )
            return Quantity(replace(number, name=name), unit, touching)
    return None


def _compound(text: str, name: str | None) -> Quantity | None:
    """ "1 m 20 cm", "30°15'": a sum of ever smaller units of one kind."""
    arc = _ARC.fullmatch(text)
    if arc is not None:
        degrees, minutes, seconds = (Fraction(part or 0) for part in arc.groups())
        total = degrees + minutes / 60 + seconds / 3600
        return Quantity(Constant(total, True, False, name), Unit(Fraction(1), {"°": 1}))
    if len(text) > 60 or _COMPOUND.fullmatch(text) is None:
        return None
    total, units = Fraction(0), list[Unit]()
    for number, after in _PART.findall(text):
        unit = known_unit(after.strip())
        if unit is None or (units and not units[-1].same_kind(unit)):
            return None
        if units and unit.factor >= units[-1].factor:
            return None
        units.append(unit)
        total += Fraction(number) * unit.factor
    first = units[0]
    return Quantity(Constant(total / first.factor, "." in text, False, name), first)


def same_quantity(answer: Quantity, reference: Quantity, setting: Setting) -> bool:
    """Whether two quantities are equal."""
    a, b = answer, reference
    if a.unit is not None and b.unit is not None and a.unit.powers and b.unit.powers:
        if not a.unit.same_kind(b.unit):
            return False
        scaled = replace(a.constant, value=a.constant.value * (a.unit.factor / b.unit.factor))
        return same_constant(scaled, b.constant, setting)
    if (a.constant.percent and b.unit is not None) or (b.constant.percent and a.unit is not None):
        return False
    if same_constant(a.constant, b.constant, setting):
        return not (a.touching or b.touching)
    # Radians go without a unit: π/6 is 30°.
    degrees = Unit(Fraction(1), {"°": 1})
    if b.unit == degrees and a.unit is None and isinstance(a.constant.value, float):
        worked = replace(b.constant, value=b.constant.value * RADIANS)
        return same_constant(a.constant, worked, setting)
    if a.unit == degrees and b.unit is None and isinstance(b.constant.value, float):
        worked = replace(a.constant, value=a.constant.value * RADIANS)
        return same_constant(worked, b.constant, setting)
    return False


def shared_unit(quantities: Sequence[Quantity]) -> list[Quantity]:
    """ "10-20 cm" is "10 cm-20 cm", and "10-20%" is "10%-20%"."""
    unit = next((q.unit for q in quantities if q.unit is not None), None)
    percent = any(q.constant.percent for q in quantities)
    return [
        Quantity(Constant(q.constant.value, q.constant.decimal, percent, None), q.unit or unit)
        for q in quantities
    ]


def compare(answer: str, reference: str, setting: Setting) -> bool:
    """The rule of numbers and of quantities."""
    wanted = read_quantity(reference)
    read = read_quantity(answer)
    if wanted is None or read is None:
        return False
    return same_quantity(read, wanted, setting)


QUANTITY = Kind(
    name="quantity",
    rule="equal numbers, with units of one kind or a unit left out",
    recognizes=lambda text: read_quantity(text) is not None,
    same=compare,
)
