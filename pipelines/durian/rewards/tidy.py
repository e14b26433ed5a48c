r"""One spelling for the many ways to write the same answer, in plain text and LaTeX."""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_VULGAR_AFTER_DIGIT = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")  # 1½ is one and a half, not 11/2
# What NFKC leaves alone, or would spoil (º becomes "o").
_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "⁄": "/", "÷": "/", "×": r"\times ", "·": r"\cdot ",
     "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "º": "°",
     "“": '"', "”": '"', "‘": "'", "’": "'"}
)  # fmt: skip
_ROOT = re.compile(r"√\s?(\d+(?:\.\d+)?|[A-Za-z])")

# Each repetition below is possessive or excludes its own end: one pass, whatever the text.
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname)\s*+"
    r"\{([^{}\\]*+)\}"
)
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\,|\\ |~)(?=\d{3}(?!\d))")
_SPACING = re.compile(r"\\[,;: ]|~|\\q?quad(?![A-Za-z])")
_NOTHING = re.compile(r"\\!|\\(?:left|right|displaystyle)(?![A-Za-z])|\\?\$")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_DEGREE = re.compile(r"\^\s?(?:\\circ(?![A-Za-z])|\{\s?\\circ\s?\})|\\degree(?![A-Za-z])")
_SPACES = re.compile(r"\s+")
_WRAPPERS = (("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("{", "}"), ('"', '"'))


def tidy(text: str) -> str:
    r"""An answer in one spelling: NFKC, no `$`, `\text{}` or spacing commands, single spaces.

    Letter case is kept. Superscripts become powers before NFKC can turn 5² into 52.
    """
    text = _SUPERSCRIPT.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _VULGAR_AFTER_DIGIT.sub(" ", text).translate(_CHARACTERS)
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    text = _ROOT.sub(r"\\sqrt{\1}", text).replace("√", "sqrt")
    text = _unwrapped(text.strip())
    text = _TEXT.sub(r" \1 ", text)
    text = _SPACING.sub(" ", _THOUSANDS.sub(",", text))
    text = _NOTHING.sub("", text).replace("\\%", "%")
    text = _DEGREE.sub("°", _FRACTION.sub(r"\\frac", text))
    text = _SPACES.sub(" ", text).strip()
    return _unwrapped(text.rstrip(".,;").rstrip())


def _unwrapped(text: str) -> str:
    # Once each: a text in ten thousand brackets is no answer.
    for opening, closing in _WRAPPERS:
        inner = text[len(opening) : -len(closing)]
        if (
            len(text) > len(opening) + len(closing)
            and text.startswith(opening)
            and text.endswith(closing)
            and opening not in inner
            and closing not in inner
        ):
            text = inner.strip()
    return text
