r"""Codes, names and free text: compared letter by letter, never as mathematics.

Letter case, white space, an article in front, quotes and punctuation around do not count. In codes
(plates, versions, addresses, formulas of chemistry, scores, sizes) every other sign does; a
subscript is written out ("H_2O" is H2O), and a size may have x, × or * between its numbers. "Yes,
it is" answers "yes". Source: the normalization of VQA v2's evaluation, without its plurals.
"""

from __future__ import annotations

import re

from durian.rewards.kinds.base import Kind, Setting, squashed

_SUBSCRIPT = re.compile(r"_\s?\{\s?([^{}]{1,20}?)\s?\}|_|\^\s?\{?\s?(\d?[+-])\s?\}?")
_TIMES = re.compile(r"(?<=[\d\s])[x×*](?=[\s\d])", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:the|an|a)\s(?=\S)", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[,;:!?\"](?!\d)|(?<!\d)[,;:!?\"]|\.(?!\d)")
_YES = re.compile(
    r"(yes|no|true|false|是|否|对|错)(?:[,;:]\s?|\.\s(?!\d)|\s?-\s)(.*)", re.IGNORECASE
)
_NO_YES = re.compile(r"\b(?:yes|no|true|false|but)\b|[否错]|不[是对]", re.IGNORECASE)
_ORDINALS = {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th",
    "sixth": "6th", "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th",
}  # fmt: skip
_SHAPE = re.compile(r"^[△∠▱⊙]\s?")
_NAME_WORDS, _NAME_CHARACTERS, _NAME_IDEOGRAPHS, _CODE_WORDS = 3, 60, 5, 3


def _code(text: str) -> str:
    text = _TIMES.sub("×", _SUBSCRIPT.sub(lambda m: m[1] or m[2] or "", text))
    text = squashed(text).replace("{", "").replace("}", "")
    return _ORDINALS.get(text, text).replace(" ×", "×").replace("× ", "×")


def _words(text: str, *, punctuated: bool) -> str:
    text = _SUBSCRIPT.sub(lambda m: m[1] or m[2] or "", text)
    text = text if punctuated else _PUNCTUATION.sub(" ", text).strip()
    return squashed(_ARTICLE.sub("", text, count=1))


def _is_code(text: str) -> bool:
    if len(text.split()) > _CODE_WORDS or len(text) > _NAME_CHARACTERS:
        return False
    return any(c.isdigit() for c in text) or bool(re.search(r"[#@/\\+*=<>|×→^]", text))


def _is_name(text: str) -> bool:
    characters = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return (
        len(text.split()) <= _NAME_WORDS
        and len(text) <= _NAME_CHARACTERS
        and characters <= _NAME_IDEOGRAPHS
    )


def _compare_code(answer: str, reference: str, setting: Setting) -> bool:
    return _code(answer) == _code(reference)


def _compare_words(answer: str, reference: str, setting: Setting) -> bool:
    # Commas part the words of a list: "A, B" is not AB. In a sentence they say little.
    punctuated = _is_name(reference)
    wanted = _words(reference, punctuated=punctuated)
    if _words(answer, punctuated=punctuated) == wanted:
        return bool(wanted) or squashed(answer) == squashed(reference)
    # "Yes, it is" answers yes, as long as what follows does not take it back ("yes, but no").
    said = _YES.match(answer)
    return (
        said is not None
        and said[1].casefold() == reference.casefold()
        and _NO_YES.search(said[2]) is None
    )


CODE = Kind(
    name="code",
    rule="the same signs in the same order, without white space and letter case",
    recognizes=_is_code,
    same=_compare_code,
)
NAME = Kind(
    name="name",
    rule="the same words, without letter case, article and punctuation around",
    recognizes=_is_name,
    same=_compare_words,
)
TEXT = Kind(
    name="text",
    rule="the same words in the same order; other wordings only a judge can tell",
    recognizes=lambda text: True,
    same=_compare_words,
)
