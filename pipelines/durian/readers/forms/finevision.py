"""FineVision and The Cauldron: `texts`, a list of pairs of `user` and `assistant`."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def finevision(head: Head) -> Found | None:
    """Rows whose last `assistant` is the answer."""
    return Found("FineVision", "texts") if head.holds_messages("texts") else None
