r"""Dates and clock times. Compared part by part, never worked out.

A date with a four-digit year first or a month in words is certain; "3/4/2020" may be in March or in
April, and equals only what is written in the same order, unless a number above 12 decides. A time
of the 24-hour clock equals that of the 12-hour clock with am or pm; am and pm may be left out on
one side. Seconds of 0 may be left out. Source: ISO 8601 and the `dateutil` reading of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from durian.rewards.kinds.base import Kind, Setting
from durian.rewards.kinds.spelled import read_spelled

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WEEKDAY = re.compile(
    r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s", re.IGNORECASE
)
_YEAR_FIRST = re.compile(r"(\d{4})\s?([-/.])\s?(\d{1,2})\s?\2\s?(\d{1,2})")
_YEAR_MONTH = re.compile(r"([12]\d{3})-(0[1-9]|1[0-2])")
_YEAR_LAST = re.compile(r"(\d{1,2})\s?([-/.])\s?(\d{1,2})\s?\2\s?(\d{4}|\d{2})")
_CHINESE_DATE = re.compile(r"(?:(\d{4})\s?年\s?)?(\d{1,2})\s?月(?:\s?(\d{1,2})\s?[日号])?")
_DAY_MONTH = re.compile(
    rf"(\d{{1,2}})(?:st|nd|rd|th)?\s?(?:of\s)?[ -]?({_MONTH})\.?,?(?:[ -](\d{{4}}))?", re.IGNORECASE
)
_MONTH_DAY = re.compile(
    rf"({_MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(\d{{4}}))?", re.IGNORECASE
)
_MONTH_YEAR = re.compile(rf"({_MONTH})\.?,?\s(?:of\s)?(\d{{4}})", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?P<cn>上午|早上|下午|晚上)?\s?(?P<h>\d{1,2})(?:\s?[:.]\s?(?P<m>\d{2})(?:\s?:\s?(?P<s>\d{2}))?)?"
    r"\s?(?P<half>[ap])\.?\s?m\.?"
    r"|(?P<h2>\d{1,2})\s?(?::|(?-i:h))\s?(?P<m2>\d{2})(?:\s?:\s?(?P<s2>\d{2}))?(?:\s?h(?:rs)?)?"
    r"|(?P<cn3>上午|早上|下午|晚上)?\s?(?P<h3>\d{1,2})\s?[点时](?:\s?(?:(?P<m3>\d{1,2})\s?分?|(?P<half3>半)|整))?",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"(?:(?:(?:an?\s)?(?P<part>half|quarter)|(?P<minutes>[a-z\d-]+?(?:\s(?!min)[a-z]+)?)(?P<unit>\sminutes?)?)"
    r"\s(?P<side>past|after|to|before)\s)?(?P<hour>[a-z\d]+)",
    re.IGNORECASE,
)
_OCLOCK = re.compile(r"\s?o'\s?clock$", re.IGNORECASE)
_OF_DAY = re.compile(
    r"\s(?:in the (?:(?P<morning>morning)|afternoon|evening)|at (?P<night>night)"
    r"|(?P<am>a\.?m\.?)|p\.?m\.?)$",
    re.IGNORECASE,
)
_NAMED_HOURS = {"noon": (12, "p"), "midday": (12, "p"), "midnight": (12, "a"),
                "中午": (12, "p"), "正午": (12, "p"), "午夜": (12, "a")}  # fmt: skip


@dataclass(frozen=True)
class Date:
    """Year, month and day as far as known; as they stand where their order is doubtful."""

    parts: tuple[int | None, ...]
    certain: bool


@dataclass(frozen=True)
class Clock:
    """A time of the day, or a length of time written like one."""

    hour: int
    minute: int
    second: int
    half: str  # "a", "p" or ""


def read_moment(text: str) -> Date | Clock | None:
    """The date or the time that a tidied text is, or None."""
    if len(text) > 60:
        return None
    text = _WEEKDAY.sub("", text, count=1)
    return _date(text) or _clock(text) or _spoken(text)


def _date(text: str) -> Date | None:
    if found := _YEAR_FIRST.fullmatch(text):
        return _certain(int(found[1]), int(found[3]), int(found[4]))
    if found := _YEAR_MONTH.fullmatch(text):
        return _certain(int(found[1]), int(found[2]), None)
    if found := _CHINESE_DATE.fullmatch(text):
        if found[1] is None and found[3] is None:
            return None  # 3月 may be a length of time
        return _certain(*(None if part is None else int(part) for part in found.groups()))
    if found := _DAY_MONTH.fullmatch(text):
        return _certain(_year(found[3]), _MONTHS[found[2].lower()], int(found[1]))
    if found := _MONTH_DAY.fullmatch(text):
        return _certain(_year(found[3]), _MONTHS[found[1].lower()], int(found[2]))
    if found := _MONTH_YEAR.fullmatch(text):
        return _certain(int(found[2]), _MONTHS[found[1].lower()], None)
    if found := _YEAR_LAST.fullmatch(text):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        # Day or month first is a matter of country. A number above 12 decides; otherwise the parts
        # stay in the order written, uncertain, and equal only the same order.
        if len(found[4]) == 4 and first != second:
            if first > 12 >= second:
                return _certain(year, second, first)
            if second > 12 >= first:
                return _certain(year, first, second)
        if len(found[4]) == 4 and first == second:
            return _certain(year, first, second)
        return Date((first, second, year), certain=False) if max(first, second) <= 31 else None
    return None


def _year(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def _certain(year: int | None, month: int | None, day: int | None) -> Date | None:
    if (month is not None and not 1 <= month <= 12) or (day is not None and not 1 <= day <= 31):
        return None
    return Date((year, month, day), certain=True)


def _clock(text: str) -> Clock | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour = int(found["h"] or found["h2"] or found["h3"])
    minute = int(found["m"] or found["m2"] or found["m3"] or (30 if found["half3"] else 0))
    second = int(found["s"] or found["s2"] or 0)
    chinese = found["cn"] or found["cn3"]
    half = (found["half"] or "").lower() or (
        {"上": "a", "早": "a"}.get(chinese[0], "p") if chinese else ""
    )
    if minute > 59 or second > 59:
        return None
    return Clock(hour, minute, second, half)


def _spoken(text: str) -> Clock | None:
    """ "half past 3", "twenty to four", "5 o'clock in the morning", "noon"."""
    hour, half = _NAMED_HOURS.get(text.lower().removeprefix("12 "), (0, ""))
    if hour:
        return Clock(hour, 0, 0, half)
    day = _OF_DAY.search(text)
    if day is not None:
        if day["night"]:
            return None  # 11 at night is before midnight, 1 at night is after it
        text, half = text[: day.start()], "a" if day["morning"] or day["am"] else "p"
    oclock = _OCLOCK.search(text)
    if oclock is not None:
        text = text[: oclock.start()]
    clock = _clock(text)
    if clock is not None:
        return replace(clock, half=half or clock.half) if day or oclock else None
    found = _SPOKEN.fullmatch(text)
    if found is None:
        return None
    said = _small(found["hour"])
    if said is None or not 1 <= said <= 12:
        return None
    if not found["side"]:
        return Clock(said, 0, 0, half) if oclock else None
    minutes = {"half": 30, "quarter": 15}.get((found["part"] or "").lower())
    after = found["side"].lower() in ("past", "after")
    if minutes is None:
        minutes = _small(found["minutes"])
        # "10 to 12" is a range, and so may be "ten to twelve".
        if not after and not found["unit"] and _may_be_range(minutes, found["minutes"]):
            return None
    if minutes is None or not 0 < minutes < 60 or (minutes == 30 and not after):
        return None
    if after:
        return Clock(said, minutes, 0, half)
    return Clock((said - 2) % 12 + 1, 60 - minutes, 0, half)


def _may_be_range(minutes: int | None, written: str) -> bool:
    return minutes is None or minutes <= 12 or written.isdecimal()


def _small(text: str) -> int | None:
    if text.isdecimal():
        return int(text) if len(text) <= 2 else None
    number = read_spelled(text)
    return None if number is None or number.denominator != 1 else int(number)


def _same_clock(a: Clock, b: Clock) -> bool:
    if (a.minute, a.second) != (b.minute, b.second):
        return False
    # "3:30" and "3:30 pm" are taken as one, because answers leave out what the picture shows;
    # "15:30" and "3:30 pm" are one by the clock, and "3:30 am" is never "3:30 pm".
    if bool(a.half) != bool(b.half) and a.hour == b.hour:
        return True  # left out on one side
    if a.half or b.half:
        return _of_24(a) == _of_24(b)
    return a.hour == b.hour


def _of_24(clock: Clock) -> int:
    if not clock.half or clock.hour > 12:
        return clock.hour
    return clock.hour % 12 + (12 if clock.half == "p" else 0)


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    read, wanted = read_moment(answer), read_moment(reference)
    if isinstance(read, Clock) and isinstance(wanted, Clock):
        return _same_clock(read, wanted)
    return isinstance(read, Date) and read == wanted


MOMENT = Kind(
    name="time",
    rule="the same date or time of the day, part by part",
    recognizes=lambda text: read_moment(text) is not None,
    same=_compare,
)
