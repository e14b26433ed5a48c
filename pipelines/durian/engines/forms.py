"""The form in which a policy's chat template takes messages, found by trying it once.

Public templates want a message as a list of parts or as one text, a system message otherwise than
a user's, or none at all; and what does not suit them they print, leave out or raise on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from durian.errors import one_line
from durian.records import JsonObject

_SYSTEM, _PROBLEM = "durian's trial system text", "durian's trial problem"
# A list of parts as Jinja prints it, and as its `tojson` does, where a template wants a text.
_PRINTED = ("{'type': ", '{"type": ')


@dataclass(frozen=True)
class Form:
    """How the texts and images of a prompt become messages."""

    system: Literal["parts", "text", "none"]  # none: it goes in front of the user's text
    user: Literal["parts", "text"]


# As transformers describes messages first, and the furthest from it last. Images as parts come
# before a system message of its own: a template that refuses the two together must see both.
FORMS = (
    Form("parts", "parts"),
    Form("text", "parts"),
    Form("none", "parts"),
    Form("text", "text"),
    Form("none", "text"),
)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a policy's template does with prompts in the form that suits it best."""

    form: Form
    refused: dict[bool, str]  # why it takes no prompt with images, or none without
    default_system: str  # what stands there where no system message is given


def find_form(render: Callable[[list[JsonObject]], str], mark: str | None) -> Fit:
    """Try a template in all the forms, with an image and without.

    Args:
        render: applies the template; it may raise whatever it likes.
        mark: the text that stands for one image in a prompt; None where it is not known.
    """
    # One form serves all prompts, so that a sample is asked alike with its image and without. Where
    # none serves both, prompts with images come first: without any, Durian has nothing to measure.
    best: tuple[int, Fit] | None = None
    for form in FORMS:
        refused: dict[bool, str] = {}
        for images in (True, False):
            asked = _trial(images=images)
            try:
                text = render(shaped(asked, form, mark))
            except Exception as error:  # a template raises what it likes
                refused[images] = raises(error)
                continue
            if (why := misread(text, asked, mark)) is not None:
                refused[images] = why
        served = 2 * (True not in refused) + (False not in refused)
        if best is None or served > best[0]:
            default = "" if served == 0 else _default_system(render, form, mark, True in refused)
            best = served, Fit(form=form, refused=refused, default_system=default)
    assert best is not None  # there are forms
    return best[1]


def shaped(messages: Sequence[JsonObject], form: Form, mark: str | None) -> list[JsonObject]:
    """Messages of parts, in the form that a template takes."""
    given = list(messages)
    if form.system == "none" and given and given[0]["role"] == "system":
        given = [_in_front(_text_of(given[0], mark), given[1]), *given[2:]]
    return [
        {**m, "content": _text_of(m, mark)}
        if (form.system if m["role"] == "system" else form.user) == "text"
        else m
        for m in given
    ]


def misread(text: str, messages: Sequence[JsonObject], mark: str | None) -> str | None:
    """Say what a template has made of messages of parts, where that is not what they hold."""
    wanted = {m["role"]: _texts_of(m) for m in messages}
    everything = "\n".join(piece for pieces in wanted.values() for piece in pieces)
    if any(text.count(printed) > everything.count(printed) for printed in _PRINTED):
        return "the policy's chat template takes no parts of a message: it prints them as a list"
    for role, pieces in wanted.items():
        place = "system prompt" if role == "system" else "problem"
        for piece in map(str.strip, pieces):  # templates trim
            if piece not in text:
                return f"the policy's chat template leaves out the {place}"
            # A text of the template's own may hold a short one.
            if len(piece) >= len(_PROBLEM) and text.count(piece) > everything.count(piece):
                return f"the policy's chat template writes the {place} twice"
    images = sum(part["type"] == "image" for m in messages for part in m["content"])
    if mark is not None and text.count(mark) != images:
        return (
            f"the policy's chat template writes {text.count(mark)} of {mark} for "
            f"{images} image{'' if images == 1 else 's'}"
        )
    return None


def raises(error: Exception) -> str:
    """Say that a template has raised."""
    return one_line(f"the policy's chat template raises on the prompt: {error}")


def _trial(*, images: bool, system: bool = True) -> list[JsonObject]:
    text = {"type": "text", "text": _PROBLEM}
    user = {"role": "user", "content": [{"type": "image"}, text] if images else [text]}
    said = {"role": "system", "content": [{"type": "text", "text": _SYSTEM}]}
    return [said, user] if system else [user]


def _default_system(
    render: Callable[[list[JsonObject]], str], form: Form, mark: str | None, bare: bool
) -> str:
    """What stands where the system text would, in a prompt without one."""
    if form.system == "none":
        return ""
    try:
        given, left_out = (
            render(shaped(_trial(images=not bare, system=system), form, mark))
            for system in (True, False)
        )
    except Exception:  # it wants a system message: then it writes none
        return ""
    before, _, after = given.partition(_SYSTEM)
    if not (left_out.startswith(before) and left_out.endswith(after)):
        return ""
    return left_out[len(before) : max(len(before), len(left_out) - len(after))].strip()


def _in_front(text: str, message: JsonObject) -> JsonObject:
    # Before the first text rather than before the images: policies without a system role have
    # their images first.
    parts = list(message["content"])
    place = next((i for i, part in enumerate(parts) if part["type"] == "text"), None)
    if place is None:
        parts.append({"type": "text", "text": text})
    else:
        parts[place] = {**parts[place], "text": f"{text}\n\n{parts[place]['text']}"}
    return {**message, "content": parts}


def _texts_of(message: JsonObject) -> list[str]:
    return [part["text"] for part in message["content"] if part["type"] == "text"]


def _text_of(message: JsonObject, mark: str | None) -> str:
    return "".join(
        part["text"] if part["type"] == "text" else mark or "" for part in message["content"]
    )
