"""Luck is not named: of many columns and slices without bearing on error, some stand out."""

import numpy as np
import polars as pl
import pytest

from durian.analysis.one_run.summary import analyse
from durian.analysis.statistics.estimate import Estimate
from durian.groups import (
    GroupCuts,
    PerceptualCuts,
    ReasoningCuts,
    perceptual_groups,
    reasoning_groups,
)
from durian.rendering.advice import advice
from durian.rendering.sentences import sentences, stands_out

N, G, COLUMNS, TEXTS = 240, 4, 100, 10
MEASURES = {"pixel_entropy": "higher", "mean_logprob": "lower"}


def summarised(seed, told=None):
    """100 numbers and 10 texts of five values, drawn apart from the errors; `told` is of them."""
    rng = np.random.default_rng(seed)
    hard, entropy, confidence = rng.uniform(size=N), rng.normal(size=N), rng.normal(size=N)
    wrong = rng.binomial(G, hard)
    table = pl.DataFrame(
        {
            "pixel_entropy": entropy, "mean_logprob": confidence,
            "rollouts": pl.Series([G] * N, dtype=pl.Int32), "pass_rate": 1 - wrong / G,
            "perceptual_group": perceptual_groups(entropy).labels,
            "reasoning_group": pl.Series(reasoning_groups(confidence, 4).labels, dtype=pl.Int32),
            "error": pl.Series([None] * N, dtype=pl.String),
        }
    )  # fmt: skip
    columns = {f"number {k}": rng.normal(size=N) for k in range(COLUMNS)}
    columns |= {f"text {k}": rng.choice(list("abcde"), N) for k in range(TEXTS)}
    if told is not None:
        columns["told"] = hard + told * rng.normal(size=N)
        columns["kind"] = np.where(hard > 0.8, "hard", "other")
    grouping = GroupCuts(
        perceptual=PerceptualCuts(
            measure="pixel_entropy", percentiles=(25.0, 75.0), edges=(), sizes={}
        ),
        reasoning=ReasoningCuts(measure="mean_logprob", bins=4, edges=(), sizes={}),
    )
    return analyse(table, MEASURES, columns=pl.DataFrame(columns), grouping=grouping)


@pytest.mark.parametrize("seed", range(6))
def test_of_a_hundred_columns_of_luck_none_is_named(seed):
    summary = summarised(seed)
    assert summary.scored.looked_at.columns == COLUMNS
    said = " ".join([*sentences(summary), *(line.say + line.do for line in advice(summary))])
    assert "number " not in said and "text " not in said
    assert "Of 2 measures none surely tells wrong completions from right ones." in said


def test_a_column_and_a_slice_that_do_tell_errors_are_named_among_a_hundred_of_luck():
    summary = summarised(0, told=0.1)
    said = sentences(summary)[0]
    assert "most often where kind is hard" in said and "of 52 slices looked at" in said
    (line,) = (line for line in advice(summary) if "--perceptual" in line.do)
    assert line.do == "durian group RUN --perceptual told"
    assert "among the 101 columns looked at" in line.say


def test_the_more_were_looked_at_the_further_one_must_stand_out():
    # 0.7 (0.55 to 0.85) is 0.2 / 0.15 * 1.96 = 2.6 deviations above 1/2; of one look 1.96 are
    # enough, of ten 2.81 are asked (5 % / 10), of a hundred 3.48.
    auroc = Estimate(value=0.7, low=0.55, high=0.85)
    assert [stands_out(auroc, 0.5, tried) for tried in (1, 5, 10, 100)] == [
        True,
        True,
        False,
        False,
    ]
    assert not stands_out(Estimate(value=0.9, reason="only 1 sample has it"), 0.5, 1)
    assert not stands_out(Estimate(value=0.4, low=0.3, high=0.5), 0.5, 1)
