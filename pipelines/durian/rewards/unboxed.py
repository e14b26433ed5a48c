r"""The reference outside a box: a wrong completion may be right in all but its format.

What counts is what stands last outside every box, after the reasoning: the last number where the
reference is one, the last letter of a choice where it is a choice, else as many of the last words
as the reference has. A reference that is named on the way there is no answer.
"""

from __future__ import annotations

import re

from durian.rewards.extract import final_text, outside_boxes
from durian.rewards.grade import Reference, answer_kind, grade

_LAST = 2_000  # characters that are looked at
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\$?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?\s?[%°]?")
_LETTER = re.compile(r"(?<![\w'’])[(\[]?([A-H])[)\]]?(?![\w'’])")
_TRUTH = re.compile(r"\b(?:yes|no|true|false)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?。！？](?:\s+|$)|\n+")
_AROUND = " \t*_`~#>.,;:!?。！？，；：$\"'“”‘’"


def stands_unboxed(completion: str, reference: Reference) -> bool:
    """Whether the reference stands last, outside a box, in a completion that was judged wrong.

    Safe for hostile text: linear in its length, and no algebra system is asked.
    """
    text = outside_boxes(final_text(completion))[-_LAST:]
    return any(
        grade(found, Reference((accepted,), reference.options), algebra=False).right
        for accepted in reference.accepted
        for found in _candidates(text, accepted)
    )


def _candidates(text: str, accepted: str) -> list[str]:
    """Return what may be the answer: the last words, and the last word of the reference's kind."""
    sentences = [part.strip(_AROUND) for part in _SENTENCE.split(text)]
    last = next((part for part in reversed(sentences) if part), "")
    found = _last_words(last, accepted)
    kind = answer_kind(accepted)
    if kind in ("number", "quantity"):
        found += [number.strip(_AROUND) for number in _NUMBER.findall(text)[-1:]]
    elif kind == "choice":
        found += _LETTER.findall(last)[-1:]
    elif accepted.strip().lower() in ("yes", "no", "true", "false"):
        found = _TRUTH.findall(text)[-1:]  # "Yes, it is."
    return found


def _last_words(sentence: str, accepted: str) -> list[str]:
    """As many words as the reference has, none where they are denied: "red, not blue"."""
    words = sentence.split()
    start = max(0, len(words) - max(1, len(accepted.split())))
    denied = start > 0 and words[start - 1].lower() in ("not", "isn't", "never")
    found = " ".join(words[start:]).strip(_AROUND)
    return [found] if found and not denied else []
