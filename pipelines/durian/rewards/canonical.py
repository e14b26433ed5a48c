"""Equality among a sample's completions: which of them gave one and the same answer.

Each answer has a canonical form by its kind: equal forms are one answer. Forms that still may be
one ("5" and "5 cm", "1, 2" and "x = 1 or x = 2") are then judged against each other, the most
common first, at most G - 1 times a sample and without an algebra system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from durian.rewards import formula
from durian.rewards.grade import MAX_LENGTH, answer_kind, grade
from durian.rewards.kinds.base import squashed
from durian.rewards.kinds.choice import read_choice
from durian.rewards.kinds.moment import read_moment
from durian.rewards.kinds.quantity import read_quantity
from durian.rewards.tidy import tidy


def distinct_answers(answers: Sequence[str | None]) -> list[int | None]:
    """The number of each completion's answer among the distinct ones; None where it gave none.

    Numbers go by how many completions gave the answer, 0 is the most common one.
    """
    forms = [None if answer is None else canonical(answer) for answer in answers]
    counts = Counter(form for form in forms if form is not None)
    written = {form: a for form, a in zip(forms, answers, strict=True) if form is not None and a}
    merged: dict[str, str] = {}  # a form to the form that it is one with
    # Forms that differ may still mean the same, and only a comparison tells. At most G - 1 of them
    # are made, the commonest forms first, since pairs grow with the square of G and a form that
    # stands once moves the entropy least.
    left = len(answers) - 1
    for form, _ in counts.most_common():
        for other in dict.fromkeys(merged.values()):
            if left <= 0:
                break
            left -= 1
            if grade(written[form], written[other], algebra=False).right:
                merged[form] = other
                break
        merged.setdefault(form, form)
    sizes = Counter(merged[form] for form in forms if form is not None)
    number = {form: place for place, (form, _) in enumerate(sizes.most_common())}
    return [None if form is None else number[merged[form]] for form in forms]


@lru_cache(maxsize=16_384)
def canonical(answer: str) -> str:
    """Bring the ways to write one answer to one text, as far as its own kind can tell."""
    text = answer.strip()
    if len(text) > MAX_LENGTH:
        return text
    kind, plain = answer_kind(text), tidy(text)
    if kind in ("number", "quantity"):
        quantity = read_quantity(plain)
        if quantity is not None:
            unit = quantity.unit
            value = quantity.constant.value * (1 if unit is None else unit.factor)
            powers = () if unit is None else sorted(unit.powers.items())
            percent = "%" * quantity.constant.percent
            return f"{_rounded(value)}{percent} {powers or ''}".strip()
    if kind == "choice" and (chosen := read_choice(plain)) is not None:
        return ", ".join(sorted(chosen.letters))
    if kind == "time" and (moment := read_moment(plain)) is not None:
        return str(moment)
    if kind == "expression" and (values := _fingerprint(plain)) is not None:
        return values
    return squashed(plain)


def _rounded(value: formula.Number) -> str:
    if isinstance(value, Fraction) and value.denominator == 1:
        return str(value.numerator) if abs(value) < 10**30 else f"{value.numerator:#x}"
    if isinstance(value, complex):
        return f"{value:.6g}"
    try:
        return f"{float(value):.6g}"
    except OverflowError:
        return str(value)


def _fingerprint(text: str) -> str | None:
    read = formula.read(text)
    if read is None or not read.marked:
        return None
    letters = sorted(read.letters)
    values = [formula.value(read, formula.point(letters, number)) for number in range(3)]
    if any(value is None for value in values):
        return None
    worked = ", ".join(_rounded(value) for value in values if value is not None)
    return f"{','.join(letters)}: {worked}"
