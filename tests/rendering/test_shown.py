"""Which samples a report shows, on tables small enough to rank by eye."""

import polars as pl

from pipelines.rendering.shown import shelves, shown_samples


def table(*rows: tuple[str, float | None, float | None, float]) -> pl.DataFrame:
    names = ["sample_id", "pass_rate", "mean_logprob", "pixel_entropy"]
    kinds = [pl.String, pl.Float64, pl.Float64, pl.Float64]
    schema = dict(zip(names, kinds, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row").with_row_index("row")


def test_hardest_are_never_right_and_least_sure_first():
    shown = shelves(
        table(("sure", 0.0, -0.1, 1.0), ("unsure", 0.0, -0.9, 1.0), ("solved", 1.0, -0.1, 1.0))
    )
    assert shown["Hardest for the policy"] == ["unsure", "sure", "solved"]


def test_a_sample_without_confidence_comes_last_among_its_equals():
    shown = shelves(table(("unknown", 0.0, None, 1.0), ("known", 0.0, -0.1, 1.0)))
    assert shown["Hardest for the policy"] == ["known", "unknown"]


def test_no_sample_is_shown_twice_and_the_page_stays_short():
    many = [(f"s{k}", k / 100, -k / 100, k / 10) for k in range(101)]
    ids = shown_samples(table(*many))
    assert len(ids) == len(set(ids)) <= 24


def test_without_completions_the_ends_of_pixel_entropy_are_shown():
    shown = shelves(table(("flat", None, None, 0.5), ("busy", None, None, 7.5)))
    assert shown["Highest pixel entropy"] == ["busy", "flat"]
