"""Which samples a report shows, on tables small enough to rank by eye."""

import polars as pl

from durian.rendering.names import Grouped
from durian.rendering.shown import BINS_SHOWN, sample_ids, shelves

KINDS = {
    "sample_id": pl.String, "pass_rate": pl.Float64, "mean_logprob": pl.Float64,
    "pixel_entropy": pl.Float64, "perceptual_group": pl.String, "reasoning_group": pl.Int32,
}  # fmt: skip


def table(*rows) -> pl.DataFrame:
    """Rows of (id, pass rate, confidence, entropy, perceptual group, bin); later ones optional."""
    full = [row + (None,) * (len(KINDS) - len(row)) for row in rows]
    return pl.DataFrame(full, schema=KINDS, orient="row").with_row_index("row")


def on(shown, key):
    return next((shelf.samples for shelf in shown if shelf.key == key), None)


def test_never_right_are_least_sure_first():
    shown = shelves(table(("sure", 0.0, -0.1), ("unsure", 0.0, -0.9), ("solved", 1.0, -0.1)))
    assert on(shown, "never") == ["unsure", "sure"]
    assert on(shown, "always") == ["solved"]


def test_a_sample_without_confidence_comes_last_among_its_equals():
    shown = shelves(table(("unknown", 0.0, None), ("known", 0.0, -0.1)))
    assert on(shown, "never") == ["known", "unknown"]
    assert on(shown, "sure-wrong") == ["known"]  # nothing is known of the other's confidence


def test_confidently_wrong_are_at_most_half_right_and_surest_first():
    shown = shelves(table(("half", 0.5, -0.2), ("mostly right", 0.6, -0.01), ("wrong", 0.0, -0.1)))
    assert on(shown, "sure-wrong") == ["wrong", "half"]


def test_easiest_are_most_often_right_then_surest():
    shown = shelves(table(("a", 0.9, -0.1), ("b", 1.0, -0.9), ("c", 1.0, -0.1)))
    assert on(shown, "easiest") == ["c", "b", "a"]


def test_quadrants_cross_the_hard_group_with_the_lower_half_of_the_bins():
    # Three bins: the lower half is bin 0 alone, the middle one is not hard.
    shown = shelves(
        table(
            ("both", 0.5, -0.9, 7.0, "hard", 0),
            ("see", 0.5, -0.5, 7.0, "hard", 1),
            ("reason", 0.5, -0.9, 3.0, "medium", 0),
            ("neither", 0.5, -0.1, 1.0, "easy", 2),
            ("ungrouped", 0.5, None, 1.0, "easy", None),
        )
    )
    quadrants = {key: on(shown, key) for key in ("both", "see", "reason", "neither")}
    assert quadrants == {key: [key] for key in quadrants}
    assert on(shown, "group-hard") and set(on(shown, "group-hard")) == {"both", "see"}
    assert on(shown, "bin-2") == ["neither"]


def test_one_bin_makes_no_quadrants():
    shown = shelves(table(("a", 0.5, -0.9, 7.0, "hard", 0), ("b", 0.5, -0.9, 1.0, "easy", 0)))
    assert not {"both", "see", "reason", "neither"} & {shelf.key for shelf in shown}


def test_shelves_are_called_after_the_columns_behind_the_groups():
    rows = table(("a", 0.5, -0.9, 7.0, "hard", 0), ("b", 0.5, -0.1, 1.0, "easy", 1))
    usual = {shelf.key: shelf.heading for shelf in shelves(rows)}
    named = {
        shelf.key: shelf.heading
        for shelf in shelves(rows, Grouped("clutter", "n_steps", "higher", "higher"))
    }
    assert usual["both"] == "High pixel entropy and low confidence per token"
    assert named["both"] == "High clutter and high n_steps"
    assert usual["bin-0"] == "Bin 0 (least confident)"
    assert named["bin-0"] == "Bin 0 (highest in n_steps)"


def test_the_gallery_is_bounded_and_a_sample_may_stand_on_several_shelves():
    groups = ("easy", "medium", "hard")
    many = [(f"s{k}", k % 9 / 8, -k / 999, k / 100, groups[k % 3], k % 40) for k in range(1000)]
    shown = shelves(table(*many))
    ids = sample_ids(shown)
    assert len(ids) == len(set(ids)) <= 110
    assert sum(len(shelf.samples) for shelf in shown) > len(ids)
    bins = [shelf.key for shelf in shown if shelf.key.startswith("bin-")]
    assert len(bins) == BINS_SHOWN and (bins[0], bins[-1]) == ("bin-0", "bin-39")


def test_the_choice_does_not_depend_on_the_order_of_the_table():
    groups = ("easy", "medium", "hard")
    many = table(*[(f"s{k}", k % 5 / 4, -k / 99, k / 9, groups[k % 3], k % 4) for k in range(99)])
    assert shelves(many.sample(fraction=1, shuffle=True, seed=1)) == shelves(many)


def test_without_completions_the_ends_of_each_measure_of_images_are_shown():
    rows = table(("flat", None, None, 0.5), ("busy", None, None, 7.5))
    shown = shelves(rows.with_columns(spectral_entropy=pl.Series([3.0, 2.0])))
    assert on(shown, "highest-pixel-entropy") == ["busy", "flat"]
    assert on(shown, "lowest-pixel-entropy") == ["flat", "busy"]
    assert on(shown, "highest-spectral-entropy") == ["flat", "busy"]
    headings = [shelf.heading for shelf in shown if shelf.kind == "By measure"]
    assert headings[2:] == ["Highest spectral entropy", "Lowest spectral entropy"]
