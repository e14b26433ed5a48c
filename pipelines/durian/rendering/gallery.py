"""The gallery's cards: a sample's pictures, texts and numbers, and the shelves it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from durian.rendering.shown import Shelf
from durian.rendering.text import encoded


@dataclass(frozen=True)
class Thumbnail:
    """Small JPEGs of one sample's first image; `entropy`, its local entropy, is missing in runs
    of before it was kept."""

    jpeg: bytes
    entropy: bytes | None = None


def cards(
    shelves: Sequence[Shelf],
    table: pl.DataFrame,
    rollouts: pl.DataFrame,
    thumbnails: Mapping[str, Thumbnail],
) -> list[dict[str, object]]:
    """One card a sample, in the order of the shelves.

    Each has the sample's row of the table and: `image`, `entropy` (base64, or None), `right` and
    `wrong` (its first completion of that kind, or None), `unended` (the first wrong one that was
    cut off, or None), `shelves` (shelf -> place on it).
    """
    rows = {row["sample_id"]: row for row in table.iter_rows(named=True)}
    first = {
        (sample, correct): completion
        for sample, correct, completion in rollouts.sort("sample_id", "rollout", descending=True)
        .select("sample_id", "correct", "completion")
        .iter_rows()
    }
    cut = pl.col("correct").not_() & pl.col("finish_reason").is_in(["length", "repetition"])
    unended = dict(
        rollouts.filter(cut).sort("sample_id", "rollout", descending=True)
        .select("sample_id", "completion").iter_rows()
    )  # fmt: skip
    places: dict[str, dict[str, int]] = {}
    for shelf in shelves:
        for place, sample in enumerate(shelf.samples):
            places.setdefault(sample, {})[shelf.key] = place
    made = []
    for sample, on in places.items():
        pictures = thumbnails.get(sample)
        made.append(
            {
                **rows[sample],
                "image": encoded(pictures.jpeg if pictures else None),
                "entropy": encoded(pictures.entropy if pictures else None),
                "right": first.get((sample, True)),
                "wrong": first.get((sample, False)),
                "unended": unended.get(sample),
                "shelves": on,
            }
        )
    return made
