r"""One spelling for the many ways to write the same answer: Markdown, LaTeX, Unicode, Chinese.

What comes out is Unicode: `\times` and `×` are ×, `\pi` is π, `\geqslant` is ≥. Of LaTeX only what
has a structure stays: `\frac`, `\sqrt`, functions, environments and grouping braces. Set braces
are ⦃ ⦄, a row break is ⏎, a dollar sign that means money is ＄.
"""

from __future__ import annotations

import re
import unicodedata

ROW_BREAK, DOLLAR = "⏎", "＄"

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT = re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR_AFTER_DIGIT = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")  # 1½ is one and a half, not 11/2

# What NFKC leaves alone, or would spoil (º becomes "o").
_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "⁄": "/", "∕": "/", "÷": "/", "∗": "*",
     "⋅": "·", "∙": "·", "•": "·", "・": "·", "º": "°", "˚": "°", "∶": ":", "≦": "≤", "≧": "≥",
     "⩽": "≤", "⩾": "≥", "≃": "≈", "≅": "≈", "▲": "△", "〜": "~",
     "“": '"', "”": '"', "„": '"', "「": '"', "」": '"', "『": '"', "』": '"', "《": '"',
     "》": '"', "‘": "'", "’": "'", "′": "'", "″": '"', "。": ".", "．": ".", "、": ",", "【": "[",
     "】": "]", "⟨": "(", "⟩": ")", "〔": "[", "〕": "]", "\u200b": None, "\ufeff": None,
     "\u2060": None}
)  # fmt: skip

# Commands that stand for one character. Longest names first, so that \in does not eat \infty.
_SYMBOLS = {
    "times": "×", "cdot": "·", "ast": "*", "star": "*", "div": "/", "pm": "±", "mp": "∓",
    "le": "≤", "leq": "≤", "leqslant": "≤", "leqq": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥",
    "geqq": "≥", "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "approx": "≈", "thickapprox": "≈",
    "simeq": "≈", "sim": "~", "infty": "∞", "cup": "∪", "cap": "∩", "in": "∈", "notin": "∉",
    "emptyset": "∅", "varnothing": "∅", "angle": "∠", "measuredangle": "∠", "triangle": "△",
    "bigtriangleup": "△", "parallel": "∥", "perp": "⊥", "ldots": "…", "dots": "…", "cdots": "…",
    "dotsc": "…", "dotsb": "…", "to": "→", "rightarrow": "→", "longrightarrow": "→",
    "Rightarrow": "⇒", "implies": "⇒", "land": " and ", "wedge": "∧", "lor": " or ", "vee": "∨",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lfloor": "⌊", "rfloor": "⌋",
    "lceil": "⌈", "rceil": "⌉", "colon": ":", "prime": "'", "degree": "°", "circ": "°",
    "textdegree": "°", "celsius": "°C", "euro": "€", "pounds": "£", "yen": "¥", "ohm": "Ω",
    "lbrace": "⦃", "rbrace": "⦄", "lparen": "(", "rparen": ")", "lbrack": "[", "rbrack": "]",
    "langle": "(", "rangle": ")", "checkmark": "✓", "backslash": " ", "therefore": "",
    "because": "", "complement": "∁",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "zeta": "ζ", "eta": "η", "theta": "θ", "vartheta": "θ", "iota": "ι", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_SYMBOL = re.compile(
    r"\\(" + "|".join(sorted(_SYMBOLS, key=len, reverse=True)) + r")(?![A-Za-z])[ ]?"
)
_COMMANDS = {
    character: f"\\{name} "
    for name, character in reversed(_SYMBOLS.items())
    if len(character) == 1 and not character.isascii()
} | {"⦃": r"\{", "⦄": r"\}", "⏎": r"\\", "°": r"^{\circ}", DOLLAR: r"\$"}
_DEEPEST_DRESS = 5

# Each repetition below is possessive or excludes its own end: one pass, whatever the text.
_DRESSED = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|up|sl|sc|normal)?|math(?:rm|bf|it|sf|tt|normal|cal|scr|bb)|bm|"
    r"boldsymbol|pmb|[mh]box|ce|emph|bold|underline|ensuremath|operatorname|vec|overrightarrow|boxed|fbox)"
    r"\*?\s*+\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
)
_COLOUR = re.compile(r"\\(?:text)?color(?:box)?\s*+\{[^{}]*+\}")
_BARE_DRESS = re.compile(r"\\(?:vec|bm|math(?:bf|rm|it))\s*+(?=[A-Za-z0-9])")
_SWITCH = re.compile(
    r"\\(?:bf|it|rm|sf|tt|em|bfseries|itshape|rmfamily|(?:display|text|script)style|[lL]arge|small|"
    r"normalsize|limits|(?:left|right|middle)\.?|[bB]ig{1,2}[lr]?)(?![A-Za-z])"
)
_FRACTION = re.compile(r"\\(?:[dtc]|nice|s)frac(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\[,;: ])(?=\d{3}(?!\d))")
_SPACING = re.compile(
    r"\\[,;:> !]|\\q?quad(?![A-Za-z])|\\hspace\*?\{[^{}]*+\}|~(?=\s*+[^\W\d]|\s*+\\)"
)
_BREAK = re.compile(r"\\\\(?:\[[^\[\]]*+\])?|\\newline(?![A-Za-z])")
_ESCAPED = re.compile(r"\\([%&#_])")
_DEGREE = re.compile(r"\^\s?(?:°|\{\s?°\s?\})")
_ROOT = re.compile(r"√\s?(?:(\d++(?:\.\d++)?|[A-Za-z])|(?=[({]))")
_POWER_OF_TEN = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?\^)")
_LOOSE_PERIOD = re.compile(r"(?<=[A-Za-z)])\s++([.:])\s++")  # of "B\\text{. red}"
_SPACES = re.compile(r"\s++")
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_]++)\1")
_ENDED = re.compile(r"(?<![\\ .,;:])[ .,;:]++$")
_SHOUTED = re.compile(r"(?<=[^\W\d_]{2})[!?]++$")
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore)\b,?\s)?(?:the\s)?(?:(?:final|correct|right|best)\s)?"
    r"(?:answer|solution|result)\s?(?:\b(?:is|would be|should be)\b\s?:?|[:=])\s?"
    r"|(?:所以|因此|故)?,?(?:最终|正确)?(?:答案|结果)(?:是|为|应为)?\s?:?\s?"
    r"|[=:∴⇒]\s?",
    re.IGNORECASE,
)
# A bullet stands before a word: "- x" is a number.
_LISTED = re.compile(
    r"#{1,6}\s+(?=\S)|[-*·]\s+(?!arc|sin|cos|tan|cot|sec|csc|log|exp|sqrt)(?=[^\W\d_]{4})"
)
_REALS = re.compile(
    r"[$\s]*(?:[A-Za-z]\s*(?:\\in|∈)\s*)?"
    r"(?:\\mathbb\s*(?:\{\s*R\s*\}|R)|ℝ|all reals?(?: numbers)?)[$.\s]*",
    re.IGNORECASE,
)
_WRAPPERS = (
    ("\\(", "\\)"), ("\\[", "\\]"), ("***", "***"), ("**", "**"), ("__", "__"), ("*", "*"),
    ("```", "```"), ("`", "`"), ("{", "}"), ('"', '"'), ("'", "'"),
)  # fmt: skip


