"""Which samples a report shows."""

from __future__ import annotations

import polars as pl

SHELVES = {
    "Hardest for the policy": 9,
    "Sure of itself, and wrong": 6,
    "Easiest": 6,
}
PLAIN_SHELVES = {"Highest pixel entropy": 9, "Lowest pixel entropy": 6}


def shelves(table: pl.DataFrame) -> dict[str, list[str]]:
    """Sample ids by heading, none twice; the same for the same table.

    Hardest: lowest pass rate, then least confident. Sure and wrong: most confident of those
    right at most half of the time. Easiest: highest pass rate, then most confident. Without a
    policy: the ends of pixel entropy.
    """
    scored = table.filter(pl.col("pass_rate").is_not_null())
    if scored.is_empty():
        ranked = table.filter(pl.col("pixel_entropy").is_not_null()).sort("pixel_entropy", "row")
        orders = {"Highest pixel entropy": ranked.reverse(), "Lowest pixel entropy": ranked}
        return _take(orders, PLAIN_SHELVES)
    return _take(
        {
            "Hardest for the policy": scored.sort(
                "pass_rate", "mean_logprob", "row", nulls_last=True
            ),
            "Sure of itself, and wrong": scored.filter(pl.col("pass_rate") <= 0.5).sort(
                "mean_logprob", "row", descending=[True, False], nulls_last=True
            ),
            "Easiest": scored.sort(
                "pass_rate",
                "mean_logprob",
                "row",
                descending=[True, True, False],
                nulls_last=True,
            ),
        },
        SHELVES,
    )


def shown_samples(table: pl.DataFrame) -> list[str]:
    """Ids of all samples that the report of a table shows."""
    return [sample for ids in shelves(table).values() for sample in ids]


def _take(orders: dict[str, pl.DataFrame], sizes: dict[str, int]) -> dict[str, list[str]]:
    taken: dict[str, list[str]] = {}
    seen: set[str] = set()
    for heading, ranked in orders.items():
        ids = [i for i in ranked["sample_id"].head(60).to_list() if i not in seen]
        taken[heading] = ids[: sizes[heading]]
        seen.update(taken[heading])
    return taken
