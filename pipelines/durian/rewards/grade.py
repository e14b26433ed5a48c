r"""Judge whether an answer is right: recognize the reference, then compare by its kind's rule.

A reference that is no mathematics (a date, a code, a score) never reaches an algebra system, and
an answer that is not of its kind is not equal to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from durian.rewards.formula import TOLERANCE
from durian.rewards.kinds import KINDS, Kind, Setting
from durian.rewards.kinds.choice import read_choice
from durian.rewards.math_judge import judge
from durian.rewards.tidy import tidy

MAX_LENGTH = 2_000  # characters; a longer text equals only the same text
_DEEPEST = 4  # lists in lists
_MOST_ASKED = 10  # questions to the algebra system about one answer, unless one takes too long
_LABELLED = re.compile(r"(?:[(\[][A-H][)\]][.:]?|[A-H][.:)])\s?(.+)")


@dataclass(frozen=True)
class Reference:
    """The reference that an answer is compared to.

    A list of accepted answers is right where any of them is; the elements of one answer that is
    itself a list ("1, -4") are all asked for.
    """

    accepted: tuple[str, ...]
    options: tuple[str, ...] = ()  # the contents of the choices, in the order of their letters

    @classmethod
    def of(
        cls, reference: str | Sequence[str] | Reference, options: Sequence[str] = ()
    ) -> Reference:
        """A reference from one text, or from a list of accepted ones.

        A text that is a JSON list of texts is such a list: so the readers write it.
        """
        if isinstance(reference, Reference):
            return reference
        if isinstance(reference, str):
            return cls(_accepted(reference), tuple(options))
        return cls(tuple(reference), tuple(options))

    @property
    def text(self) -> str:
        """The first accepted answer."""
        return self.accepted[0] if self.accepted else ""


@dataclass(frozen=True)
class Verdict:
    """A verdict, and the rule by which it came."""

    right: bool
    kind: str  # of the reference, a key of KINDS
    rule: str


def grade(
    answer: str,
    reference: str | Sequence[str] | Reference,
    *,
    question: str = "",
    tolerance: float = TOLERANCE,
    algebra: bool = True,
) -> Verdict:
    """Judge one answer.

    Safe for hostile text: an answer above `MAX_LENGTH` characters equals only the same text, and
    a comparison that takes too long counts as not equal. May be called from any thread.

    Args:
        question: tells whether the order of a list counts.
        tolerance: relative error at which numbers are equal; ChartQA's is 0.05.
        algebra: ask math-verify where nothing faster can tell; else that counts as not equal.
    Raises:
        RunError: math-verify is needed and cannot be started.
    """
    wanted = Reference.of(reference)
    verdict = Verdict(False, "text", KINDS["text"].rule)
    for place, text in enumerate(wanted.accepted):
        kind = _kind(text.strip())
        right = _right(answer.strip(), text.strip(), wanted.options, question, tolerance, algebra)
        if place == 0 or right:
            verdict = Verdict(right, kind.name, kind.rule)
        if right:
            break
    return verdict


def answers_equal(answer: str, reference: str | Sequence[str] | Reference) -> bool:
    """Whether an answer means the same as the reference; as `grade`."""
    return grade(answer, reference).right


def answer_kind(reference: str | Sequence[str] | Reference) -> str:
    """Name the kind by which a reference is compared: a key of KINDS."""
    return _kind(Reference.of(reference).text.strip()).name


@lru_cache(maxsize=16_384)
def _kind(reference: str) -> Kind:
    text = tidy(reference) if len(reference) <= MAX_LENGTH else ""
    if not text or len(text) > MAX_LENGTH:  # one character can become eighteen
        return KINDS["text"]
    return next(kind for kind in KINDS.values() if kind.recognizes(text))


@lru_cache(maxsize=65_536)
def _right(
    answer: str,
    reference: str,
    options: tuple[str, ...],
    question: str,
    tolerance: float,
    algebra: bool,
) -> bool:
    if not answer or not reference:
        return False
    if max(len(answer), len(reference)) > MAX_LENGTH:
        return answer == reference
    left, right = tidy(answer), tidy(reference)
    if not left or not right:
        return False
    if max(len(left), len(right)) > MAX_LENGTH or left == right:
        return left == right
    setting = _Elements(question, options, tolerance, algebra).setting(0)
    kind = _kind(reference)
    # By the kind of the reference, never of the answer: an answer that is a formula cannot turn a
    # comparison of names into algebra, which hostile text would otherwise choose.
    if kind.same(left, right, setting):
        return True
    if options:
        return _by_option(left, right, options, setting)
    labelled = _LABELLED.fullmatch(left)  # "(D) 12", where the reference has no letter
    return labelled is not None and kind.name != "choice" and setting.element(labelled[1], right)


@dataclass(frozen=True)
class _Elements:
    """Compares the elements of a list by their own kinds, so deep and no deeper."""

    question: str
    options: tuple[str, ...]
    tolerance: float
    algebra: bool
    asked: list[bool | None] = field(default_factory=list)  # what the algebra system said so far

    def setting(self, depth: int) -> Setting:
        """The setting of a comparison that many lists deep."""

        def element(answer: str, reference: str) -> bool:
            answer, reference = tidy(answer), tidy(reference)
            # Elements may be lists again. Text of brackets in brackets would recurse without end,
            # so a list too deep is unequal.
            if not answer or not reference or depth >= _DEEPEST:
                return False
            return answer == reference or _kind(reference).same(
                answer, reference, self.setting(depth + 1)
            )

        return Setting(
            tolerance=self.tolerance,
            question=self.question,
            options=self.options,
            element=element,
            mathematics=self._mathematics,
        )

    def _mathematics(self, answer: str, reference: str) -> bool:
        # A list that a policy wrote may hold sixty elements, each of which takes seconds.
        if not self.algebra or len(self.asked) >= _MOST_ASKED or None in self.asked:
            return False
        self.asked.append(judge().ask(answer, reference))
        return self.asked[-1] is True


def _accepted(text: str) -> tuple[str, ...]:
    # Looked at before it is parsed: most references are no lists, and [1, 2] is one answer.
    if text.startswith('["') and text.endswith('"]'):
        try:
            listed = json.loads(text)
        except ValueError:
            return (text,)
        if all(isinstance(item, str) for item in listed):
            return tuple(listed)
    return (text,)


def _by_option(answer: str, reference: str, options: tuple[str, ...], setting: Setting) -> bool:
    """Whether letter and content of one option stand for each other."""
    wanted = _option(reference, options, setting)
    return wanted is not None and _option(answer, options, setting) == wanted


def _option(text: str, options: tuple[str, ...], setting: Setting) -> int | None:
    """The place of the one option that a text names by its content, else by its letter."""
    # The content first: among the options "B" and "C" of a question about letters, the answer B
    # names an option by its content, and only else the second one by its letter. A content that two
    # options share names neither.
    contents = [tidy(_without_label(option)) for option in options]
    named = [place for place, content in enumerate(contents) if setting.element(text, content)]
    if len(named) == 1:
        return named[0]
    chosen = read_choice(text)
    if chosen is None or len(chosen.letters) != 1:
        return None
    place = ord(next(iter(chosen.letters))) - ord("A")
    return place if 0 <= place < len(options) else None


def _without_label(option: str) -> str:
    chosen = read_choice(tidy(option))
    return chosen.content if chosen is not None and chosen.content else option
