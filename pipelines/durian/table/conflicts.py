"""Find labels in conflict: the same image and the same question, and another answer."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.rewards import Reference, grade

NEEDED = ("problem", "answer", "n_images", "image_cluster")  # columns of the difficulty table
_MARK = re.compile(r"<image(_\d+)?>")
_NO_SPACES = re.compile(r"([\u3040-\u30ff\u3400-\u9fff])")  # of a script that writes none
_ENDS = ".,;:?\"'`\u2018\u2019\u201c\u201d\u3002\uff0c\uff1f"


def question_words(problem: str) -> list[str]:
    """The words of a question by which it is known again.

    Without case, image marks and the punctuation at a word's ends; signs within words stay, so that
    `3 + 4` is not `3 - 4`. A character of a script without spaces is a word.
    """
    text = unicodedata.normalize("NFKC", _MARK.sub(" ", problem)).casefold()
    words = (word.strip(_ENDS) for word in _NO_SPACES.sub(r" \1 ", text).split())
    return [word for word in words if word]


def conflicts(table: pl.DataFrame) -> NDArray[np.bool_]:
    """Mark the samples whose image and question another sample has too, with another answer.

    The same image: one `image_cluster`, or no image at all. The same question: the same words.
    Another answer: not equal to the grader, whichever of the two is the reference. All samples of
    such an image and question are marked, for which of them is wrong no one can tell from here.

    Args:
        table: the `NEEDED` columns of a difficulty table; an image that could not be read, or was
            not looked at, is like no other.
    Returns:
        Shape (N,).
    """
    image = pl.when(pl.col("n_images") == 0).then(pl.lit("")).otherwise(pl.col("image_cluster"))
    # The texts that occur are made words once, and only those that occur with one image twice.
    asked = table.select(
        "problem", "answer", image=image, place=pl.int_range(pl.len())
    ).drop_nulls()
    repeated = pl.struct("image").is_duplicated()
    asked = asked.filter(repeated).with_columns(
        question=pl.col("problem").map_elements(_known_by, pl.String)
    )
    asked = asked.filter(pl.col("question") != "")  # of a row that cannot be read
    differ = asked.group_by("image", "question", maintain_order=True).agg(
        "place", pl.col("answer").unique(maintain_order=True)
    )
    found = np.zeros(len(table), np.bool_)
    for places, answers in (
        differ.filter(pl.col("answer").list.len() > 1).select("place", "answer").iter_rows()
    ):
        found[places] = _differ(answers)
    return found


def _known_by(problem: str) -> str:
    return " ".join(question_words(problem))


def _differ(answers: list[str]) -> bool:
    """Whether references mean different things: any two of them."""
    known = [Reference.of(answer) for answer in answers]
    # Against the first: what equals it is one answer, whatever else is.
    return not all(_same(known[0], other) for other in known[1:])


def _same(one: Reference, other: Reference) -> bool:
    """Whether either is right where the other is the reference; no algebra system is asked."""
    return any(grade(text, other, algebra=False).right for text in one.accepted) or any(
        grade(text, one, algebra=False).right for text in other.accepted
    )
