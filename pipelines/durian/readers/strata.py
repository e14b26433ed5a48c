"""The part of a dataset that completions are drawn of: random, and like the whole at a glance."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from durian.samples import Sample

# Words by spaces; of scripts that write none between words, each character is one.
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+"
_FORMS = {
    "number": r"[-+]?[\d.,]+\s*%?",
    "choice": r"\(?[A-Z]\)?\.?",
    "yes or no": r"(?i:yes|no|true|false)",
    "word": r"\S+",
}
_OPENING = 2  # words that tell a kind of question: how many, what color, is there


@dataclass(frozen=True)
class Strata:
    """Two numbers of each sample, gathered while the dataset is scanned; 16 bytes."""

    seed: int
    kinds: array[int] = field(default_factory=lambda: array("Q"))  # equal: one stratum
    chances: array[int] = field(default_factory=lambda: array("Q"))  # by id: of no order of rows

    def add(self, sample: Sample) -> None:
        """Note one more sample: the form of its answer, its images, how its question begins."""
        words = re.finditer(WORD, sample.problem.replace("<image>", " "))
        opening = [word[0].lower() for word, _ in zip(words, range(_OPENING), strict=False)]
        kind = (answer_form(sample.answer), len(sample.images), *opening)
        self.kinds.append(self._digest("\0".join(map(str, kind))))
        self.chances.append(self._digest(sample.sample_id))

    def first(self, count: int) -> NDArray[np.bool_]:
        """Mark the samples that are drawn where `count` are: those of fewer, and some more. (N,)

        The i-th of the n samples of a stratum, in random order, stands at (i + u) / n, u uniform
        and one a stratum; the `count` that stand first are drawn. So each stratum gives its share,
        within one sample, whatever the count.
        """
        kinds = np.frombuffer(self.kinds, np.uint64)
        chances = np.frombuffer(self.chances, np.uint64)
        order = np.lexsort((chances, kinds))
        _, start, sizes = np.unique(kinds[order], return_index=True, return_counts=True)
        within = np.arange(len(kinds)) - np.repeat(start, sizes)
        shifts = kinds[order[start]] / 2.0**64  # a digest is uniform
        place = np.empty(len(kinds))
        place[order] = (within + np.repeat(shifts, sizes)) / np.repeat(sizes, sizes)
        chosen = np.zeros(len(kinds), np.bool_)
        chosen[np.lexsort((chances, place))[:count]] = True
        return chosen

    def _digest(self, text: str) -> int:
        told = f"{self.seed}\0{text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(told, digest_size=8).digest(), "little")


def answer_form(answer: str) -> str:
    """Tell the form of an answer: number, choice, yes or no, word, phrase."""
    text = answer.strip()
    return next((form for form, how in _FORMS.items() if re.fullmatch(how, text)), "phrase")
