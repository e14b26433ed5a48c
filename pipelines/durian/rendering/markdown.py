"""Texts of other people in Markdown: shown, and nothing else."""

from __future__ import annotations

import re

from durian.errors import one_line
from durian.rendering.text import shown_text

# All of ASCII's punctuation may stand escaped in Markdown; these mean nothing within a line.
_MARKUP = re.compile(r"""([!"#$%&'()*+.:;<=>?@\[\\\]^_`{|}~])""")


def as_text(value: object) -> str:
    """A text of other people as one line of Markdown that shows it and does nothing else."""
    return _MARKUP.sub(r"\\\1", one_line(shown_text(str(value))))
