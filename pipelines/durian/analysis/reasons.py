"""Reasons counted by their kind: what differs between rows (paths, numbers) is not counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# A quoted text, or a word. Words are looked at one by one: a pattern for paths would go over a long
# text again from each of its characters.
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s'\"]+")
_EXTENSION = re.compile(r"[A-Za-z][A-Za-z0-9]{1,4}\b")
_NUMBER = re.compile(r"\d[\d.,]*")
_SEPARATORS = " :,;("


def grouped(reasons: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """Count reasons of one kind together, the most frequent first, each by its first example.

    "image not found: a/1.jpg" and "image not found: a/2.jpg" are 2 x "image not found, the first:
    a/1.jpg". A kind of which all are the same text keeps it.

    Args:
        reasons: texts in the order of the rows, or texts with counts.
    """
    kinds: dict[str, Counter[str]] = {}
    for text, count in _counted(reasons):
        kinds.setdefault(_TOKEN.sub(_without_variable, text), Counter())[text] += count
    found = [(_named(kind, texts), texts.total()) for kind, texts in kinds.items()]
    return dict(sorted(found, key=lambda item: -item[1]))


def _without_variable(token: re.Match[str]) -> str:
    """A token with an ellipsis for the part that differs: a quoted text, a path, a number."""
    text = token[0]
    if text[0] in "'\"" or "/" in text or "\\" in text:
        return "…"
    name, dot, rest = text.rpartition(".")
    if name and dot and (extension := _EXTENSION.match(rest)):
        return "…" + rest[extension.end() :]
    return _NUMBER.sub("…", text)


def _counted(reasons: Iterable[str] | Mapping[str, int]) -> Iterable[tuple[str, int]]:
    return reasons.items() if isinstance(reasons, Mapping) else ((text, 1) for text in reasons)


def _named(kind: str, texts: Counter[str]) -> str:
    first = next(iter(texts))
    if len(texts) == 1:
        return first
    head, tail = kind.split("…", 1) if kind.count("…") == 1 else ("", "")
    if head:
        variable = first[len(head) : len(first) - len(tail)]
        return f"{head.rstrip(_SEPARATORS)}{tail}, the first: {variable}"
    return f"{kind}, the first: {first}"
