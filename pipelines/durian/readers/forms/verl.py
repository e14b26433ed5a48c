"""verl and EasyR1: `prompt` is a list of messages, the answer `reward_model.ground_truth`."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def verl(head: Head) -> Found | None:
    """Rows of verl's Parquet files."""
    answer = "reward_model.ground_truth"
    if head.holds_messages("prompt") and head.has(answer):
        return Found("verl", "prompt", (answer,))
    return None
