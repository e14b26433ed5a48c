"""What is known of a sample without any completion, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.readers.strata import WORD, answer_form

Floats = NDArray[np.float64]

_MOST_WORDS, _DENSE_WORDS, _WORD_AXES = 20_000, 200, 64
_MOST_VALUES, _SHORT = 50, 64  # of a text column that is taken as kinds: values, characters


@dataclass(frozen=True)
class Features:
    """Numbers that tell samples apart, and what each group of them is about."""

    values: Floats  # (N, d)
    about: Sequence[str]  # d of them: words that a user understands


def sample_features(table: pl.DataFrame, own: pl.DataFrame | None) -> Features:
    """Gather the features of each sample.

    Nothing of the completions is among them. The reference answer's text is: its length and kind.

    Args:
        table: rows of the difficulty table with problem, answer, n_images, width, height and the
            measures of images.
        own: the dataset's own columns, row by row with the table.
    """
    gathered: list[tuple[str, Floats]] = [("words of the question", _words(table["problem"]))]
    problem, answer = table["problem"].fill_null(""), table["answer"].fill_null("")
    width, height = (table[side].cast(pl.Float64) for side in ("width", "height"))
    gathered += [
        ("length of the question", _numbers(problem.str.len_chars().log1p())),
        ("length of the answer", _numbers(answer.str.len_chars().log1p())),
        ("form of the answer", _kinds(pl.Series(map(answer_form, answer), dtype=pl.String))),
        ("number of images", _numbers(table["n_images"])),
        ("size of the image", _numbers((width * height).log1p())),
        ("shape of the image", _numbers((width / height).log())),
    ]
    for name in ("pixel_entropy", "spectral_entropy"):
        gathered.append((name, _numbers(table[name])))
    for column in own.iter_columns() if own is not None else ():
        if column.dtype.is_numeric():
            gathered.append((column.name, _numbers(column)))
        elif _names_kinds(column):
            gathered.append((column.name, _kinds(column)))
    kept = [(name, values) for name, values in gathered if values.shape[1]]
    about = [name for name, values in kept for _ in range(values.shape[1])]
    nothing = np.zeros((len(table), 0))
    return Features(np.hstack([nothing, *(values for _, values in kept)]), about)


def _words(problems: pl.Series) -> Floats:
    """Words and pairs of words by TF-IDF, brought down to a few axes where they are many."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = problems.fill_null("").to_list()
    words = TfidfVectorizer(
        token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True,
        min_df=max(2, len(texts) // 2000), max_features=_MOST_WORDS,
    )  # fmt: skip
    try:
        found = words.fit_transform(texts)
    except ValueError:  # no word stands in two questions
        return np.zeros((len(texts), 0))
    if found.shape[1] <= _DENSE_WORDS:
        return np.asarray(found.toarray(), np.float64)
    axes = min(_WORD_AXES, found.shape[1] - 1, len(texts) - 1)
    brought: Floats = TruncatedSVD(axes, random_state=0).fit_transform(found)
    return brought


def _names_kinds(column: pl.Series) -> bool:
    """Whether a text column names kinds, as of questions: few values, and short ones."""
    longest = pl.select(column.str.len_chars().max()).item() or 0
    return column.n_unique() <= _MOST_VALUES and longest <= _SHORT


def _kinds(column: pl.Series) -> Floats:
    """A column for each value but those that stand once: 1 where it is the sample's."""
    counts = column.drop_nulls().value_counts(name="n").filter(pl.col("n") > 1)
    values = sorted(counts.to_series(0).to_list())
    if len(values) < 2:
        return np.zeros((len(column), 0))
    here = [(column == value).fill_null(False).cast(pl.Float64).to_numpy() for value in values]
    return np.column_stack(here)


def _numbers(column: pl.Series) -> Floats:
    """The numbers, the median where one is missing, and whether one is, where that differs."""
    values = column.cast(pl.Float64).to_numpy().astype(np.float64)
    known = np.isfinite(values)
    if not known.any() or np.ptp(values[known]) == 0:
        return np.zeros((len(values), 0))
    filled = np.where(known, values, np.median(values[known]))
    return filled[:, None] if known.all() else np.column_stack([filled, ~known])
