"""slime and miles: `prompt` is a list of messages, the answer a `label`, the rest `metadata`."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def slime(head: Head) -> Found | None:
    """Rows of slime's JSON lines, with labels in their metadata."""
    if head.holds_messages("prompt") and head.has("label") and head.has("metadata.sample_id"):
        return Found("slime", "prompt", ("label",))
    return None
