r"""References: the answer that a cell means, out of its tags, its solution or its list.

| cell | answer |
| --- | --- |
| `<answer> 3 </answer>` | `3`: what the last such tags hold |
| `... #### 4` | `4`: what follows the last `####` of the last line (GSM8K) |
| a solution with a `\boxed{...}` | what the last box holds |
| a list of texts, or of objects with an `answer` (VQAv2), also as CSV spells it | any of them |
| a list of numbers | the list, as JSON |
| a list of messages | the assistant's last turn (TRL's `completion`) |
| a date, a time, a flag, a number | its text; no exponent in a number |
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from durian.readers.cells import Field, canonical, parsed, text_field
from durian.readers.messages import Turns, messages_of, read_turns
from durian.rewards import extract_answer

_LONGEST_NUMBER = 320  # digits, more than any float has; a Decimal can ask for millions
_BARE = re.compile(r"[A-Za-z0-9-][A-Za-z0-9 .,:;()+*/%$'-]*")
_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


def reference_field(cell: object) -> Field:
    """The answer of a cell; the sample id is fed the cell as it stands."""
    if isinstance(cell, str) and _BARE.fullmatch(cell):  # nearly every row: nothing to unwrap
        return Field(cell, cell)
    if isinstance(cell, list):
        return _of_list(cell)
    if isinstance(cell, dict):
        keys = ", ".join(map(str, cell))[:100]
        return Field("", canonical(cell), f"answer is a struct of {keys}; name one of them")
    if isinstance(cell, dt.date | dt.time | dt.timedelta):  # a datetime is a date
        text = str(cell) if isinstance(cell, dt.timedelta) else cell.isoformat()
        return Field(text, canonical(cell))
    field = text_field(cell, "answer")
    if field.error is not None:
        return field
    if isinstance(cell, float | Decimal):
        return Field(_plain(cell), field.key)
    accepted = parsed(field.value)
    if isinstance(accepted, list) and accepted and (texts := _accepted(accepted)) is not None:
        return _any_of(texts, field.key)
    return _any_of([field.value], field.key)


def unwrap(text: str) -> str:
    r"""The reference within `<answer>` tags, after `####` or in a box; the text itself without."""
    # Datasets often keep the whole solution where the answer should be. The most explicit mark
    # wins, and of several the last, since the end of a solution concludes it. Without any mark the
    # text is the answer as it stands.
    if tagged := _TAGS.findall(text):
        text = tagged[-1].strip()
    else:
        last = text.rstrip().rpartition("\n")[2]
        _, hashes, after = last.rpartition("####")
        if hashes and after.strip():
            return after.strip()
    return extract_answer(text) or text


def _of_list(cell: list[object]) -> Field:
    if (messages := messages_of(cell)) is not None:
        field = reply_field(read_turns(messages))
        return Field(field.value, canonical(cell), field.error)
    key = canonical(cell)
    if (texts := _accepted(cell)) is not None:
        return _any_of(texts, key)
    if all(isinstance(item, int | float | list) for item in cell):
        return Field(json.dumps(cell), key)
    return Field("", key, "answer is a list of neither texts nor numbers")


def _accepted(items: Sequence[object]) -> list[str] | None:
    """The texts of a list of accepted answers; None where one of them is no text."""
    texts = [item.get("answer") if isinstance(item, dict) else item for item in items]
    found = [text for text in texts if isinstance(text, str)]
    return found if len(found) == len(texts) else None


def _any_of(texts: Sequence[str], key: Any) -> Field:
    accepted = list(dict.fromkeys(a for text in texts if (a := unwrap(text)).strip()))
    if not accepted:
        return Field("", key, "answer is empty")
    if len(accepted) == 1:
        return Field(accepted[0], key)
    return Field(json.dumps(accepted, ensure_ascii=False), key)


def reply_field(turns: Turns | None) -> Field:
    """The answer that a last turn of the assistant holds."""
    if turns is not None and turns.reply is not None:
        return reference_field(turns.reply)
    return Field("", "\0null", "no last message of the assistant to take as the answer")


def _plain(number: float | Decimal) -> str:
    """The shortest spelling of a number without an exponent."""
    exact = Decimal(str(number))
    if abs(exact.adjusted()) > _LONGEST_NUMBER:
        return str(number)
    return format(exact, "f")
