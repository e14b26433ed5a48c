"""What a table says, whatever it lacks: JSON without NaN, and the right numbers in their places."""

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durian.analysis.one_run.summary import (
    Missing,
    Quartiles,
    analyse,
    read_summary,
)
from durian.analysis.statistics.estimate import DrawnTogether
from durian.groups import (
    GroupCuts,
    PerceptualCuts,
    ReasoningCuts,
    perceptual_groups,
    reasoning_groups,
)
from durian.records import as_json

MEASURES = {"pixel_entropy": "higher", "spectral_entropy": "higher", "mean_logprob": "lower"}
N = 60


@pytest.fixture
def table():
    """60 samples of 4 completions: the harder to see and the less sure, the more wrong."""
    rng = np.random.default_rng(0)
    hard = np.arange(N) / N
    right = 4 - rng.binomial(4, hard)
    return pl.DataFrame(
        {
            "pixel_entropy": 8 * hard,
            "spectral_entropy": pl.Series([None] * N, dtype=pl.Float64),
            "mean_logprob": -hard,
            "rollouts": pl.Series([4] * N, dtype=pl.Int32),
            "pass_rate": right / 4,
            "perceptual_group": ["easy"] * 15 + ["medium"] * 30 + ["hard"] * 15,
            "reasoning_group": pl.Series(np.arange(N)[::-1] // 6, dtype=pl.Int32),
            "error": pl.Series([None] * N, dtype=pl.String),
        }
    )


def nulled(table, *names):
    return table.with_columns(pl.lit(None).cast(table.schema[name]).alias(name) for name in names)


POLICY = ("mean_logprob", "rollouts", "pass_rate", "reasoning_group")
CASES = {
    "normal": lambda t: t,
    "pixel only": lambda t: nulled(t, *POLICY),
    "all failed": lambda t: nulled(t, "pixel_entropy", "perceptual_group", *POLICY).with_columns(
        error=pl.lit("image does not decode")
    ),
    "all right": lambda t: t.with_columns(pass_rate=pl.lit(1.0)),
    "all wrong": lambda t: t.with_columns(pass_rate=pl.lit(0.0)),
    "one sample": lambda t: t.head(1),
    "no sample": lambda t: t.head(0),
    "no perceptual group": lambda t: nulled(t, "pixel_entropy", "perceptual_group"),
    "no confidence": lambda t: nulled(t, "mean_logprob", "reasoning_group"),
    "half measured": lambda t: t.with_columns(
        pl.when(pl.int_range(N) % 2 == 0).then(name).alias(name) for name in POLICY
    ),
}


def test_completions_that_an_engine_ended_in_circles_are_counted(table):
    ends = ["repetition", "length", "length", "stop"]
    rollouts = pl.DataFrame(
        {
            "sample_id": [f"s{n}" for n in range(N) for _ in ends],
            "rollout": list(range(len(ends))) * N,
            "n_tokens": [5] * (N * len(ends)), "sum_logprob": [-1.0] * (N * len(ends)),
            "correct": [True, False] * (2 * N), "finish_reason": ends * N,
        }
    )  # fmt: skip
    named = table.with_columns(sample_id=pl.format("s{}", pl.int_range(N)), row=pl.int_range(N))
    scored = analyse(named, MEASURES, rollouts=rollouts).scored
    assert (scored.looped, scored.cut) == (N, 2 * N)
    # None of either is said where nothing goes round.
    straight = rollouts.with_columns(finish_reason=pl.lit("length"))
    scored = analyse(named, MEASURES, rollouts=straight).scored
    assert (scored.looped, scored.cut) == (None, None)


@pytest.mark.parametrize("case", CASES)
def test_every_table_gives_json_without_nan(table, case):
    given = CASES[case](table)
    summary = analyse(given, MEASURES)
    json.dumps(as_json(summary), allow_nan=False)
    assert read_summary(as_json(summary)) == summary
    assert summary.samples == len(given)
    assert summary.measured == given["pass_rate"].count()


def test_a_table_without_policy_has_no_error_rate(table):
    summary = analyse(CASES["pixel only"](table), MEASURES)
    assert summary.scored is None and summary.measured == 0
    assert "error_rate" not in as_json(summary)
    # 0, 8/60, ... 8 * 59/60: the median is halfway between places 29 and 30.
    assert summary.spread["pixel_entropy"].median == pytest.approx(8 * 29.5 / 60)
    assert summary.spread["spectral_entropy"] == Quartiles(n=0)


def test_failures_are_counted_by_reason_most_frequent_first(table):
    reasons = ["too large"] * 2 + ["does not decode"] * 5 + [None] * 53
    given = table.with_columns(error=pl.Series(reasons, dtype=pl.String))
    assert analyse(given, MEASURES).missing == [
        Missing(reason="does not decode", samples=5),
        Missing(reason="too large", samples=2),
    ]


def test_measures_are_turned_so_that_harder_is_higher(table):
    measures = analyse(table, MEASURES).scored.measures
    # mean_logprob is pixel entropy turned round and scaled: both tell errors equally well.
    confidence, entropy = measures["mean_logprob"], measures["pixel_entropy"]
    assert (confidence.auroc, confidence.spearman) == (entropy.auroc, entropy.spearman)
    assert confidence.auroc.value > 0.5 and confidence.spearman.value > 0.5
    # Their curves run opposite ways, along each measure's own axis.
    first, last = confidence.curve[0], confidence.curve[-1]
    assert first.error_rate.value > last.error_rate.value
    assert measures["spectral_entropy"].n == 0
    assert measures["spectral_entropy"].auroc.value is None


def test_counts_come_back_from_pass_rates(table):
    # 1 - 0.9 is 0.09999999999999998 in binary: of 10 completions that is still 1 wrong.
    given = table.head(2).with_columns(
        rollouts=pl.lit(10, pl.Int32), pass_rate=pl.Series([0.9, 0.9])
    )
    scored = analyse(given, MEASURES).scored
    assert scored.completions == 20 and scored.perceptual[0].errors == 2


def test_row_order_changes_no_estimate(table):
    def values(summary):
        return [
            [row.error_rate.value for row in summary.scored.perceptual + summary.scored.reasoning],
            [measure.auroc.value for measure in summary.scored.measures.values()],
        ]

    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    assert values(analyse(table, MEASURES)) == values(analyse(shuffled, MEASURES))


def full(n=48, g=4):
    """A table with columns and rollouts: the shared image sets how wrong its four questions are."""
    rng = np.random.default_rng(5)
    image = np.arange(n) // 4
    hard = rng.uniform(size=n // 4)[image]
    correct = rng.random((n, g)) > hard[:, None]
    logprob = -hard[:, None] - rng.uniform(size=(n, g))
    ids = [f"s{i}" for i in range(n)]
    table = pl.DataFrame(
        {
            "sample_id": ids,
            "width": pl.Series(64 + image, dtype=pl.Int32),
            "pixel_entropy": hard,
            "spectral_entropy": pl.Series([None] * n, dtype=pl.Float64),
            "mean_logprob": logprob.mean(axis=1),
            "mean_tokens": np.ones(n),
            "rollouts": pl.Series([g] * n, dtype=pl.Int32),
            "pass_rate": correct.mean(axis=1),
            "perceptual_group": perceptual_groups(hard).labels,
            "reasoning_group": pl.Series(
                reasoning_groups(logprob.mean(axis=1), 4).labels, dtype=pl.Int32
            ),
            "error": pl.Series([None] * n, dtype=pl.String),
        }
    )
    columns = pl.DataFrame(
        {
            "sample_id": ids,
            "image_id": [f"image {i}" for i in image],
            "clutter": hard**2,
            "width": hard[::-1],
            "kind": ["colour", "count"] * (n // 2),
        }
    )
    rollouts = pl.DataFrame(
        {
            "sample_id": np.repeat(ids, g),
            "rollout": np.tile(np.arange(g), n),
            "n_tokens": np.ones(n * g, int),
            "sum_logprob": logprob.ravel(),
            "correct": correct.ravel(),
        }
    )
    grouping = GroupCuts(
        perceptual=PerceptualCuts(
            measure="pixel_entropy", percentiles=(25.0, 75.0), edges=(), sizes={}
        ),
        reasoning=ReasoningCuts(measure="mean_logprob", bins=4, edges=(), sizes={}),
    )
    return table, columns, rollouts, grouping


ALL = {**MEASURES, "mean_tokens": "higher"}


@pytest.fixture(scope="module")
def summary():
    table, columns, rollouts, grouping = full()
    return analyse(table, ALL, columns=columns, rollouts=rollouts, grouping=grouping)


@pytest.fixture(scope="module")
def whole(summary):
    return summary.scored


def test_a_summary_is_read_again_as_it_was_written(summary):
    written = json.loads(json.dumps(as_json(summary), allow_nan=False))
    assert read_summary(written) == summary
    written["error_rate"]["value"] = "0.5"
    with pytest.raises(ValueError, match=r"^'error_rate\.value': expected float"):
        read_summary(written)


def test_the_whole_summary_has_every_part(summary, whole):
    assert whole.clusters == DrawnTogether(of="image", n=12)
    assert {name: measure.kind for name, measure in whole.measures.items()} == {
        "pixel_entropy": "measure",
        "spectral_entropy": "measure",
        "mean_logprob": "measure",
        "mean_tokens": "baseline",
        "width": "column",
        "clutter": "column",
        "dataset: width": "column",
    }
    assert summary.grouping.reasoning.bins == 4
    assert list(whole.slices) == ["kind"]
    assert [row.group for row in whole.slices["kind"]] == ["colour", "count"]
    assert [row.samples for row in whole.slices["kind"]] == [24, 24]
    assert list(whole.split_half) == ["mean_logprob"]
    assert as_json(whole.reliability)["perceptual"] == {"fixed": True}
    assert 0 <= whole.reliability.reasoning.certain <= 1
    assert whole.measures["mean_tokens"].auroc.reason == "the measure is constant"
    # clutter is the square of pixel entropy: the same order, so the same numbers.
    clutter, entropy = whole.measures["clutter"], whole.measures["pixel_entropy"]
    assert (clutter.auroc, clutter.kendall) == (entropy.auroc, entropy.kendall)
    assert clutter.aurc == entropy.aurc


def test_joint_cells_add_up_to_both_groupings(whole):
    joint = whole.joint
    assert joint.rows == ["easy", "medium", "hard"] and joint.columns == [0, 1, 2, 3]
    assert sum(cell.samples for cell in joint.cells) == 48
    for kind in ("perceptual", "reasoning"):
        for row in whole.groups(kind):
            cells = [cell for cell in joint.cells if getattr(cell, kind) == row.group]
            assert sum(cell.samples for cell in cells) == row.samples


def test_contrasts_are_the_ends_of_the_groups(whole):
    for kind, hard, easy in (("perceptual", -1, 0), ("reasoning", 0, -1)):
        rates = [row.error_rate.value for row in whole.groups(kind)]
        assert whole.contrast[kind].value == pytest.approx(rates[hard] - rates[easy])
        assert "images are too few for an interval" in whole.contrast[kind].reason


def test_images_that_repeat_widen_the_intervals(whole):
    table, columns, rollouts, grouping = full()
    apart = analyse(table, ALL, columns=columns.drop("image_id"), grouping=grouping)
    alone = apart.scored

    def width(estimate):
        return estimate.high - estimate.low

    assert alone.clusters == DrawnTogether(of="sample", n=48)
    assert width(whole.error_rate) > 1.4 * width(alone.error_rate)
    assert alone.split_half is None and apart.grouping is grouping


def test_the_same_table_gives_the_same_numbers(summary):
    table, columns, rollouts, grouping = full()
    again = analyse(table, ALL, columns=columns, rollouts=rollouts, grouping=grouping)
    assert again == summary


def test_columns_of_another_table_are_refused():
    table, columns, _, _ = full()
    with pytest.raises(ValueError, match="columns has 47 rows, the table 48"):
        analyse(table, ALL, columns=columns.head(47))


NUMBER = st.one_of(
    st.none(), st.sampled_from([0.0, 1.0, -2.5, math.nan, math.inf, 1.7e308]), st.floats()
)
ODD = st.fixed_dictionaries(
    {
        "g": st.integers(1, 3),
        "right": st.integers(0, 3),
        "scored": st.booleans(),
        "entropy": st.one_of(st.none(), st.integers(0, 3)),
        "logprob": st.one_of(st.none(), st.floats(-3, 0)),
        "own": NUMBER,
        "kind": st.sampled_from(["a", "b", None]),
        "image": st.sampled_from(["x", "y", None]),
        "perceptual": st.sampled_from(["easy", "medium", "hard", None]),
        "reasoning": st.sampled_from([0, 1, None]),
    }
)


@given(st.lists(ODD, min_size=0, max_size=6), st.booleans(), st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_odd_tables_never_fail_and_never_hold_nan(rows, all_right, one_image):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 3)
        summary = analyse(**odd(rows, all_right, one_image))
    json.dumps(as_json(summary), allow_nan=False)
    for name, measure in summary.scored.measures.items() if summary.scored else ():
        for key in ("auroc", "spearman", "kendall", "aurc", "excess_aurc"):
            number = getattr(measure, key)
            assert number.value is not None or number.reason, name


def odd(rows, all_right, one_image):
    """Arguments of `analyse` from one dict a sample."""
    ids = [f"s{i}" for i in range(len(rows))]
    right = [row["g"] if all_right else min(row["right"], row["g"]) for row in rows]

    def column(key, dtype, only_scored=False):
        values = [row[key] if row["scored"] or not only_scored else None for row in rows]
        return pl.Series(values, dtype=dtype, strict=False)

    table = pl.DataFrame(
        {
            "sample_id": pl.Series(ids, dtype=pl.String),
            "width": pl.Series([64 + i % 2 for i in range(len(rows))], dtype=pl.Int32),
            "pixel_entropy": column("entropy", pl.Float64),
            "mean_logprob": column("logprob", pl.Float64, only_scored=True),
            "mean_tokens": column("own", pl.Float64),
            "rollouts": column("g", pl.Int32, only_scored=True),
            "pass_rate": pl.Series(
                [
                    r / row["g"] if row["scored"] else None
                    for r, row in zip(right, rows, strict=True)
                ],
                dtype=pl.Float64,
            ),
            "perceptual_group": column("perceptual", pl.String),
            "reasoning_group": column("reasoning", pl.Int32, only_scored=True),
            "error": pl.Series([None] * len(rows), dtype=pl.String),
        }
    )
    image = pl.Series(["x"] * len(rows), dtype=pl.String) if one_image else None
    columns = pl.DataFrame(
        {
            "sample_id": table["sample_id"],
            "image_id": column("image", pl.String) if image is None else image,
            "own": column("own", pl.Float64),
            "width": column("entropy", pl.Float64),
            "kind": column("kind", pl.String),
        }
    )
    drawn = [
        (sample, i, 2, row["logprob"], i < r)
        for sample, row, r in zip(ids, rows, right, strict=True)
        if row["scored"]
        for i in range(row["g"])
    ]
    schema = {
        "sample_id": pl.String, "rollout": pl.Int32, "n_tokens": pl.Int32,
        "sum_logprob": pl.Float64, "correct": pl.Boolean,
    }  # fmt: skip
    return {
        "table": table,
        "measures": {name: harder for name, harder in ALL.items() if name in table.columns},
        "columns": columns,
        "rollouts": pl.DataFrame(drawn, schema=schema, orient="row"),
        "grouping": GroupCuts(
            perceptual=PerceptualCuts(
                measure="mean_logprob", percentiles=(25.0, 75.0), edges=(-1.0,), sizes={}
            ),
            reasoning=ReasoningCuts(measure="pass_rate", bins="auto", edges=(0.5,), sizes={}),
        ),
    }
