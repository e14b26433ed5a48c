"""The gallery's cards: a sample's pictures, texts and numbers, and the shelves it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from durian.rendering.shown import Shelf
from durian.rendering.text import encoded

END = 300  # characters of a completion's end that a card shows
WHOLE = 4_000  # characters of a completion that a card unfolds; of a longer one, its two ends
ANSWERS = 4  # distinct answers that a card names, the most common ones


@dataclass(frozen=True)
class Thumbnail:
    """Small JPEGs of one sample's first image; `entropy`, its local entropy, is missing in runs
    of before it was kept."""

    jpeg: bytes
    entropy: bytes | None = None


@dataclass(frozen=True)
class Said:
    """One completion as a card shows it: what was taken for its answer, and how it ends."""

    answer: str | None
    end: str
    whole: str | None  # None where the end is all of it
    characters: int


@dataclass(frozen=True)
class Answer:
    """One distinct answer of a sample's completions."""

    text: str | None  # None: none was found
    count: int
    right: bool | None


def said(completion: str | None, answer: str | None) -> Said | None:
    """A completion cut for a card; None where there is none."""
    if completion is None:
        return None
    text = completion.strip()
    if len(text) <= END:
        return Said(answer, text, None, len(text))
    whole = text
    if len(text) > WHOLE:
        left_out = f"\n[... {len(text) - WHOLE:,} characters left out ...]\n"
        whole = text[: WHOLE // 2] + left_out + text[-WHOLE // 2 :]
    return Said(answer, "…" + text[-END:], whole, len(text))


def cards(
    shelves: Sequence[Shelf],
    table: pl.DataFrame,
    rollouts: pl.DataFrame,
    thumbnails: Mapping[str, Thumbnail],
) -> list[dict[str, object]]:
    """One card a sample, in the order of the shelves.

    Each has the sample's row of the table and: `image`, `entropy` (base64, or None), `right` and
    `wrong` (its first completion of that kind, or None), `unended` (the first wrong one that was
    cut off, or None), `answers` (the distinct ones, the most common first), `completions`,
    `shelves` (shelf -> place on it).
    """
    rows = {row["sample_id"]: row for row in table.iter_rows(named=True)}
    first = {
        (sample, correct): said(completion, answer)
        for sample, correct, completion, answer in rollouts.sort(
            "sample_id", "rollout", descending=True
        )
        .select("sample_id", "correct", "completion", "answer")
        .iter_rows()
    }
    answers = _answers(rollouts)
    cut = pl.col("correct").not_() & pl.col("finish_reason").is_in(["length", "repetition"])
    unended = {
        sample: said(completion, answer)
        for sample, completion, answer in rollouts.filter(cut)
        .sort("sample_id", "rollout", descending=True)
        .select("sample_id", "completion", "answer")
        .iter_rows()
    }
    places: dict[str, dict[str, int]] = {}
    for shelf in shelves:
        for place, sample in enumerate(shelf.samples):
            places.setdefault(sample, {})[shelf.key] = place
    made = []
    for sample, on in places.items():
        pictures, found = thumbnails.get(sample), answers.get(sample, [])
        made.append(
            {
                **rows[sample],
                "image": encoded(pictures.jpeg if pictures else None),
                "entropy": encoded(pictures.entropy if pictures else None),
                "right": first.get((sample, True)),
                "wrong": first.get((sample, False)),
                "answers": found[:ANSWERS],
                "more_answers": len(found[ANSWERS:]),
                "completions": sum(each.count for each in found),
                "unended": unended.get(sample),
                "shelves": on,
            }
        )
    return made


def _answers(rollouts: pl.DataFrame) -> dict[str, list[Answer]]:
    counted = (
        rollouts.group_by("sample_id", "answer", "correct")
        .agg(pl.len().alias("count"), pl.min("rollout"))
        .sort("count", "rollout", descending=[True, False])
    )
    found: dict[str, list[Answer]] = {}
    for sample, answer, correct, count in counted.select(
        "sample_id", "answer", "correct", "count"
    ).iter_rows():
        found.setdefault(sample, []).append(Answer(answer, count, correct))
    return found
