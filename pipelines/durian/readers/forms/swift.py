"""ms-swift: `messages`, and a `solution` beside them for GRPO."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def swift(head: Head) -> Found | None:
    """Rows of ms-swift's JSON lines."""
    if head.holds_messages("messages") and head.has("solution"):
        return Found("ms-swift", "messages", ("solution",))
    return None
