"""Reasons counted by their kind: what differs between rows (paths, numbers) is not counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

# What differs: what stands in quotes, paths and file names, numbers.
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\S*[/\\]\S*|\S+\.[A-Za-z][A-Za-z0-9]{1,4}\b|\d[\d.,]*")
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
        kinds.setdefault(_VARIABLE.sub("…", text), Counter())[text] += count
    found = [(_named(kind, texts), texts.total()) for kind, texts in kinds.items()]
    return dict(sorted(found, key=lambda item: -item[1]))


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
