"""Options of a multiple-choice problem, appended to it with their letters, one a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from durian.readers.cells import parsed, reach

# How options in one text are lettered, the surest way first.
_LETTERED = (
    re.compile(r"(?:^|[;\n]\s*|\s{2,})\(?([A-Z])\s?[.):：、]\s*", re.MULTILINE),
    re.compile(r"(?:^|[\s,;])\(([A-Z])\)\s*"),  # (A) red (B) blue
    re.compile(r"(?:^|,\s*)([A-Z])\s?[.):：、]\s*"),  # A: red, B: blue
)
_OWN_LETTER = re.compile(r"\s*\(?([A-Za-z])[.):：、]\s*(?=\S)")
_TEXTS = ("text", "content", "value")
_LABELS = ("label", "letter", "id", "key")


class UnreadableOptions(ValueError):
    """Cells that hold no options; its text is a short phrase."""


def read_options(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """The options of a row by their letters; none where its cells are empty.

    One column holds a list, a list or lettered lines as a text, or an object of letters; several
    hold an option each, by the letter that their names end in, or else by their order.

    Raises:
        UnreadableOptions: the cells hold anything else.
    """
    cells = [reach(row, name) for name in columns]
    if len(cells) == 1:
        options = _of_cell(cells[0])
    else:
        options = dict(zip(letters_of(columns), map(_content, cells), strict=True))
    options = {letter: content for letter, content in options.items() if content}
    if unknown := options.keys() - set(ascii_uppercase):
        raise UnreadableOptions(f"option '{min(unknown)[:20]}' is no letter from A to Z")
    return options


def letters_of(columns: Sequence[str]) -> list[str]:
    """The letters that columns stand for: those that end their names, or A, B, C by order."""
    ends = [re.search(r"(?:^|[^A-Za-z])([A-Za-z])$", name) for name in columns]
    letters = [end[1].upper() for end in ends if end]
    return letters if len(set(letters)) == len(columns) else list(ascii_uppercase[: len(columns)])


def with_options(problem: str, options: Mapping[str, str]) -> str:
    """The problem with its options below it, like `A. red`."""
    return "\n".join([problem, *(f"{letter}. {text}" for letter, text in options.items())])


def in_order(options: Mapping[str, str]) -> tuple[str, ...]:
    """The contents from A on; a letter that is left out is empty."""
    last = max((ascii_uppercase.index(letter) for letter in options), default=-1)
    return tuple(options.get(letter, "") for letter in ascii_uppercase[: last + 1])


def letter_at(index: int, options: Mapping[str, str]) -> str | None:
    """The letter of an option by its 0-based index; None where there is none."""
    return list(options)[index] if 0 <= index < len(options) else None


def first_index(answers: Sequence[Any], options: Sequence[Mapping[str, str]]) -> int | None:
    """The number of A where the answers of some rows are indices of their options; None: no index.

    Whole numbers are 0-based indices, unless one is out of range and all stand among the options
    themselves; a text of digits, as CSV has it, or a float, as pandas makes of integers where one
    is missing, only where one does not stand among them. They are 1-based where one is the number
    of its options, which no 0-based index is, and none is 0.
    """
    # The answer 2 to the options 1, 2, 3, 4 is the third option as an index and the second by
    # content: no row alone can say. Taken the wrong way, every sample is scored against a wrong
    # letter. So all rows of the head decide together, and the type has a say where both fit: a
    # number is an index, digits in a text (all that CSV has) are content.
    pairs = [pair for pair in zip(answers, options, strict=True) if pair[1] and pair[0] is not None]
    if not pairs or not all(is_index(answer) for answer, _ in pairs):
        return None
    among = all(str(answer).strip() in found.values() for answer, found in pairs)
    if all(letter_at(int(answer), found) for answer, found in pairs):
        return 0 if not among or isinstance(pairs[0][0], int) else None
    if among:
        return None
    if all(letter_at(int(answer) - 1, found) for answer, found in pairs):
        return 1
    return 0 if isinstance(pairs[0][0], int) else None


def is_index(answer: object) -> bool:
    """Whether a cell is a whole number, or a text of its digits."""
    if isinstance(answer, str):
        return answer.strip().isdecimal()
    if isinstance(answer, float):
        return answer.is_integer()
    return isinstance(answer, int) and not isinstance(answer, bool)


def _of_cell(cell: object) -> dict[str, str]:
    if isinstance(cell, str):
        inner = parsed(cell)
        cell = _of_text(cell) if inner is None else inner
    if cell is None:
        return {}
    if isinstance(cell, dict):
        return _of_object(cell)
    if not isinstance(cell, list):
        raise UnreadableOptions(f"options are of type {type(cell).__name__}, not a list")
    labelled = [_labelled(item) for item in cell]
    if labelled and all(labelled):
        return {
            str(label).strip().upper(): _content(text) for label, text in filter(None, labelled)
        }
    return _by_place([_content(item) for item in cell])


def _of_object(cell: Mapping[str, Any]) -> dict[str, str]:
    """An object of letters and contents, or of a list of each."""
    texts = next((cell[key] for key in _TEXTS if isinstance(cell.get(key), list)), None)
    labels = next((cell[key] for key in _LABELS if isinstance(cell.get(key), list)), None)
    if texts is not None and labels is not None and len(texts) == len(labels):
        if all(str(label).strip().isdecimal() for label in labels):
            return _by_place([_content(text) for text in texts])
        return {str(k).strip().upper(): _content(v) for k, v in zip(labels, texts, strict=True)}
    return {key.strip().upper(): _content(value) for key, value in cell.items()}


def _of_text(text: str) -> dict[str, str] | None:
    """Lettered options in one text: `A. 3 cm; B. 4 cm`."""
    if not text.strip():
        return None
    # The letters must run A, B, C without a gap, or the initials in "J. Smith; K. Jones" would be
    # taken for the letters of options.
    ways = (list(way.finditer(text)) for way in _LETTERED)
    marks = next((marks for marks in ways if _run_from_a(marks)), None)
    if marks is None:
        raise UnreadableOptions("options are a text that is no list, nor lettered from A on")
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {
        mark[1]: text[mark.end() : end].strip(" ;,\n\t")
        for mark, end in zip(marks, ends, strict=True)
    }


def _run_from_a(marks: Sequence[re.Match[str]]) -> bool:
    letters = "".join(mark[1] for mark in marks)
    return len(marks) > 1 and ascii_uppercase.startswith(letters)


def _labelled(item: object) -> tuple[Any, Any] | None:
    """Label and text of an option that is an object of both."""
    if not isinstance(item, dict):
        return None
    label = next((item[key] for key in _LABELS if item.get(key) is not None), None)
    text = next((item[key] for key in _TEXTS if item.get(key) is not None), None)
    return None if label is None or text is None else (label, text)


def _by_place(contents: Sequence[str]) -> dict[str, str]:
    if len(contents) > len(ascii_uppercase):
        raise UnreadableOptions(f"{len(contents)} options; there are letters for 26")
    # Options that bring their own letters lose them, or the problem would read "A. A. red". Only
    # where all have theirs, in order: "A. Smith" alone among names is a name.
    own = [_OWN_LETTER.match(content) for content in contents]
    letters = ascii_uppercase[: len(contents)]
    if contents and [mark[1].upper() if mark else "" for mark in own] == list(letters):
        contents = [c[mark.end() :] for c, mark in zip(contents, own, strict=True) if mark]
    return dict(zip(letters, contents, strict=True))


def _content(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):  # NaN, as pandas writes null
        return ""
    if isinstance(value, dict):
        return _content(next((value[key] for key in _TEXTS if value.get(key) is not None), None))
    return " ".join(str(value).split())
