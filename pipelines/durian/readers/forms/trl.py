"""TRL: `prompt` is a list of messages or a text, the answer a `completion` or a `solution`."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def trl(head: Head) -> Found | None:
    """Rows of TRL's prompt-completion and prompt-only forms."""
    if head.holds_messages("prompt"):
        answers = head.present("solution", "ground_truth") or head.present("completion")
        return Found("TRL", "prompt", answers)
    if head.holds_text("prompt") and head.has("completion"):
        return Found("TRL", "prompt", ("completion",))
    return None
