r"""Numbers and expressions: compared by value, at fixed points for their letters.

Numbers are constants (rule in `number.py`). Expressions with letters, equations, inequalities and
matrices are the same where their values agree: an equation where the difference of its sides is a
multiple of the other's ("3x + 6y - 12 = 0" is "x + 2y = 4"), a matrix entry by entry. What
`formula.py` does not read (integrals, sums, limits) goes to math-verify, if both look like
mathematics and neither is words. Source: Schwartz and Zippel's identity test; math-verify 0.9.
"""

from __future__ import annotations

import re

from durian.rewards import formula
from durian.rewards.kinds.base import Kind, Setting, one_sign, squashed
from durian.rewards.kinds.code import read_size, without_label
from durian.rewards.kinds.named import without_name
from durian.rewards.kinds.number import NO_ARITHMETIC, is_mathematics_beyond, read_number
from durian.rewards.kinds.quantity import compare as compare_quantity
from durian.rewards.tidy import ROW_BREAK, to_latex

_MATRIX = re.compile(
    r"\\begin ?\{ ?(?P<name>[bpvBV]?matrix|array|cases) ?\} ?(?:\{[clr| ]*\})?(?P<body>.*)"
    r"\\end ?\{ ?(?P=name) ?\}"
)
_NESTED = re.compile(r"\[\s?\[[^\[\]]{1,300}\](?:\s?,\s?\[[^\[\]]{1,300}\])+\s?\]")
_ION = re.compile(r"(?:\(?[A-Z][a-z]?\)?(?:_?\{?\d*\}?))+\^ ?\{? ?\d?[+-] ?\}?")
_ENVIRONMENT = re.compile(r"\\(?:begin|end) ?\{[^{}]*+\}")
_RELATION = re.compile(r"\s?(<=|>=|=<|[=<>≤≥≠])\s?")
_TURNED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤", "=": "=", "≠": "≠"}
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{2,}")
_FUNCTION_WORDS = frozenset(
    "sin cos tan cot sec csc ln log lg exp sqrt pi arcsin arccos arctan sinh cosh tanh abs".split()
)
_COEFFICIENT = re.compile(r"\d+(?:\.\d+)?(?:\s?[a-zα-ω](?:_\{?\w\}?)?){1,3}|[a-zα-ω](?:_\{?\w\}?)?")
_NO_COEFFICIENT = re.compile(r"\d+(?:st|nd|rd|th)|[12]\d\d0s")
_ROUND_THE_CLOCK = "24/7"  # a fraction of fractions, but no decimal
_SHARE = re.compile(r"(\d{1,9})\s(?:out\sof|over|in)\s(\d{1,9})", re.IGNORECASE)
_SIGNS = frozenset("+*/^=<>≤≥≠·×√")


def _is_expression(text: str) -> bool:
    if _entries(text) is not None:
        return True
    if len(text) > 1_000 or not text.isprintable() or NO_ARITHMETIC.fullmatch(text):
        return False
    if _NO_COEFFICIENT.fullmatch(text) or _ION.fullmatch(text) or read_size(text) is not None:
        return False
    if _COEFFICIENT.fullmatch(text):
        return True
    bare = _COMMAND.sub(" ", text)
    signs = set(bare) & _SIGNS
    words = [word for word in _WORD.findall(bare) if word.lower() not in _FUNCTION_WORDS]
    longest = max(map(len, words), default=0)
    if signs - {"/"} or "\\" in text:
        readable = all(formula.read(side) is not None for side in _RELATION.split(text)[::2])
        return longest <= 3 and (readable or is_mathematics_beyond(text))
    # With a hyphen or a slash alone it may be a code: AB-12, n/a.
    small = bare == bare.lower() and longest <= 2
    return small and ("-" in bare or "/" in bare) and _has_letters(text)


def _has_letters(text: str) -> bool:
    read = formula.read(text)
    return read is not None and bool(read.letters)


def _is_number(text: str) -> bool:
    if read_number(text) is not None:
        return True
    # A constant that is too large to work out, or an integral of one.
    read = formula.read(text)
    return read is not None and not read.letters and read.marked and "^" in text


def _compare_number(answer: str, reference: str, setting: Setting) -> bool:
    if _ROUND_THE_CLOCK in (answer, reference) and "." in answer + reference:
        return False
    answer = without_label(answer, reference)
    share = _SHARE.fullmatch(answer)
    if share is not None and 0 < int(share[1]) < int(share[2]):
        answer = f"{share[1]}/{share[2]}"
    if compare_quantity(answer, reference, setting):
        return True
    if read_number(answer) is not None and read_number(reference) is not None:
        return False
    (_, value), (_, reference) = without_name(answer), without_name(reference)
    if NO_ARITHMETIC.fullmatch(value):
        return False
    read, wanted = formula.read(value), formula.read(reference)
    if read is not None and wanted is not None:
        if formula.value(wanted) is None or (not read.letters and formula.value(read) is None):
            return False if not is_mathematics_beyond(value) else _asked(value, reference, setting)
        return bool(read.letters) and bool(formula.same_formula(read, wanted))
    if _RELATION.search(value) is not None or not is_mathematics_beyond(value):
        return False
    return _asked(value, reference, setting)


