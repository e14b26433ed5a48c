"""What is known of a sample without any completion, as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.readers.strata import WORD, answer_form

Floats = NDArray[np.float64]
Made = Callable[[pl.Series], Floats]  # what is told of n samples -> (n, columns)

_LOOKED_AT = 20_000  # samples whose words, kinds and medians are taken for those of all
_MOST_WORDS, _DENSE_WORDS, _WORD_AXES = 20_000, 200, 64
_MOST_VALUES, _SHORT = 50, 64  # of a text column that is taken as kinds: values, characters


@dataclass(frozen=True)
class Features:
    """Numbers that tell samples apart, and what each group of them is about.

    They are made when they are asked for: `features[samples]` is (n, d), of n sample numbers. So
    those of a large dataset never stand in memory at once.
    """

    table: pl.DataFrame
    own: pl.DataFrame | None
    made: Sequence[Made | None]  # of each thing that is told; None where it tells nothing apart
    about: Sequence[str]  # d of them: words that a user understands

    def __getitem__(self, samples: NDArray[np.intp]) -> Floats:
        """Make the features of some samples. (n, d)"""
        told = _told(self.table[samples], None if self.own is None else self.own[samples])
        nothing = np.zeros((len(samples), 0))
        return np.hstack([nothing, *(m(t) for m, (_, t) in zip(self.made, told, strict=True) if m)])


def sample_features(table: pl.DataFrame, own: pl.DataFrame | None) -> Features:
    """Gather the features of each sample.

    Nothing of the completions is among them. The reference answer's text is: its length and kind.
    Which words, kinds and medians there are is looked up in 20,000 samples where there are more.

    Args:
        table: rows of the difficulty table with problem, answer, n_images, width, height and the
            measures of images.
        own: the dataset's own columns, row by row with the table.
    """
    some = np.sort(np.random.default_rng(0).permutation(len(table))[:_LOOKED_AT])
    made: list[Made | None] = []
    about: list[str] = []
    for name, told in _told(table[some], None if own is None else own[some]):
        if name == _WORDS:
            made.append(_words(told))
        elif told.dtype.is_numeric():
            made.append(_numbers(told))
        else:
            made.append(_kinds(told))
        if (last := made[-1]) is not None:
            about += [name] * last(told[:1]).shape[1]
    return Features(table, own, made, about)


_WORDS = "words of the question"


def _told(table: pl.DataFrame, own: pl.DataFrame | None) -> Iterator[tuple[str, pl.Series]]:
    """What a reader sees of each sample, by name: texts and numbers."""
    problem, answer = table["problem"].fill_null(""), table["answer"].fill_null("")
    width, height = (table[side].cast(pl.Float64) for side in ("width", "height"))
    yield _WORDS, problem
    yield "length of the question", problem.str.len_chars().log1p()
    yield "length of the answer", answer.str.len_chars().log1p()
    yield "form of the answer", pl.Series(map(answer_form, answer), dtype=pl.String)
    yield "number of images", table["n_images"]
    yield "size of the image", (width * height).log1p()
    yield "shape of the image", (width / height).log()
    yield "pixel_entropy", table["pixel_entropy"]
    yield "spectral_entropy", table["spectral_entropy"]
    for column in own.iter_columns() if own is not None else ():
        yield column.name, column


def _words(problems: pl.Series) -> Made | None:
    """Words and pairs of words by TF-IDF, brought down to a few axes where they are many."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = problems.to_list()
    words = TfidfVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True,
        min_df=max(2, len(texts) // 2000), max_features=_MOST_WORDS,
    )  # fmt: skip
    try:
        found = words.fit_transform(texts)
    except ValueError:  # no word stands in two questions
        return None
    if found.shape[1] <= _DENSE_WORDS:
        return lambda asked: np.asarray(words.transform(asked.to_list()).toarray(), np.float64)
    axes = TruncatedSVD(min(_WORD_AXES, found.shape[1] - 1, len(texts) - 1), random_state=0)
    axes.fit(found)
    return lambda asked: np.asarray(axes.transform(words.transform(asked.to_list())), np.float64)


def _kinds(column: pl.Series) -> Made | None:
    """A column for each value but those that stand once: 1 where it is the sample's.

    None of a text column that names no kinds, as of questions: few values, and short ones.
    """
    longest = pl.select(column.str.len_chars().max()).item() or 0
    if column.n_unique() > _MOST_VALUES or longest > _SHORT:
        return None
    counts = column.drop_nulls().value_counts(name="n").filter(pl.col("n") > 1)
    values = sorted(counts.to_series(0).to_list())
    if len(values) < 2:
        return None
    return lambda asked: np.column_stack(
        [(asked == value).fill_null(False).cast(pl.Float64).to_numpy() for value in values]
    )


def _numbers(column: pl.Series) -> Made | None:
    """The numbers, the median where one is missing, and whether one is, where that differs."""
    values = _floats(column)
    known = np.isfinite(values)
    if not known.any() or np.ptp(values[known]) == 0:
        return None
    middle, whole = np.median(values[known]), known.all()

    def make(asked: pl.Series) -> Floats:
        values = _floats(asked)
        known = np.isfinite(values)
        filled = np.where(known, values, middle)
        return filled[:, None] if whole else np.column_stack([filled, ~known])

    return make


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).to_numpy().astype(np.float64)
