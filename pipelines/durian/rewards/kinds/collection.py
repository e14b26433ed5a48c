r"""Sets and sequences: several values, each compared by its own kind.

In any order: a set in braces, solutions ("1, -4", "x = 1 or x = -4", "1 ± √2"), what is joined by
"and". In order: points and lists in brackets, ratios, words by commas, lists with "…", lists by
semicolons, and all where the question asks for an order. Names count: "x = 2, y = 3" is "y = 3,
x = 2". Source: math-verify's sets and tuples; its set of a bare list forgets how often a value
occurs, this one does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from durian.rewards.kinds.base import Kind, Setting, squashed
from durian.rewards.kinds.choice import read_choice
from durian.rewards.kinds.interval import is_only_interval, read_intervals, same_intervals
from durian.rewards.kinds.named import is_name
from durian.rewards.kinds.quantity import read_quantity

_OPENING = {"(": ")", "[": "]", "{": "}", "⦃": "⦄"}
_CLOSING = frozenset(_OPENING.values())
_JOINED = re.compile(
    r"\s?(?P<comma>[,;⏎])\s?(?:(?:and|or)\s)?|\s(?P<word>and|or|&)\s|\s?(?P<cn>和|或|与|以及)\s?",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<=\d),\d{3}(?!\d)")
_OR = re.compile(r"\bor\b|或", re.IGNORECASE)
_NAMED = re.compile(r"\s?=\s?")
_POINT = re.compile(
    r"(?:(?:the\s)?(?:point|vector|vertex|cent(?:er|re)|coordinates?(?:\sare|\sis)?)\s)?"
    r"(?:[A-Za-z]'?\s?=?\s?)?(?=\()",
    re.IGNORECASE,
)
_ANGLED = re.compile(r"<([^<>]{1,200},[^<>]{1,200})>")  # a vector
_MEMBER = re.compile(r"^[A-Za-z](?:_\w)?\s?∈\s?(?=⦃)")  # of a set of solutions
_TO = re.compile(r"\d+(?:\.\d+)?\sto\s\d+(?:\.\d+)?")
_ASKS_FOR_ORDER = re.compile(
    r"\b(?:ascending|descending|(?:in|increasing|decreasing) order|order(?:ed)? (?:from|of|by)|"
    r"sort|sorted|arrange|rank|ranking|sequence|respectively|"
    r"from (?:left|top|small|large|low|high|first))|从[小大左上低高]|顺序|依次|排列|分别",
    re.IGNORECASE,
)
_IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")
_MOST = 60  # elements
_LONGEST = 600  # characters


@dataclass(frozen=True)
class Collection:
    """The elements of a text, its brackets and whether their order counts."""

    elements: tuple[str, ...]
    brackets: str  # "()", "[]", "⦃⦄", ":" of a ratio, or ""
    ordered: bool
    joined: bool  # by "and" or "or"
    either: bool = False  # by "or"


def read_collection(text: str) -> Collection | None:
    """The elements of a tidied text, or None if it is no list."""
    if text == "∅":
        return Collection((), "⦃⦄", ordered=False, joined=False)
    if len(text) > _LONGEST:
        return None
    # From the surest sign of a list to the weakest: brackets around all of it, the colons of a
    # ratio, and only then commas and words between.
    text = _ANGLED.sub(r"(\1)", text) if text.startswith("<") else text
    text = _MEMBER.sub("", text, count=1)
    named = _POINT.match(text)
    if named is not None and _bracketed(text[named.end() :]):
        text = text[named.end() :]
    if _bracketed(text) and text[0] != "{":
        inner = _split(text[1:-1])
        if inner is not None and (len(inner[0]) > 1 or text[0] == "⦃"):
            brackets = text[0] + text[-1]
            return Collection(inner[0], brackets, ordered=text[0] != "⦃", joined=False)
    ratio = [part.strip() for part in text.split(":")]
    if len(ratio) > 1 and all(re.fullmatch(r"[\w.+\\{}\s^/…-]{1,30}", part) for part in ratio):
        return Collection(tuple(ratio), ":", ordered=True, joined=False)
    both = _both_signs(text)
    split = _split(both)
    if split is None or len(split[0]) < 2:
        return None
    elements, joined, semicolon = split
    ordered = (semicolon or "…" in text) and both == text
    return Collection(
        elements,
        "",
        ordered=ordered,
        joined=joined or both != text,
        either=_OR.search(text) is not None,
    )


def _bracketed(text: str) -> bool:
    """Whether one pair of brackets holds the whole text."""
    if len(text) < 2 or _OPENING.get(text[0]) != text[-1]:
        return False
    depth = 0
    for place, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0:
            return place == len(text) - 1
    return False


def _split(text: str) -> tuple[tuple[str, ...], bool, bool] | None:
    """The elements outside of brackets; whether "and" joins them, and whether a semicolon does."""
    depths, depth = [], 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        depths.append(depth)
        if depth < 0:
            return None
    if depth:
        return None
    # Where some comma has a space behind it, a comma before three digits that has none groups
    # thousands: "1,200, 3" has two elements. Without any such space all commas are alike, and
    # "1,200,3" has three.
    spaced = ", " in text
    elements, start, joined, semicolon = [], 0, False, False
    for found in _JOINED.finditer(text):
        if depths[found.start()] != 0 or (
            found.end() <= len(text) and depths[found.end() - 1] != 0
        ):
            continue
        if spaced and text[found.start()] == "," and _THOUSANDS.match(text, found.start()):
            continue
        joined |= found["word"] is not None or found["cn"] is not None
        semicolon |= found["comma"] == ";"
        elements.append(text[start : found.start()].strip())
        start = found.end()
    elements.append(text[start:].strip())
    if not all(elements) or len(elements) > _MOST:
        return None if any(elements) else ((), False, False)
    return tuple(elements), joined, semicolon


def _both_signs(text: str) -> str:
    if "±" not in text and "∓" not in text:
        return text
    if text.count("±") + text.count("∓") > 4 or _split(text) is None or len(_split(text)[0]) > 1:  # type: ignore[index]
        return text
    above = text.replace("±", "+").replace("∓", "-")
    below = text.replace("±", "-").replace("∓", "+")
    return f"{above.removeprefix('+')}, {below.removeprefix('+')}"


def _values(elements: tuple[str, ...]) -> tuple[list[str | None], list[str]]:
    """The names and the values of elements such as "x_1 = 2"."""
    names: list[str | None] = []
    values = []
    for element in elements:
        parts = _NAMED.split(element)
        named = len(parts) == 2 and is_name(parts[0])
        names.append(squashed(parts[0]) if named else None)
        values.append(parts[1] if named else element)
    if names[0] is not None and not any(names[1:]):
        names[0] = None  # "x = 1, 2"
    return names, values


def _one_letter(names: list[str | None]) -> bool:
    return len({name[:1] for name in names if name}) <= 1


def _match(answers: list[str], references: list[str], ordered: bool, setting: Setting) -> bool:
    if len(answers) != len(references):
        return False
    if ordered:
        return all(setting.element(a, r) for a, r in zip(answers, references, strict=True))
    left = list(answers)
    for reference in references:
        # Each reference takes the first answer that equals it, and takes it away: 1, 1, 2 is not 1,
        # 2, 2.
        place = next((i for i, a in enumerate(left) if setting.element(a, reference)), None)
        if place is None:
            return False
        del left[place]
    return True


def _distinct(elements: tuple[str, ...], setting: Setting) -> list[str]:
    kept: list[str] = []
    for element in elements:
        if not any(setting.element(element, other) for other in kept):
            kept.append(element)
    return kept


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    wanted = read_collection(reference)
    assert wanted is not None
    if wanted.brackets == ":" and _TO.fullmatch(answer):
        answer = answer.replace(" to ", ":")  # "3 to 4" alone is a range
    read = read_collection(answer)
    if wanted.brackets in ("()", "[]") and len(wanted.elements) == 2:
        intervals, found = read_intervals(reference), read_intervals(answer)
        if intervals is not None and found is not None and is_only_interval(answer):
            return same_intervals(found, intervals, setting)
    if read is None:
        return False
    if read.brackets and wanted.brackets and read.brackets != wanted.brackets:
        return False
    if ":" in (read.brackets, wanted.brackets) and read.brackets != wanted.brackets:
        return False
    if not wanted.elements or not read.elements:
        return not wanted.elements and not read.elements
    # A set forgets order and repetition, also where only one side wrote its braces.
    if "⦃⦄" in (read.brackets, wanted.brackets):
        answers, references = _distinct(read.elements, setting), _distinct(wanted.elements, setting)
        return _match(answers, references, False, setting)
    if read.either and not wanted.either and not all(_is_value(e) for e in wanted.elements):
        return False  # "red or blue" is a guess at "red and blue"; "1 or -4" are two solutions
    names, answers = _values(read.elements)
    wanted_names, references = _values(wanted.elements)
    # Names of several variables, as in "x = 2, y = 3", decide what is compared with what. Names of
    # one variable ("x = 1 or x = -4", x_1 and x_2) only say that these are its values.
    if all(names) and all(wanted_names) and not (_one_letter(names) and _one_letter(wanted_names)):
        pairs = dict(zip(names, answers, strict=True))
        return len(names) == len(wanted_names) and all(
            name in pairs and setting.element(pairs[name], value)
            for name, value in zip(wanted_names, references, strict=True)
        )
    if wanted.brackets and any(names) and _one_letter(names):
        return False  # two values of one x are no point
    return _match(
        answers, references, _ordered(read, wanted, names, wanted_names, setting), setting
    )


def _ordered(
    read: Collection,
    wanted: Collection,
    names: list[str | None],
    wanted_names: list[str | None],
    setting: Setting,
) -> bool:
    if read.ordered or wanted.ordered or not (_one_letter(names) and _one_letter(wanted_names)):
        return True
    if _ASKS_FOR_ORDER.search(setting.question):
        return True
    if read.joined or wanted.joined:
        return False
    return not all(_is_value(element) for element in (*read.elements, *wanted.elements))


def _is_value(element: str) -> bool:
    """Whether it is a number or the like, of which solutions are made, and no word."""
    return (
        read_quantity(element) is not None
        or bool(set(element) & set("\\^=+√(["))
        or (element.isupper() and read_choice(element) is not None)
    )


def _recognizes(text: str) -> bool:
    read = None if "\\begin" in text else read_collection(text)
    if read is None:
        return False
    words = max((len(element.split()) for element in read.elements), default=0)
    ideographs = max((len(_IDEOGRAPH.findall(e)) for e in read.elements), default=0)
    return (
        words <= 3
        and ideographs <= 5
        and not re.match(r"(?:yes|no|true|false)\b", text, re.IGNORECASE)
    )


COLLECTION = Kind(
    name="list",
    rule="as many elements, each equal by its own kind; the order counts in brackets, ratios, "
    "lists by semicolons and words by commas, and where the question asks for one",
    recognizes=_recognizes,
    same=_compare,
)
