"""Units at the end of an answer, in one spelling. Nothing is converted."""

from __future__ import annotations

import re

_SPELLINGS = {
    "%": "percent pct",
    "°": "degree degrees deg",
    "°c": "celsius",
    "°f": "fahrenheit",
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard yards",
    "mi": "mile miles",
    "mg": "milligram milligrams",
    "g": "gram grams",
    "kg": "kilogram kilograms",
    "lb": "lbs pound pounds",
    "ml": "milliliter milliliters millilitre millilitres",
    "l": "liter liters litre litres",
    "s": "sec secs second seconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "mph": "",
    "km/h": "kmh kph",
    "m/s": "",
    "$": "dollar dollars",
    "unit": "units",
}
_CANONICAL = {
    spelling: unit for unit, others in _SPELLINGS.items() for spelling in (unit, *others.split())
}
_NAMES = "|".join(
    # A lone letter is a variable where it touches the number: 3m is three times m.
    (r"(?<=\s)" if len(name) == 1 and name.isalpha() else "") + re.escape(name)
    for name in sorted(_CANONICAL, key=len, reverse=True)
)
_KNOWN = re.compile(
    rf"(?<=[\d\s)}}])\s?(?:(?P<shape>square|sq|cubic|cu)\.?\s)?(?P<name>{_NAMES})"
    r"(?:\s?\^\s?\{?\s?(?P<power>[23])\s?\}?)?$",
    re.IGNORECASE,
)
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}

_WORDS = re.compile(r"(?<=[\d)}])\s(?P<first>[^\W\d_]{2,})(?:[ -][^\W\d_]+)*$")
# After a number these are part of its value, or of a formula.
_NOT_UNITS = frozenset(
    "hundred thousand million billion trillion dozen half quarter third and or to over of by plus "
    "minus times sin cos tan cot sec csc log ln exp sqrt pi inf infinity mod".split()
)


def split_unit(text: str, *, any_word: bool = False) -> tuple[str, str]:
    """The text without the unit at its end, and that unit's one spelling ("" if there is none).

    Args:
        text: a tidied answer.
        any_word: also take words that are no known unit, as in "12 apples".
    """
    found = _KNOWN.search(text)
    if found is not None:
        power = found["power"] or _POWERS.get((found["shape"] or "").lower(), "")
        return text[: found.start()].rstrip(), _CANONICAL[found["name"].lower()] + power
    words = _WORDS.search(text) if any_word else None
    if words is not None and words["first"].lower() not in _NOT_UNITS:
        return text[: words.start()], words.group().strip().lower().removesuffix("s")
    return text, ""
