"""Lists of chat messages: who says what, and where the images stand in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from durian.readers.cells import parsed

IMAGE_MARK = "<image>"
_SPEAKERS = {
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
_PAYLOADS = ("image_url", "image", "url", "path", "bytes", "base64")  # of a part that is an image
_KEYS = (("role", "content"), ("from", "value"))
_PAIR = ("user", "assistant")  # a question and its answer in one object, as FineVision has them


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The text and the images of a list of messages, by speaker."""

    problem: str  # the user's turns, one below the other, a mark where an image stands
    system: str | None
    asked: int = 1  # turns of the user
    reply: str | None  # the assistant's turn, if it is the last one
    images: tuple[Any, ...] = ()  # cells of images that stand in the messages themselves
    error: str | None = None


class _UnreadableTurn(Exception):
    pass


def messages_of(cell: object) -> list[Mapping[str, Any]] | None:
    """The messages of a cell that holds a list of them, or JSON of one; None for any other."""
    if isinstance(cell, str):
        if not cell.lstrip().startswith("["):
            return None
        cell = parsed(cell)
    if not isinstance(cell, list) or not cell:
        return None
    # It is one only if every message has a speaker and a content: lists of texts are options or
    # answers, and lists of other objects are images.
    if not all(isinstance(message, dict) for message in cell):
        return None
    if all(key in pair for pair in cell for key in _PAIR):
        return [{"role": role, "content": pair[role]} for pair in cell for role in _PAIR]
    for message in cell:
        if not any(all(key in message for key in keys) for keys in _KEYS):
            return None
    return cell


def read_turns(messages: Sequence[Mapping[str, Any]]) -> Turns:
    """Sort the messages by speaker.

    A last turn of the assistant is its reply, and not asked; earlier ones are left out.
    """
    # Only the user's images are shown. Earlier replies are left out rather than shown, because they
    # would give the policy another model's answer to go on with. An unknown speaker (a tool, a
    # function) spoils the row: to leave out its words would be to ask another question.
    said: dict[str, list[str]] = {"user": [], "assistant": [], "system": []}
    images: list[Any] = []
    speaker = ""
    try:
        for message in messages:
            role, content = _role_and_content(message)
            found = _SPEAKERS.get(str(role).lower())
            if found is None:
                raise _UnreadableTurn(f"a message is of role '{str(role)[:40]}'")
            speaker = found
            text = _text(content, images if speaker == "user" else [])
            said[speaker].append(text)
    except _UnreadableTurn as error:
        return Turns(problem="", system=None, reply=None, error=str(error))
    return Turns(
        problem="\n".join(said["user"]),
        system="\n".join(said["system"]) or None,
        asked=len(said["user"]),
        reply=said["assistant"][-1] if speaker == "assistant" else None,
        images=tuple(images),
        error=None if said["user"] else "no message is of the user",
    )


def _role_and_content(message: Mapping[str, Any]) -> tuple[object, object]:
    role, content = next(keys for keys in _KEYS if all(key in message for key in keys))
    return message[role], message[content]


def _text(content: object, images: list[Any]) -> str:
    """The text of one message's content; the images in its parts are added to `images`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise _UnreadableTurn(f"a message's content is of type {type(content).__name__}")
    return "".join(_part(part, images) for part in parts)


def _part(part: object, images: list[Any]) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise _UnreadableTurn(f"a part of a message is of type {type(part).__name__}")
    kind = str(part.get("type") or _kind_of(part))
    if kind.endswith("text"):  # OpenAI's responses say input_text
        return str(part.get("text") or "")
    if "image" not in kind:
        raise _UnreadableTurn(f"a part of a message is of type '{kind[:40]}'; only images are read")
    payload = next((part[key] for key in _PAYLOADS if part.get(key) is not None), None)
    if isinstance(payload, dict) and "url" in payload:
        payload = payload["url"]
    if payload is not None:
        images.append(payload)
    return IMAGE_MARK


def _kind_of(part: Mapping[str, Any]) -> str:
    named = (key for key in ("text", "image", "image_url") if part.get(key) is not None)
    return next(named, ", ".join(part) or "nothing")
