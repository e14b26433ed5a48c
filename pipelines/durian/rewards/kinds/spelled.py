r"""Numbers in words, English and Chinese: "twenty-five", "two thirds", 十二, 三分之一.

A word is a number only where all of the text is: "twenty-five" and "one hundred and twenty", not
"one two". What is neither a cardinal nor a share ("third", "dozen") is left a word.
"""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
_UNITS += "fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: number for number, word in enumerate(_UNITS.split())}
_SMALL |= {word: 20 + 10 * number for number, word in enumerate(_TENS.split())}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SHARES = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6,
           "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100}  # fmt: skip
_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6,
           "七": 7, "八": 8, "九": 9}  # fmt: skip
_MULTIPLES = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "亿": 10**8}
_CHINESE = re.compile(r"[零〇一二两三四五六七八九十百千万亿点]{1,20}")
_LONGEST = 80  # characters


def read_spelled(text: str) -> Fraction | None:
    """The number that a tidied text says in words, or None."""
    if not text or len(text) > _LONGEST or any(character.isdigit() for character in text):
        return None
    bottom, parted, top = text.partition("分之")
    if parted:
        above, below = _chinese(top), _chinese(bottom)
        return None if above is None or not below else above / below
    if _CHINESE.fullmatch(text):
        return _chinese(text)
    return _english(text.lower().replace("-", " ").split())


def _english(words: list[str]) -> Fraction | None:
    if not words:
        return None
    share = _SHARES.get(words[-1].removesuffix("s"))
    if share is None:
        return _cardinal(words)
    if "and" in words[:-1]:  # one and a half
        place = len(words) - 2 - words[-2::-1].index("and")
        whole, part = _cardinal(words[:place]), _english(words[place + 1 :])
        return None if whole is None or part is None or part >= 1 else whole + part
    if words in (["half"], ["quarter"]) or words[:-1] == ["a"]:
        return Fraction(1, share)
    top = _cardinal(words[:-1])
    return None if top is None else top / share


def _cardinal(words: list[str]) -> Fraction | None:
    # From left to right: `group` gathers a number below 1,000; "thousand" and its like multiply it
    # and add it to the total, each smaller than the one before. A word that does not fit where it
    # stands makes the whole text no number, since words are read so only where they can mean
    # nothing else.
    total, group, scale, last = 0, 0, 10**15, ""
    for word in words:
        large = _LARGE.get(word)
        if word == "and":
            if last not in ("hundred", *_LARGE):
                return None
        elif word == "a":
            if last:
                return None
            group = 1
        elif word == "hundred":
            if not 0 < group < 10:
                return None
            group *= 100
        elif large is not None:
            if not 0 < group or large >= scale:
                return None
            total, group, scale = total + group * large, 0, large
        elif (small := _SMALL.get(word)) is not None:
            # Under 20 no word stands for two digits: "twenty five" but neither "one two" nor
            # "ten five".
            room = 10 if 0 < small < 10 and group % 100 >= 20 else 100
            if group % room or last == "a" or (small == 0 and len(words) > 1):
                return None
            group += small
        else:
            return None
        last = word
    return None if last in ("", "a", "and") else Fraction(total + group)


def _chinese(text: str) -> Fraction | None:
    whole, point, decimals = text.partition("点")
    if point:
        number, after = _chinese(whole), _digits(decimals)
        if number is None or after is None or "点" in decimals:
            return None
        return number + Fraction(int(after), 10 ** len(after))
    if not any(character in _MULTIPLES or character in _MYRIADS for character in text):
        # Digits alone spell a number one by one (二〇二四); just two of them more often say "two or
        # three".
        digits = _digits(text)
        return None if digits is None or len(digits) == 2 else Fraction(int(digits))
    # `section` gathers what stands before 万 or 亿, which multiply all that came before them.
    total = section = 0
    digit: int | None = None
    for place, character in enumerate(text):
        if character in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[character]
        elif character in _MULTIPLES:
            if digit is None and not (character == "十" and place == 0):
                return None
            section += (1 if digit is None else digit) * _MULTIPLES[character]
            digit = None
        else:
            section += digit or 0
            if not section + total:
                return None
            total, section, digit = (total + section) * _MYRIADS[character], 0, None
    return Fraction(total + section + (digit or 0))


def _digits(text: str) -> str | None:
    known = [str(_DIGITS[c]) for c in text if c in _DIGITS]
    return "".join(known) if known and len(known) == len(text) else None
