"""Choose the samples that a report shows: a bounded gallery, shelf by shelf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from durian.causes.rules import CAUSES
from durian.groups import PERCEPTUAL
from durian.rendering.causes import WORDS
from durian.rendering.names import SEEING, Grouped, name_of

BINS_SHOWN = 10  # shelves of reasoning bins at most, spread from the first bin to the last
SORTED_BY = (
    "row",
    "mean_logprob",
    "pass_rate",
    "perceptual_group",
    "reasoning_group",
)
CAUSE_SHELF = "why-"  # begins the key of a cause's shelf
_BY_OUTCOME, _BY_MEASURE = "By outcome", "By measure"
_BY_CAUSE = "By cause"
_BY_BOTH = "Both groupings together"
_BY_PERCEPTUAL, _BY_REASONING = "By perceptual group", "By reasoning bin"


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """Some samples of one kind."""

    key: str  # letters, digits and hyphens: the page's script goes by it
    kind: str  # what shelves stand beside it
    heading: str
    samples: list[str]  # ids, in the order in which they are shown


_Places = tuple[str, str, str, pl.Series]  # key, kind, heading, places in the table


def shelves(table: pl.DataFrame, grouped: Grouped | None = None) -> list[Shelf]:
    """The shelves that have samples; one may stand on several. The same for the same table.

    Never right, and sure and wrong: most telling first. Quadrants and groups: a haphazard pick, so
    that they show what is usual, not what is extreme. The quadrants part the hard perceptual group
    from the others, and the lower half of the bins (of an odd number, the middle one is not in it).
    Without completions: both ends of each measure of images, and the groups.

    Args:
        table: difficulty.parquet, of which only `SORTED_BY`, the measures of images and
            `sample_id` are looked at.
        grouped: what the groups are called; the choice does not depend on it.
    """
    grouped = grouped or Grouped()
    # Places, not ids, are sorted: of 100,000 samples the ids are most of the memory.
    seeing = [name for name in SEEING if name in table.columns]
    caused = [name for name in ("why", "label_doubt") if name in table.columns]
    mixed = table.select(
        *SORTED_BY, *caused, *seeing, _haphazard().alias("_haphazard")
    ).with_row_index("_place")
    scored = mixed.filter(pl.col("pass_rate").is_not_null())
    found = [
        *(_extremes(mixed, seeing) if scored.is_empty() else _outcomes(scored)),
        *_causes(mixed),
        *_quadrants(mixed, grouped),
        *_groups(mixed, grouped),
    ]
    ids = table["sample_id"]
    return [
        Shelf(key=key, kind=kind, heading=heading, samples=ids.gather(places).to_list())
        for key, kind, heading, places in found
        if len(places)
    ]


def sample_ids(shelves: Sequence[Shelf]) -> list[str]:
    """Ids of all samples on some shelves, each once."""
    return list(dict.fromkeys(i for shelf in shelves for i in shelf.samples))


def _outcomes(scored: pl.DataFrame) -> Iterator[_Places]:
    rate, sure = pl.col("pass_rate"), pl.col("mean_logprob")
    # Each sort ends in the row, or in the haphazard order, which comes of it: polars may give equal
    # keys in any order, and the same table must give the same gallery.
    unsure_first = scored.sort(sure, "row", nulls_last=True)
    sure_first = scored.sort(sure, "row", descending=[True, False], nulls_last=True)
    even = scored.filter((rate > 0) & (rate < 1)).sort((rate - 0.5).abs(), "_haphazard")
    usual = scored.sort("_haphazard")
    for key, heading, ranked, size in (
        ("never", "Never right", unsure_first.filter(rate == 0), 9),
        (
            "sure-wrong",
            "Confidently wrong",
            sure_first.filter((rate <= 0.5) & sure.is_not_null()),
            9,
        ),
        ("mixed", "Right about half of the time", even, 6),
        ("always", "Always right", usual.filter(rate == 1), 6),
        ("easiest", "Easiest", sure_first.sort(rate, descending=True, maintain_order=True), 6),
    ):
        yield _shelf(key, _BY_OUTCOME, heading, ranked, size)


def _causes(table: pl.DataFrame) -> Iterator[_Places]:
    """Samples of each cause: those whose label is most doubtful, or a haphazard pick."""
    if "why" not in table.columns:
        return
    usual = table.sort("_haphazard")
    for cause in CAUSES:
        member = usual.filter(pl.col("why") == cause)
        if cause == "doubtful_label":
            member = member.sort("label_doubt", descending=True, nulls_last=True,
                                 maintain_order=True)  # fmt: skip
        key = f"{CAUSE_SHELF}{cause.replace('_', '-')}"
        yield _shelf(key, _BY_CAUSE, _capital(WORDS[cause]), member, 6)


def _extremes(table: pl.DataFrame, measures: Sequence[str]) -> Iterator[_Places]:
    for name in measures:
        key, words = name.replace("_", "-"), name_of(name)
        ranked = table.select("_place", name, "row").drop_nulls(name).sort(name, "row")
        yield _shelf(f"highest-{key}", _BY_MEASURE, f"Highest {words}", ranked.reverse(), 9)
        yield _shelf(f"lowest-{key}", _BY_MEASURE, f"Lowest {words}", ranked, 9)


def _quadrants(table: pl.DataFrame, grouped: Grouped) -> Iterator[_Places]:
    groups = ["perceptual_group", "reasoning_group"]
    known = table.select("_place", "_haphazard", *groups).drop_nulls(groups).sort("_haphazard")
    bins = known["reasoning_group"].n_unique()
    if bins < 2:
        return
    seeing = pl.col("perceptual_group") == "hard"
    reasoning = pl.col("reasoning_group").rank("dense") <= bins // 2
    see, reason = grouped.hard_seen, grouped.hard_reasoned
    for key, heading, member in (
        ("both", f"{see} and {reason}", seeing & reasoning),
        ("see", f"{see}, not {reason}", seeing & ~reasoning),
        ("reason", f"{reason}, not {see}", ~seeing & reasoning),
        ("neither", f"neither {see} nor {reason}", ~seeing & ~reasoning),
    ):
        yield _shelf(key, _BY_BOTH, _capital(heading), known.filter(member), 6)


def _groups(table: pl.DataFrame, grouped: Grouped) -> Iterator[_Places]:
    usual = table.select("_place", "_haphazard", "perceptual_group", "reasoning_group").sort(
        "_haphazard"
    )
    words = (grouped.easy_seen, "medium", grouped.hard_seen)
    for group, word in zip(PERCEPTUAL, words, strict=True):
        member = usual.filter(pl.col("perceptual_group") == group)
        yield _shelf(f"group-{group}", _BY_PERCEPTUAL, _capital(word), member, 4)
    bins = sorted(table["reasoning_group"].drop_nulls().unique().to_list())
    ends = {bins[0]: grouped.hardest_bin, bins[-1]: grouped.easiest_bin} if len(bins) > 1 else {}
    for number in _spread(bins):
        member = usual.filter(pl.col("reasoning_group") == number)
        heading = f"Bin {number}" + (f" ({ends[number]})" if number in ends else "")
        yield _shelf(f"bin-{number}", _BY_REASONING, heading, member, 3)


def _spread(bins: list[int]) -> list[int]:
    if len(bins) <= BINS_SHOWN:
        return bins
    return [bins[k * (len(bins) - 1) // (BINS_SHOWN - 1)] for k in range(BINS_SHOWN)]


def _shelf(key: str, kind: str, heading: str, ranked: pl.DataFrame, size: int) -> _Places:
    return key, kind, heading, ranked["_place"].head(size)


def _haphazard() -> pl.Expr:
    """An order that has nothing to do with the data's, and is always the same (Knuth's hash)."""
    return (pl.col("row").cast(pl.Int64) % 2**31 * 2_654_435_761) % 2**32


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