def _compare(answer: str, reference: str, setting: Setting) -> bool:
    if squashed(answer) == squashed(reference):
        return True
    if _wordy(answer) or NO_ARITHMETIC.fullmatch(answer):
        return False
    matrix, wanted_matrix = _entries(answer), _entries(reference)
    if matrix is not None or wanted_matrix is not None:
        return _same_matrix(matrix, wanted_matrix, setting)
    # Letter case counts first, and is forgiven only where the reference does not tell letters apart
    # by it: with v and V in it they are two quantities.
    verdict = _compared(answer, reference)
    if verdict is None and _one_case(reference):
        verdict = _compared(_folded(answer), _folded(reference))
    elif verdict is False and _one_case(reference) and _folded(answer) != answer:
        verdict = _compared(_folded(answer), _folded(reference))
    if verdict is None and _may_be_asked(answer) and _may_be_asked(reference):
        return _asked(answer, reference, setting)
    return bool(verdict)


def _wordy(text: str) -> bool:
    words = _WORD.findall(_COMMAND.sub(" ", _ENVIRONMENT.sub("", text)))
    return any(len(word) > 3 and word.lower() not in _FUNCTION_WORDS for word in words)


def _one_case(reference: str) -> bool:
    letters = {c for c in _COMMAND.sub("", reference) if c.isalpha()}
    return len({c.lower() for c in letters}) == len(letters)


def _folded(text: str) -> str:
    # E and I stay: e is Euler's number, i the imaginary unit.
    return "".join(c if c in "EI" else c.lower() for c in text)


def _compared(answer: str, reference: str) -> bool | None:
    """Whether two formulas or relations agree; None if one is not readable."""
    read, wanted = _sides(answer), _sides(reference)
    if read is None or wanted is None:
        return None
    (left, sign, right), (wanted_left, wanted_sign, wanted_right) = read, wanted
    if sign and wanted_sign:
        if _turned(left, sign, right) == _turned(wanted_left, wanted_sign, wanted_right):
            return True
        return _same_relation(read, wanted)
    if sign == "=" or wanted_sign == "=":
        # "y = 2x + 1" is "2x + 1".
        # One side has an equation, the other a formula alone. The equation's left side may then be
        # no more than a name: in "x + y = 4" it would make 4 equal to the answer 4.
        lone, value, other = (
            (left, right, wanted_left) if sign else (wanted_left, wanted_right, left)
        )
        assert value is not None and lone is not None and other is not None
        if len(lone.letters) > 2 or lone.marked or lone.letters & value.letters & other.letters:
            return False
        return _same(value, other)
    return _same(left, wanted_left) if not sign and not wanted_sign else False


def _turned(left: object, sign: str, right: object) -> tuple[object, str, object]:
    return (right, _TURNED[sign], left) if sign in ">≥" else (left, sign, right)


def _same(a: formula.Formula, b: formula.Formula) -> bool | None:
    if not a.marked and not b.marked and a.letters | b.letters:
        # Letters and digits side by side: "ba" is no product of a and b.
        return a.tree == b.tree
    return formula.same_formula(a, b)


_Sides = tuple[formula.Formula, str, formula.Formula | None]


def _sides(text: str) -> _Sides | None:
    pieces = _RELATION.split(text)
    if len(pieces) > 3 and set(pieces[1::2]) == {"="}:
        pieces = [pieces[0], "=", pieces[-1]]
    if len(pieces) == 1:
        read = formula.read(pieces[0])
        return None if read is None else (read, "", None)
    if len(pieces) != 3:
        return None
    left, right = formula.read(pieces[0]), formula.read(pieces[2])
    function = re.fullmatch(r"([a-zA-Z])\(([a-z])\)", pieces[0])
    if function is not None:
        left = formula.read(function[1])
    if left is None or right is None:
        return None
    return left, one_sign(pieces[1]), right


def _same_relation(read: _Sides, wanted: _Sides) -> bool:
    (left, sign, right), (wanted_left, wanted_sign, wanted_right) = read, wanted
    assert right is not None and wanted_right is not None
    # Relations are the same where their differences are in a fixed proportion; a negative one turns
    # an inequality round.
    ratio = formula.proportion(
        formula.difference(left, right), formula.difference(wanted_left, wanted_right)
    )
    if ratio is None:
        return False
    return sign == (wanted_sign if ratio > 0 or wanted_sign in "=≠" else _TURNED[wanted_sign])


def _entries(text: str) -> list[list[str]] | None:
    if _NESTED.fullmatch(text):
        rows = text[1:-1].strip().strip("[]").split("]")
        return [[entry.strip() for entry in row.strip(" ,[").split(",")] for row in rows]
    found = _MATRIX.fullmatch(text.strip("([|]) "))
    if found is None:
        return None
    rows = [row for row in found["body"].split(ROW_BREAK) if row.strip()]
    return [[entry.strip() for entry in row.split("&")] for row in rows]


def _same_matrix(
    read: list[list[str]] | None, wanted: list[list[str]] | None, setting: Setting
) -> bool:
    if read is None or wanted is None or [len(r) for r in read] != [len(w) for w in wanted]:
        return False
    return all(
        setting.element(a, b)
        for row, wanted_row in zip(read, wanted, strict=True)
        for a, b in zip(row, wanted_row, strict=True)
    )


def _may_be_asked(text: str) -> bool:
    return is_mathematics_beyond(text) or formula.read(text) is not None


def _asked(answer: str, reference: str, setting: Setting) -> bool:
    return setting.mathematics(to_latex(answer), to_latex(reference))


NUMBER = Kind(
    name="number",
    rule="equal by value: whole numbers and fractions exactly, others to a relative 1e-6",
    recognizes=_is_number,
    same=_compare_number,
)
EXPRESSION = Kind(
    name="expression",
    rule="equal in value at fixed points for the letters, else by math-verify",
    recognizes=_is_expression,
    same=_compare,
)
