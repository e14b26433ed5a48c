"""OpenAI's chat form: `messages`, their content a text or parts (`text`, `image_url`)."""

from __future__ import annotations

from durian.readers.forms.found import Found
from durian.readers.head import Head


def openai(head: Head) -> Found | None:
    """Rows of chat messages; the last turn, of the assistant, is the answer."""
    if head.holds_messages("messages"):
        return Found("messages", "messages", head.present("ground_truth", "completion"))
    return None
