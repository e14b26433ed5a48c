"""Which samples of a dataset stand in another set too: by bytes, pixels, near image, and words.

An image alone counts, for whoever has trained on it knows it. Words count beside such an image, or
alone where the question is long: a run of 13 words in common (Brown et al., 2020, appendix C, and
lm-evaluation-harness; open-r1 takes 8, of problems without images), unless more than ten questions
of either set have the run, for then it is the template of its questions. Questions without images
are the same where all their words are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.duplicates.near import Images, Ints, near_pairs
from durian.readers.dataset import SampleReader
from durian.table.conflicts import question_words

HOW = ("bytes", "pixels", "near")  # in which images are the same, the surest first
WORDS = "words"
RUN, COMMON = 13, 10  # words of a run; questions of a set that may have one and the same


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Samples as they are compared: their images and their questions."""

    rows: Sequence[int]  # (N,) positions in their dataset
    image_ids: Sequence[str]  # (N,) as `Sample.image_id`; "" of a sample without images
    problems: Sequence[str]  # (N,)
    signatures: NDArray[np.uint8]  # (n, 216) of all images, sample by sample
    counts: Ints  # (N,) how many of them each sample has: none where they cannot be read


@dataclass(frozen=True, kw_only=True)
class Held:
    """A sample that another set holds too."""

    sample: int  # its place
    how: tuple[str, ...]  # some of `HOW` and `WORDS`: one way of the images at most
    row: int  # of the other set: where it stands, or one such place


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A sample that another dataset holds too, by its row here and there."""

    set: str  # as `also_in` calls it
    reader: SampleReader  # of that dataset
    how: str
    row: int
    other_row: int


def held_in(other: Shown, own: Shown) -> list[Held]:
    """Find the samples of `own` that `other` holds too, in their order.

    A sample of several images is held where each of them is, in the least sure of their ways.
    """
    ours, theirs = _questions(own), _questions(other)
    links = pl.concat([_by_bytes(other, own), _by_signature(other, own)])
    asks = ours[links["sample"].to_numpy()] == theirs[links["there"].to_numpy()]
    # Of each sample the surest way, and of the places one that asks the same, the surest, the
    # first.
    images = (
        links.with_columns(words=pl.Series(asks))
        .sort("sample", ~pl.col("words"), "link", "there")
        .group_by("sample", maintain_order=True)
        .agg(pl.col("how").min(), pl.col("words", "there").first())
    )
    found = {
        sample: Held(sample=sample, how=(HOW[how], WORDS)[: 1 + words], row=other.rows[there])
        for sample, how, words, there in images.iter_rows()
    }
    for sample, there in _by_words(other, own, ours, theirs):
        alone = Held(sample=sample, how=(WORDS,), row=other.rows[there])
        known = found.setdefault(sample, alone)
        if WORDS not in known.how:
            found[sample] = replace(known, how=(*known.how, WORDS))
    return [found[sample] for sample in sorted(found)]


def _by_bytes(other: Shown, own: Shown) -> pl.DataFrame:
    here, there = (
        pl.DataFrame({name: range(len(of.rows)), "id": [ids.split(" ") for ids in of.image_ids]})
        .explode("id")
        .filter(pl.col("id") != "")
        for name, of in (("sample", own), ("there", other))
    )
    counts = here.group_by("sample").len("images")
    here = here.with_columns(image=pl.int_range(pl.len()))
    return _whole(here.join(there, on="id").with_columns(link=pl.lit(0)), counts)


def _by_signature(other: Shown, own: Shown) -> pl.DataFrame:
    images, places = Images.of(np.concatenate([own.signatures, other.signatures]))
    cut = len(own.signatures)
    here = pl.DataFrame(
        {
            "sample": np.repeat(np.arange(len(own.rows)), own.counts),
            "image": np.arange(cut),
            "node": places[:cut],
        }
    )
    there = pl.DataFrame(
        {"there": np.repeat(np.arange(len(other.rows)), other.counts), "found": places[cut:]}
    )
    counts = here.group_by("sample").len("images")
    return _whole(here.join(_same(images, places, cut), on="node").join(there, on="found"), counts)


def _same(images: Images, places: Ints, cut: int) -> pl.DataFrame:
    """Images of the first `cut` places, and those of the others that are the same, or nearly."""
    ours, theirs = np.zeros((2, len(images)), np.bool_)
    ours[places[:cut]], theirs[places[cut:]] = True, True
    equal = np.flatnonzero(ours & theirs)
    found = [(equal, equal)]
    for one, two in near_pairs(images):
        for here, there in ((one, two), (two, one)):
            across = ours[here] & theirs[there]
            found.append((here[across], there[across]))
    node, there = (np.concatenate(ends) for ends in zip(*found, strict=True))
    return pl.DataFrame({"node": node, "found": there, "link": np.where(node == there, 1, 2)})


def _whole(links: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """The links of samples that have one for each of their images; `how` is their least sure."""
    held = (
        links.group_by("sample", "image")
        .agg(pl.col("link").min())
        .group_by("sample")
        .agg(pl.len().alias("linked"), how=pl.col("link").max())
        .join(counts, on="sample")
        .filter(pl.col("linked") == pl.col("images"))
    )
    kept = links.join(held, on="sample").select("sample", "there", "link", "how")
    return kept.cast(pl.Int64).unique()


def _by_words(
    other: Shown, own: Shown, ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Samples whose question alone is enough, and a place where it is asked."""
    no_image = {
        int(theirs[place]): place
        for place in reversed(range(len(other.rows)))
        if not other.image_ids[place] and question_words(other.problems[place])
    }
    told = _rare(other)
    common = _common(own)
    for sample, problem in enumerate(own.problems):
        place = no_image.get(int(ours[sample])) if not own.image_ids[sample] else None
        if place is None:
            runs = (told[run] for run in _runs(problem) if run in told and run not in common)
            place = next(runs, None)
        if place is not None:
            yield sample, place


def _rare(of: Shown) -> dict[int, int]:
    """The runs of words that few questions have, and the first place of each."""
    common = _common(of)
    found = dict[int, int]()
    for place, problem in enumerate(of.problems):
        for run in _runs(problem):
            if run not in common:
                found.setdefault(run, place)
    return found


def _common(of: Shown) -> set[int]:
    """The runs of words that stand in more than `COMMON` questions, each question once."""
    counts = Counter[int]()
    for problem in dict.fromkeys(of.problems):
        counts.update(set(_runs(problem)))
    return {run for run, count in counts.items() if count > COMMON}


def _runs(problem: str) -> Iterator[int]:
    words = question_words(problem)
    for start in range(len(words) - RUN + 1):
        yield hash(tuple(words[start : start + RUN]))


def _questions(of: Shown) -> NDArray[np.int64]:
    """A number for each sample's question, equal where all its words are."""
    return np.array([hash(tuple(question_words(text))) for text in of.problems], np.int64)
