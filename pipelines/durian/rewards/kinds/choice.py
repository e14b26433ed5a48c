r"""Choices: one letter or several. Compared as sets of letters; by their content where it is known.

"B", "(B)", "B.", "Option B", 选项B and "B, the red cube" choose B; "A, C", "A and C" and "(A)(C)"
choose A and C in any order, "AC" too where its letters rise. Two letters joined by "or" choose
nothing. The content of a choice stands for its letter where the reference holds it ("B. red") or
the options are known. Source: the answer forms of MMMU's, VLMEvalKit's and lmms-eval's extraction
rules; unlike those it never searches a sentence for a letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from durian.rewards.kinds.base import Kind, Setting
from durian.rewards.tidy import tidy


@dataclass(frozen=True)
class Chosen:
    """The letters that were chosen, and the words beside them, in the order of the letters."""

    letters: frozenset[str]
    content: str = ""


_LEAD = re.compile(
    r"(?:(?:the\s)?(?:(?:correct|right|best|final)\s)?(?:option|choice|answer)s?(?:\sis|\sare)?\s?:?\s?"
    r"|both\s(?=[(\[]?[A-Z]\b)"
    r"|(?:故|所以|因此|应)?(?:选择|选项?|答案)(?:是|为)?\s?:?\s?)(?=[(\[]?[A-Za-z](?![A-Za-z]{2}))",
    re.IGNORECASE,
)
_LETTER = r"[(\[]?([A-Za-z])[)\]]?"
_SEVERAL = re.compile(
    rf"{_LETTER}(?:(?:\s?[,;/&]\s?(?:and\s)?|\s?和\s?|\s?与\s?|\sand\s|\s){_LETTER})+"
)
_BRACKETED = re.compile(r"(?:[(\[][A-Za-z][)\]]\s?,?\s?){2,}")
_ONE = re.compile(
    r"[(\[]?(?P<letter>[A-Za-z])(?:[)\].:,]*|(?:[)\].:,]+\s?|[)\]]?\s-\s)(?P<content>\S.*))"
)
_GLUED = re.compile(r"(?=[A-H]{2,8}$)A?B?C?D?E?F?G?H?")
_ANOTHER = re.compile(
    r"[(\[]?[A-Za-z][)\].:,](?:\s|$)|[A-Za-z]$|(?:and|or|not|和|或|不)\b|[和或与]", re.IGNORECASE
)
_TAIL = re.compile(
    r"(?<=[A-Za-z)\]])(?:\s?选?项|都?(?:正确|对)|\s(?:is|are)\s(?:the\s)?(?:correct|right|best)"
    r"(?:\s(?:answer|option|choice|one)s?)?)$",
    re.IGNORECASE,
)
_HELD = re.compile(r"\[([^\[\]]{1,60})\]|⦃([^⦃⦄]{1,60})⦄|<([A-Za-z])>")
_LABELLED = re.compile(r"[(\[]?([A-Za-z])(?:[)\]][.:]?|[.:])\s?(\S.*)")
_PARTS = re.compile(r"\s?[,;]\s?(?:and\s)?|\sand\s")
_LETTERS = re.compile(r"[A-Za-z]")


def read_choice(text: str) -> Chosen | None:
    """Read the option that a tidied text chooses, or None."""
    led = _LEAD.match(text)
    if led is not None:
        text = text[led.end() :]
    text = _TAIL.sub("", text)
    held = _HELD.fullmatch(text)
    if held is not None:
        text = re.sub(r"['\"]", "", held[1] or held[2] or held[3]).strip()
    if _SEVERAL.fullmatch(text) or _BRACKETED.fullmatch(text):
        letters = _LETTERS.findall(re.sub(r"\band\b", "", text, flags=re.IGNORECASE))
        return Chosen(frozenset(letter.upper() for letter in letters))
    labelled = [_LABELLED.fullmatch(part) for part in _PARTS.split(text)]
    if len(labelled) > 1 and all(labelled):
        contents = {part[1].upper(): part[2] for part in labelled if part}
        return Chosen(frozenset(contents), ", ".join(contents[key] for key in sorted(contents)))
    # A letter with words behind it chooses that letter, unless the words begin like another choice:
    # "A or B", read as A, would be right half of the time.
    one = _ONE.fullmatch(text)
    if one is not None and (not one["content"] or not _ANOTHER.match(one["content"])):
        return Chosen(frozenset(one["letter"].upper()), one["content"] or "")
    return Chosen(frozenset(text)) if _GLUED.fullmatch(text) else None


def letter_of(option: str, options: tuple[str, ...]) -> str:
    """The letter of one of the options."""
    return chr(ord("A") + options.index(option))


def _recognizes(text: str) -> bool:
    chosen = read_choice(text)
    if chosen is None:
        return False
    if len(chosen.letters) == 1 and not chosen.content:
        # x is a variable: only the first ten small letters are choices.
        letter = next(character for character in reversed(text) if character.isalpha())
        return letter.isupper() or letter in "abcdefghj"
    return all(character.isupper() for character in text[:2] if character.isalpha())


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    wanted, read = read_choice(reference), read_choice(answer)
    assert wanted is not None
    if read is None:
        return bool(wanted.content) and setting.element(answer, tidy(wanted.content))
    if read.letters != wanted.letters:
        return False
    if read.content and wanted.content:
        return setting.element(tidy(read.content), tidy(wanted.content))
    return True


CHOICE = Kind(
    name="choice",
    rule="the same letters, in any order; or the content of the letter",
    recognizes=_recognizes,
    same=_compare,
)
