r"""The name in front of a value: "x = 5", "∠ABC = 30°", "f(2) = 5", "D = (0, 2)"."""

from __future__ import annotations

import re
from dataclasses import replace

from durian.rewards import formula

_SUBSCRIPT = r"(?:_\{[^{}]{1,20}\}|_\w|')*"
_NAME = re.compile(
    r"\\(?:hat|bar|tilde) ?\{ ?[A-Za-z] ?\}"
    rf"|m?\s?[∠△|]?\s?[A-Za-zα-ωΑ-Ω]{{1,4}}{_SUBSCRIPT}\|?(?:\([A-Za-z\d, ]{{1,10}}\))?"
    r"|\\?(?:sin|cos|tan|cot|log|ln)\s?∠?\s?[A-Za-zα-ω]{1,3}"
    r"|[A-Za-z]{2,12}(?: [A-Za-z]{1,12}){0,2}|[\u4e00-\u9fff]{1,8}"
)
_EQUALS = re.compile(r"\s?[=≈]\s?")
_ROUNDED = 5e-3  # a calculation may be rounded on the way: "22/7 = 3.14"


def without_name(text: str) -> tuple[str | None, str]:
    """The name and the value of a tidied text; the name is None where there is none.

    Of a calculation ("2 + 3 = 5") the value is what stands last, if its sides are equal.
    """
    if "=" not in text and "≈" not in text:
        return None, text
    *sides, last = _EQUALS.split(text)
    if not last or not all(sides):
        return None, text
    name = None
    if sides and is_name(sides[0]):
        name = re.sub(r"\s|^m(?=∠)", "", sides.pop(0))
    # A chain of equal signs is a calculation only if it holds: of "2 + 3 = 6" the 6 is no answer,
    # or a policy could write what it likes before the right number.
    if not all(_near(side, last) for side in sides):
        return None, text
    return name, last


def is_name(text: str) -> bool:
    """Whether a text can stand before an equals sign as the name of a value."""
    return _NAME.fullmatch(text) is not None


def _near(side: str, last: str) -> bool:
    worked, value = formula.read(side), formula.read(last)
    if worked is None or value is None or worked.letters or value.letters:
        return False
    rounded = replace(worked, decimal=True)
    return formula.same_formula(rounded, value, tolerance=_ROUNDED) is True
