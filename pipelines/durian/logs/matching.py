"""Which sample of the dataset a logged completion is of: by a key, an id, or its prompt's text.

A prompt is what a chat template makes of a problem, so the problem's text stands somewhere in it.
Texts are compared word by word, without image marks and special tokens, so that line breaks and
templates make no difference; of several problems that stand in one prompt the longest counts.
Where samples share a problem (another image each), the logged reference, and the place that
lmms-eval tells, decide as far as they can.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from durian.errors import DatasetError
from durian.logs.forms import Logged
from durian.readers.cells import reach
from durian.samples import Sample

ROW = "row"  # of `--key`: the place of a sample's row in the dataset, where no column is called so
_FIRST = 8  # words by which a problem is looked for
_CACHED = 4096  # prompts; a sample's completions mostly stand together

# Chinese, Japanese and Korean have no spaces: there, each character counts as a word.
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")
# Where images stood, and special tokens; a run of them as ms-swift writes it: [151655 * 64].
_MARKS = re.compile(r"<image(?:_\d+)?>|</?img>|<\|[^|<>]{1,40}\|>|\[-?\d+ \* \d+\]")


class NoMatch(Exception):
    """A completion belongs to no sample, or to several; its text is a short phrase."""


class Matcher:
    """Finds the number of a completion's sample: its place among the distinct samples."""

    def __init__(self, problem: str, id_column: str | None, key: tuple[str, str] | None) -> None:
        """Begin without samples.

        Args:
            problem: the dataset's column of problems; beside the problem as it is asked, with its
                options, its cell is looked for too.
            id_column: the dataset's own ids.
            key: a column of the log and one of the dataset that say which belongs to which.
        """
        self._problem, self._key = problem, key
        self._id_names = tuple(dict.fromkeys(filter(None, ("sample_id", id_column))))
        # Hashes stand for ids, keys and texts: a few words each, however long the texts are.
        self._ids: dict[int, int] = {}
        self._keys: dict[int, list[int]] = {}
        self._texts = _Texts()
        self._rows, self._answers = array("q"), array("q")
        self.keyed = key is not None
        self.example: str | None = None  # the first problem
        self._within = lru_cache(_CACHED)(self._texts.within)

    def seeing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same samples, each remembered as it passes; copies of one count once.

        Raises:
            DatasetError: the dataset has no column for the key.
        """
        for sample in samples:
            number = len(self._rows)
            if self._ids.setdefault(hash(sample.sample_id), number) == number:
                self._add(sample, number)
            yield sample

    def find(self, logged: Logged) -> tuple[int, str]:
        """The number of its sample, and by what it was found: key, sample_id or prompt.

        Raises:
            NoMatch: it is of none, or of several.
        """
        if self._key is not None:
            value = reach(logged.cells, self._key[0])
            return _only(() if value is None else self._keys.get(_hashed(value), ())), "key"
        for name in self._id_names:
            value = logged.cells.get(name)
            if value is not None and (number := self._ids.get(hash(str(value)))) is not None:
                return number, "sample_id"
        found = self._within(logged.prompt) if logged.prompt else ()
        if len(found) > 1 and logged.answer is not None:
            answer = _hashed(logged.answer)
            found = [n for n in found if self._answers[n] == answer] or found
        if len(found) > 1 and logged.place is not None:
            found = [n for n in found if self._rows[n] == logged.place] or found
        return _only(found), "prompt"

    def _add(self, sample: Sample, number: int) -> None:
        self._rows.append(sample.row)
        self._answers.append(_hashed(sample.answer))
        cell = reach(sample.cells, self._problem)
        for text in {sample.problem, cell if isinstance(cell, str) else sample.problem}:
            self._texts.add(words(text), number)
        self.example = self.example or sample.problem
        if self._key is None:
            return
        value = reach(sample.cells, name := self._key[1])
        if value is None and name == ROW:
            value = sample.row
        if value is None and number == 0 and name not in sample.cells:
            raise DatasetError(
                f"key {self._key[0]}={name}: the dataset has no column '{name}' (found: "
                f"{', '.join(sample.cells) or 'none'}; {ROW} is a row's place)"
            )
        self._keys.setdefault(_hashed(value), []).append(number)


class _Texts:
    """Problems by their words, to be found within longer texts."""

    def __init__(self) -> None:
        self._numbers: dict[int, list[int]] = {}  # of the samples of each problem
        self._lengths: dict[int, set[int]] = {}  # of the problems that begin with some words
        self._firsts: set[int] = set()  # how many words those are
        self._around = (0, 0)  # words before and behind the last problem that was found

    def add(self, text: Sequence[str], number: int) -> None:
        """Remember the problem of a sample."""
        if not text:
            return
        first = tuple(text[:_FIRST])
        self._firsts.add(len(first))
        self._lengths.setdefault(hash(first), set()).add(len(text))
        self._numbers.setdefault(hash(tuple(text)), []).append(number)

    def within(self, prompt: str) -> Sequence[int]:
        """The samples whose problem is the longest that stands in a prompt."""
        text = words(prompt)
        # A log has one template: what stood around the last problem stands around this one.
        before, behind = self._around
        if found := self._numbers.get(hash(tuple(text[before : len(text) - behind]))):
            return found
        longest, found = 0, []
        for start in range(len(text)):
            for first in self._firsts:
                begun = hash(tuple(text[start : start + first]))
                for length in self._lengths.get(begun, ()):
                    end = start + length
                    if length > longest and end <= len(text):
                        if numbers := self._numbers.get(hash(tuple(text[start:end]))):
                            longest, found = length, numbers
                            self._around = start, len(text) - end
        return found


def words(text: str) -> list[str]:
    """The words and signs of a text, without image marks and special tokens."""
    return _WORD.findall(_MARKS.sub(" ", text))


def _hashed(value: object) -> int:
    return hash(str(value).strip())


def _only(found: Sequence[int]) -> int:
    if len(found) == 1:
        return found[0]
    raise NoMatch("of several samples" if found else "of no sample")
