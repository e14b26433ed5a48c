r"""Names and free text: the same words in the same order, never as mathematics.

Letter case, white space, an article in front, quotes, periods and punctuation around do not count,
nor does a hyphen between two words; "Mon" is Monday, and "Yes, it is" answers "yes". Formulas of
chemistry keep their case: Co is not CO. Source: the normalization of VQA v2's evaluation, without
its plurals.
"""

from __future__ import annotations

import re

from durian.rewards.kinds.base import Kind, Setting, squashed, written_out
from durian.rewards.kinds.named import is_name

_ARTICLE = re.compile(r"(?:the|an|a)\s(?=\S)", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[,;:!?\"](?!\d)|(?<!\d)[,;:!?\"]|\.(?!\d)")
# Not of "x-y", nor of "A-B".
_HYPHEN = re.compile(r"(?<=[^\W\d_]{2})-(?=[^\W\d_])|(?<=[^\W\d_])-(?=[^\W\d_]{2})")
_PERIOD = re.compile(r"(?<![\d.])\.(?![\d.])")
_YES = re.compile(
    r"(yes|no|true|false|是|否|对|错)(?:[,;:]\s?|\.\s(?!\d)|\s?-\s)(.*)", re.IGNORECASE
)
_NO_YES = re.compile(r"\b(?:yes|no|true|false|but)\b|[否错]|不[是对]", re.IGNORECASE)
_SHORT = {
    "mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday",
    "thur": "thursday", "thurs": "thursday", "fri": "friday", "sat": "saturday", "sun": "sunday",
    "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june",
    "jul": "july", "aug": "august", "sep": "september", "sept": "september", "oct": "october",
    "nov": "november", "dec": "december",
}  # fmt: skip
_OTHER_MEANING = frozenset(("sun", "sat", "wed", "mar", "jan"))
_SAME = {"y": "yes", "n": "no", "是": "yes", "是的": "yes", "否": "no", "不是": "no",
         "对": "true", "正确": "true", "错": "false", "错误": "false"}  # fmt: skip
_ELEMENTS = re.compile(
    r"(?:A[cglmrstu]|B[aeihkr]?|C[adeflmnorsu]?|D[bsy]|E[rsu]|F[elmr]?|G[ade]|H[efgos]?|I[nr]?|Kr?|"
    r"L[airuv]|M[cdgnot]|N[abdehiop]?|O[gs]?|P[abdmortu]?|R[abefghnu]|S[bcegimnr]?|T[abcehilms]|U|"
    r"V|W|Xe|Yb?|Z[nr]){1,12}"
)
_NAME_WORDS, _NAME_CHARACTERS, _NAME_IDEOGRAPHS = 3, 60, 5


def _is_name(text: str) -> bool:
    characters = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return (
        len(text.split()) <= _NAME_WORDS
        and len(text) <= _NAME_CHARACTERS
        and characters <= _NAME_IDEOGRAPHS
    )


def _words(text: str, *, name: bool) -> str:
    text = written_out(text)
    if name:  # commas part the words of a list: "A, B" is not AB
        text = _PERIOD.sub("", _HYPHEN.sub(" ", text))
    else:
        text = _PUNCTUATION.sub(" ", text).strip()
    words = squashed(_ARTICLE.sub("", text, count=1))
    return _SAME.get(words, words)


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    name = _is_name(reference)
    said, wanted = _words(answer, name=name), _words(reference, name=name)
    if said == wanted:
        return bool(wanted) and not _other_formula(answer, reference)
    if _SHORT.get(said) == wanted or (said == _SHORT.get(wanted) and wanted not in _OTHER_MEANING):
        return True
    # "Yes, it is" answers yes, as long as what follows does not take it back ("yes, but no").
    reason = _YES.match(answer)
    if reason is not None and _words(reason[1], name=True) == wanted:
        return _NO_YES.search(reason[2]) is None
    named, equals, value = answer.partition("=")  # "F = ma"
    return bool(equals) and is_name(named.strip()) and _words(value.strip(), name=name) == wanted


def _other_formula(answer: str, reference: str) -> bool:
    """Whether two texts that differ in letter case are two formulas of chemistry."""
    return (
        answer != reference
        and reference.lower() != "no"
        and _ELEMENTS.fullmatch(answer) is not None
        and _ELEMENTS.fullmatch(reference) is not None
    )


NAME = Kind(
    name="name",
    rule="the same words, without letter case, article and punctuation around",
    recognizes=_is_name,
    same=_compare,
)
TEXT = Kind(
    name="text",
    rule="the same words in the same order; other wordings only a judge can tell",
    recognizes=lambda text: True,
    same=_compare,
)
