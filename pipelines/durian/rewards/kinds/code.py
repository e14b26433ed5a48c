r"""Codes: plates, versions, addresses, formulas of chemistry, scores, sizes, phone numbers.

The same signs in the same order; letter case, white space and a hyphen between letters and digits
("AB-12", "AB 12") do not count. A subscript is written out ("H_2O" is H2O), and "v1.2" is 1.2. A
size may have x, ×, * or "by" between its numbers, and its unit once or each time; a phone number
is its groups of digits, whatever stands between them. Nothing is ever worked out.
"""

from __future__ import annotations

import re

from durian.rewards.kinds.base import Kind, Setting, squashed, written_out
from durian.rewards.kinds.quantity import Quantity, read_quantity, same_quantity, shared_unit

_TIMES = re.compile(r"(?<=[\d\s])[x×*](?=[\s\d])", re.IGNORECASE)
_BY = re.compile(r"\s?[×x*]\s?(?=[\d.])|\sby\s(?=[\d.])", re.IGNORECASE)
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=\d)|(?<=\d)-(?=[^\W\d_])")
_VERSION = re.compile(r"(?:version|v\.?)\s?(?=\d+\.)", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:section|sec\.|chapter|ch\.|figure|fig\.|table|page|p\.|room|line|step|question|ean|isbn)"
    r"\s?(?=\d)",
    re.IGNORECASE,
)
_PHONE = re.compile(r"\+?\(?\d{1,4}\)?(?:[\s.-]{0,3}\(?\d{1,4}\)?){1,5}")
_PHONE_DIGITS = range(7, 16)
_ORDINALS = {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th",
    "sixth": "6th", "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th",
}  # fmt: skip
_SIGNS = re.compile(r"[#@/\\+*=<>|×→^]")
_MOST_WORDS, _MOST_CHARACTERS = 3, 60


def without_label(answer: str, reference: str) -> str:
    """The number of "page 5", where the reference is a number without such a word."""
    return _LABEL.sub("", answer, count=1) if reference[:1].isdigit() else answer


def read_size(text: str) -> list[Quantity] | None:
    """The sides of "3 x 5 cm" or "2 by 3 by 4", or None."""
    if len(text) > _MOST_CHARACTERS:
        return None
    sides = [read_quantity(side) for side in _BY.split(text)]
    known = [side for side in sides if side is not None and not side.constant.name]
    return shared_unit(known) if 2 <= len(known) <= 3 and len(known) == len(sides) else None


def _phone(text: str) -> list[str] | None:
    groups = re.findall(r"\d+", text)
    if sum(map(len, groups)) not in _PHONE_DIGITS or _PHONE.fullmatch(text) is None:
        return None
    return groups


def _plain(text: str) -> str:
    text = squashed(_VERSION.sub("", _TIMES.sub("×", written_out(text)), count=1))
    text = _HYPHEN.sub("", text.replace("{", "").replace("}", ""))
    return _ORDINALS.get(text, text).replace(" ×", "×").replace("× ", "×")


def _recognizes(text: str) -> bool:
    if len(text) > _MOST_CHARACTERS:
        return False
    if len(text.split()) > _MOST_WORDS:
        return read_size(text) is not None or _phone(text) is not None
    return any(c.isdigit() for c in text) or bool(_SIGNS.search(text))


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    answer = without_label(answer, reference)
    if _plain(answer) == _plain(reference):
        return True
    size, wanted_size = read_size(answer), read_size(reference)
    if size is not None and wanted_size is not None:
        return len(size) == len(wanted_size) and all(
            same_quantity(side, wanted, setting)
            for side, wanted in zip(size, wanted_size, strict=True)
        )
    phone = _phone(reference)
    return phone is not None and _phone(answer) in (phone, ["".join(phone)])


CODE = Kind(
    name="code",
    rule="the same signs in the same order, without white space and letter case",
    recognizes=_recognizes,
    same=_compare,
)