def tidy(text: str) -> str:
    r"""An answer in one spelling: no Markdown, no `$`, no dress of LaTeX, single spaces.

    Letter case is kept. Superscripts become powers before NFKC can turn 5² into 52. Linear in the
    length of the text, up to a constant for braces in braces.
    """
    if len(text) < 40 and _REALS.fullmatch(text):
        return "(-∞, ∞)"
    # The order matters: powers and vulgar fractions before NFKC flattens them to plain digits;
    # wrappers and dollars before LaTeX, whose braces they hide; leads such as "the answer is" last,
    # when no bold or quote stands before them any more.
    text = _SUPERSCRIPT.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT.sub(lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = _VULGAR_AFTER_DIGIT.sub(" ", text).translate(_CHARACTERS)
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS).replace("...", "…")
    text = _LISTED.sub("", _ended(text), count=1) if text.lstrip()[:1] in "#-*·" else _ended(text)
    text = _without_dollars(_unwrapped(text))
    if "\\" in text or "{" in text:
        text = _without_dress(text)
    text = _SPACING.sub(" ", text)
    text = _ROOT.sub(lambda m: rf"\sqrt{{{m[1]}}}" if m[1] else r"\sqrt", text)
    text = _POWER_OF_TEN.sub("×", text)
    text = _BOLD.sub(r"\2", _DEGREE.sub("°", text))
    text = _ended(_SPACES.sub(" ", text))
    for _ in range(2):  # "**Answer: 5**", "Answer: **5**"
        text = _unwrapped(text)
        led = _LEAD.match(text)
        text = text[led.end() :] if led is not None and led.end() < len(text) else text
    text = _ended(_unwrapped(_ended(text)))
    return "∅" if text in ("⦃⦄", "⦃ ⦄", "{}") else text


def to_latex(text: str) -> str:
    r"""A tidied text for a reader of LaTeX: each symbol as its command."""
    return "".join(_COMMANDS.get(character, character) for character in text)


def _without_dress(text: str) -> str:
    text = _BREAK.sub(ROW_BREAK, text).replace(r"\{", "⦃").replace(r"\}", "⦄")
    text = _SWITCH.sub(" ", _ESCAPED.sub(r"\1", _THOUSANDS.sub(",", text)))
    text = _COLOUR.sub("", text)
    text = _FRACTION.sub(r"\\frac", _SPACING.sub(" ", text))
    for _ in range(_DEEPEST_DRESS):
        plainer = _DRESSED.sub(r" \1 ", text)
        if plainer == text:
            break
        text = plainer
    text = _LOOSE_PERIOD.sub(r"\1 ", text)
    return _SYMBOL.sub(_symbol, _SPACES.sub(" ", _BARE_DRESS.sub("", text)))


def _symbol(found: re.Match[str]) -> str:
    return _SYMBOLS[found[1]]


def _without_dollars(text: str) -> str:
    """Dollar signs that delimit mathematics taken out, those of money marked."""
    text = text.replace("\\$", DOLLAR)
    count = text.count("$")
    if not count:
        return text
    pieces = text.split("$")
    # A closing sign is followed by no digit: "$5$" is five, "$10-$20" is money.
    if count % 2 == 0 and not any(piece[:1].isdigit() for piece in pieces[2::2]):
        return "".join(pieces).strip()
    return re.sub(r"\$(?=\s?[\d.])", DOLLAR, text).replace("$", "").strip()


def _ended(text: str) -> str:
    return _SHOUTED.sub("", _ENDED.sub("", text.strip())).strip()


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
            if opening == "{" and "," in inner:  # a set whose braces were not escaped
                text = f"⦃{inner}⦄"
            else:
                text = inner.strip()
    return text
