r"""The final answer of a completion, and whether it is in the asked format.

The box that counts is the last one after the last `</think>`, braces balanced and not empty: a box
in the reasoning is no final answer, an empty or cut-off one is none either. Where no `</think>` was
written the whole completion is searched (policies that do not think). `\fbox{...}` and GLM's
`<|begin_of_box|>...<|end_of_box|>` are boxes; where there is none at all, the last
`<answer>...</answer>` is. Kimi's `◁think▷` is a think tag.
"""

from __future__ import annotations

import re

# White space is bounded: a megabyte of blanks after a "<" must not be scanned again and again.
_OPEN = re.compile(r"\s*+(?:<\s{0,8}think\s{0,8}>|◁\s{0,8}think\s{0,8}▷)")
_ANY_OPEN = re.compile(r"<\s{0,8}think\s{0,8}>|◁\s{0,8}think\s{0,8}▷")
_CLOSE = re.compile(r"<\s{0,8}/\s{0,8}think\s{0,8}>|◁\s{0,8}/\s{0,8}think\s{0,8}▷")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*+\{|<\|begin_of_box\|>")
_GLM_END = "<|end_of_box|>"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is text, and so is "\\"
_MARK = re.compile(r"\\(?:boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)
_ANSWER = re.compile(r"<\s{0,8}(/?)\s{0,8}answer\s{0,8}>", re.IGNORECASE)


def extract_answer(completion: str) -> str | None:
    r"""The final answer of a completion: what its last box holds, stripped.

    Of nested boxes, the last that was opened counts. White space before the brace is accepted,
    `\{` and `\}` do not count as braces. Linear in the length of the text.

    Returns:
        None if there is no box, or the last one is empty or never closed.
    """
    start = _final(completion)
    opened = None
    for box in _BOX.finditer(completion, start):
        opened = box
    if opened is None:
        return _tagged(completion, start)
    held = _held(completion, opened)
    return None if held is None else completion[held].strip() or None


def extract_boxes(completion: str) -> list[str]:
    r"""Return the contents of all final boxes, in order; for an answer written in several.

    Empty ones, cut-off ones and those around another box are left out. Linear in the length.
    """
    boxes: list[str] = []
    stack: list[tuple[bool, int, int]] = []  # is it a box, where it begins, boxes before it
    for mark in _MARK.finditer(completion, _final(completion)):
        text = mark.group()
        if text[-1] == "{" and text != "\\{":
            stack.append((len(text) > 1, mark.end(), len(boxes)))
        elif text == "}" and stack:
            is_box, begun, before = stack.pop()
            inner = completion[begun : mark.start()].strip() if is_box else ""
            # Only the innermost: had a box been closed since this one was opened, it stands inside
            # of it.
            if inner and len(boxes) == before:
                boxes.append(inner)
    return boxes


def is_formatted(completion: str, *, opened: bool = False) -> bool:
    r"""Whether the whole completion is `<think>...</think> ... \boxed{...} ...` (eq. 22).

    Args:
        opened: the prompt ends with the opening tag, as some chat templates write it: then it
            counts as written.
    """
    tag = _OPEN.match(completion)
    if tag is None and (not opened or _ANY_OPEN.search(completion) is not None):
        return False
    if _CLOSE.search(completion, 0 if tag is None else tag.end()) is None:
        return False
    return _BOX.search(completion, _final(completion)) is not None and (
        extract_answer(completion) is not None
    )


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt ends with the opening think tag, so that no completion has it."""
    tags = list(_ANY_OPEN.finditer(prompt, max(0, len(prompt) - 40)))
    return bool(tags) and not prompt[tags[-1].end() :].strip()


def outside_boxes(text: str) -> str:
    """Return a text without its boxes; from one that is never closed on there is nothing left."""
    kept, start = list[str](), 0
    for box in _BOX.finditer(text):
        if box.start() < start:  # in a box that is left out already
            continue
        kept.append(text[start : box.start()])
        held = _held(text, box)
        start = len(text) if held is None else held.stop + len(_closing(box))
    return " ".join([*kept, text[start:]])


def final_text(completion: str) -> str:
    """Return the text after the reasoning; all of it where there is none."""
    return completion[_final(completion) :]


def _held(text: str, box: re.Match[str]) -> slice | None:
    """Where the content of a box stands, from its opening on; None where it is never closed."""
    if _closing(box) == _GLM_END:
        end = text.find(_GLM_END, box.end())
        return slice(box.end(), end) if end >= 0 else None
    depth = 1
    for mark in _BRACE.finditer(text, box.end()):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return slice(box.end(), mark.start())
    return None


def _closing(box: re.Match[str]) -> str:
    return _GLM_END if box.group().startswith("<") else "}"


def _final(completion: str) -> int:
    start = 0
    for tag in _CLOSE.finditer(completion):
        start = tag.end()
    return start


def _tagged(completion: str, start: int) -> str | None:
    opened = None
    inner = None
    for tag in _ANSWER.finditer(completion, start):
        if not tag[1]:
            opened, inner = tag.end(), None
        elif opened is not None:
            inner, opened = completion[opened : tag.start()], None
    return (inner.strip() or None) if inner is not None else None
