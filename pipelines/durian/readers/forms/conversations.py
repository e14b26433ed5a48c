"""LLaVA, ShareGPT and LLaMA-Factory: `conversations` of `from` and `value`."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def conversations(head: Head) -> Found | None:
    """Rows whose last turn, of `gpt` or `assistant`, is the answer."""
    if head.holds_messages("conversations"):
        return Found("conversations", "conversations", head.present("solution", "ground_truth"))
    return None
