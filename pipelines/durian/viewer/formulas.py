r"""LaTeX in texts as MathML that a page can build: a tree of known elements, never markup.

A text is a list of pieces: plain text, or a formula with its source. What stands between `$`, `$$`,
`\(` and `\)`, `\[` and `\]` is one, and so is a `\boxed{...}` outside of them. A formula that
cannot be read stays as it is written. Source: math-core, which writes MathML Core.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import Any
from xml.etree import ElementTree

from durian.errors import require

LONGEST_FORMULA = 2_000  # characters
MOST_FORMULAS = 400  # of one text, those that cannot be read among them
LONGEST_LOOKED_AT = 50_000  # characters of a text; what stands behind them is plain

# As pandoc has it: a `$` that opens has no space behind it, one that closes has none before it and
# no digit behind it, so that "$5 and $6" is money.
_FORMULA = re.compile(
    # Bounded: of a thousand marks that nothing closes none is looked for to the end of the text.
    r"\$\$(?P<display>.{1,2000}?)\$\$|\\\[(?P<bracket>.{1,2000}?)\\\]"
    r"|\\\((?P<paren>.{1,2000}?)\\\)"
    r"|(?<!\\)\$(?P<dollar>[^\s$](?:[^$]{0,2000}?[^\s$\\])?)\$(?!\d)|(?P<boxed>\\boxed\s?\{)",
    re.DOTALL,
)
_WORDS = re.compile(r"[^\W\d_]{2,}")
_COMMAND = re.compile(r"\\[a-zA-Z]{2,}|[\^_]\{")
_TAGS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup",
    "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts", "mtable", "mtr",
    "mtd", "mstyle", "mpadded", "mphantom", "menclose", "none",
}  # fmt: skip
_ATTRIBUTES = {
    "accent", "accentunder", "depth", "display", "displaystyle", "fence", "form", "height",
    "largeop", "linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits",
    "notation", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width",
    "columnspan", "rowspan",
}  # fmt: skip
_ALIGNED = re.compile(r"text-align:\s*(left|right|center)")

Piece = str | dict[str, Any]


def pieces(text: str) -> list[Piece]:
    """A text with its formulas; joined, the plain pieces and the `tex` of formulas are the text."""
    found, start = list[Piece](), 0
    for match in islice(_FORMULA.finditer(text, 0, LONGEST_LOOKED_AT), MOST_FORMULAS):
        if match.start() < start:
            continue
        end, tex = match.end(), next(filter(None, match.groups()), "")
        if match["boxed"]:
            closed = _closing(text, match.end())
            if closed is None:
                continue
            end = closed + 1
            tex = text[match.start() : end]
            if _WORDS.search(text, match.end(), closed) and "\\" not in text[match.end() : closed]:
                continue  # as a formula the words would lose their spaces
        tree = formula(tex, display=bool(match["display"] or match["bracket"]))
        if tree is None:
            continue
        found += [text[start : match.start()]] if match.start() > start else []
        found.append({"math": tree, "tex": text[match.start() : end]})
        start = end
    return [*found, text[start:]] if start < len(text) else found


def answer_pieces(text: str) -> list[Piece]:
    """The pieces of an answer, which is often a formula without marks around it."""
    if "$" not in text and _COMMAND.search(text):
        tree = formula(text, display=False)
        if tree is not None:
            return [{"math": tree, "tex": text}]
    return pieces(text)


def formula(tex: str, *, display: bool) -> list[Any] | None:
    """A formula as [tag, attributes, children]; None where it cannot be read."""
    if len(tex) > LONGEST_FORMULA:
        return None
    try:
        written = _converter().convert_with_local_state(tex, displaystyle=display)
        return _tree(ElementTree.fromstring(written))
    except (_unreadable(), ElementTree.ParseError, ValueError, RecursionError):
        return None


def _tree(element: ElementTree.Element) -> list[Any]:
    if element.tag not in _TAGS:
        raise ValueError(f"<{element.tag}> is no element of a formula")
    kept = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
    if aligned := _ALIGNED.search(element.get("style", "")):
        kept["align"] = aligned[1]
    children: list[Any] = [element.text] if element.text else []
    for child in element:
        children.append(_tree(child))
        children += [child.tail] if child.tail else []
    return [element.tag, kept, children]


def _closing(text: str, start: int) -> int | None:
    """Where the brace closes that was opened before `start`."""
    depth = 1
    for mark in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start, start + LONGEST_FORMULA):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return mark.start()
    return None


@cache
def _converter() -> Any:
    require("a page with formulas", "math_core")
    import math_core

    return math_core.LatexToMathML()


@cache
def _unreadable() -> type[Exception]:
    import math_core

    found: type[Exception] = math_core.LatexError
    return found
