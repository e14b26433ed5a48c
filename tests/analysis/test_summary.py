"""What a table says, whatever it lacks: JSON without NaN, and the right numbers in their places."""

import json

import numpy as np
import polars as pl
import pytest

from pipelines.analysis.summary import analyse

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


@pytest.mark.parametrize("case", CASES)
def test_every_table_gives_json_without_nan(table, case):
    given = CASES[case](table)
    summary = analyse(given, MEASURES)
    json.dumps(summary, allow_nan=False)
    assert summary["samples"] == len(given)
    assert summary["measured"] == given["pass_rate"].count()


def test_a_table_without_policy_has_no_error_rate(table):
    summary = analyse(CASES["pixel only"](table), MEASURES)
    assert "error_rate" not in summary and summary["measured"] == 0
    # 0, 8/60, ... 8 * 59/60: the median is halfway between places 29 and 30.
    assert summary["spread"]["pixel_entropy"]["median"] == pytest.approx(8 * 29.5 / 60)
    assert summary["spread"]["spectral_entropy"] == {"n": 0}


def test_failures_are_counted_by_reason_most_frequent_first(table):
    reasons = ["too large"] * 2 + ["does not decode"] * 5 + [None] * 53
    given = table.with_columns(error=pl.Series(reasons, dtype=pl.String))
    assert analyse(given, MEASURES)["missing"] == [
        {"reason": "does not decode", "samples": 5},
        {"reason": "too large", "samples": 2},
    ]


def test_measures_are_turned_so_that_harder_is_higher(table):
    of = analyse(table, MEASURES)["measures"]
    # mean_logprob is pixel entropy turned round and scaled: both tell errors equally well.
    for key in ("auroc", "spearman"):
        assert of["mean_logprob"][key] == of["pixel_entropy"][key]
        assert of["mean_logprob"][key]["value"] > 0.5
    # Their curves run opposite ways, along each measure's own axis.
    first, last = of["mean_logprob"]["curve"][0], of["mean_logprob"]["curve"][-1]
    assert first["error_rate"]["value"] > last["error_rate"]["value"]
    assert of["spectral_entropy"]["n"] == 0 and of["spectral_entropy"]["auroc"]["value"] is None


def test_counts_come_back_from_pass_rates(table):
    # 1 - 0.9 is 0.09999999999999998 in binary: of 10 completions that is still 1 wrong.
    given = table.head(2).with_columns(
        rollouts=pl.lit(10, pl.Int32), pass_rate=pl.Series([0.9, 0.9])
    )
    summary = analyse(given, MEASURES)
    assert summary["completions"] == 20 and summary["perceptual"][0]["errors"] == 2


def test_row_order_changes_no_estimate(table):
    def values(summary):
        return [
            [row["error_rate"]["value"] for row in summary["perceptual"] + summary["reasoning"]],
            [of["auroc"]["value"] for of in summary["measures"].values()],
        ]

    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    assert values(analyse(table, MEASURES)) == values(analyse(shuffled, MEASURES))
