"""The kinds of reference, one rule each. Add a kind: a `Kind` in a file here and a line in KINDS.

base.py        what a kind is
choice.py      letters of a choice                      moment.py      dates and clock times
number.py      constants, per cent                      interval.py    intervals and ranges
quantity.py    numbers with units                       collection.py  sets and sequences
expression.py  numbers, expressions, equations          code.py        codes, sizes, phone numbers
named.py       the name in front of a value              words.py       names, free text
spelled.py     numbers in words
"""

from __future__ import annotations

from durian.rewards.kinds.base import Kind, Setting
from durian.rewards.kinds.choice import CHOICE
from durian.rewards.kinds.code import CODE
from durian.rewards.kinds.collection import COLLECTION
from durian.rewards.kinds.expression import EXPRESSION, NUMBER
from durian.rewards.kinds.interval import INTERVAL
from durian.rewards.kinds.moment import MOMENT
from durian.rewards.kinds.quantity import QUANTITY
from durian.rewards.kinds.words import NAME, TEXT

# The first that recognizes a reference is its kind; the last recognizes all. What reads most like
# something else comes first: A is a choice before it is a variable, 2020-01-02 a date before it is
# a difference, 25-34 a range before it is an expression.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        CHOICE, MOMENT, NUMBER, QUANTITY, INTERVAL, COLLECTION, EXPRESSION, CODE, NAME, TEXT
    )
}  # fmt: skip

__all__ = ["KINDS", "Kind", "Setting"]
