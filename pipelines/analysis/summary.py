"""All that the report says of a table, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl

from pipelines.analysis.association import auroc_of_error, spearman_with_error
from pipelines.analysis.bootstrap import resamples_for
from pipelines.analysis.error_share import error_curve, error_rate, errors_by_group
from pipelines.analysis.pass_rates import pass_rate_shares
from pipelines.groups import PERCEPTUAL


def analyse(
    table: pl.DataFrame, measures: Mapping[str, Literal["higher", "lower"]], *, seed: int = 0
) -> dict[str, Any]:
    """What a difficulty table says.

    Args:
        table: difficulty.parquet, its texts not needed.
        measures: columns to hold against error, and which end of each is the hard one.
        seed: of the bootstrap.
    Returns:
        JSON values, no NaN: `samples`, `measured` (with scored completions), `completions`,
        `resamples`, `missing` (samples by reason), `spread` (range and quartiles of each measure).
        With scored completions also `error_rate`, `perceptual` and `reasoning` (`errors_by_group`),
        `measures` (name -> `n`, `auroc`, `spearman`, `curve`) and `pass_rates`.
    """
    summary: dict[str, Any] = {
        "samples": len(table),
        "seed": seed,
        "spread": {name: _spread(table[name]) for name in measures},
        "missing": [
            {"reason": reason, "samples": count}
            for reason, count in table["error"].drop_nulls().value_counts(sort=True).rows()
        ],
    }
    scored = table.filter(pl.col("pass_rate").is_not_null())
    summary["measured"] = len(scored)
    if scored.is_empty():
        return summary
    total = scored["rollouts"].to_numpy().astype(np.float64)
    wrong = np.round((1 - scored["pass_rate"].to_numpy()) * total)
    bins = sorted(scored["reasoning_group"].drop_nulls().unique().to_list())
    by_measure = {}
    for name, harder in measures.items():
        values = scored[name].cast(pl.Float64).to_numpy().astype(np.float64)
        known = ~np.isnan(values)
        given = values[known] * (1 if harder == "higher" else -1), wrong[known], total[known]
        by_measure[name] = {
            "n": int(known.sum()),
            "auroc": auroc_of_error(*given, seed=seed).as_dict(),
            "spearman": spearman_with_error(*given, seed=seed).as_dict(),
            "curve": error_curve(values[known], wrong[known], total[known], seed=seed),
        }
    return {
        **summary,
        "completions": int(total.sum()),
        "resamples": resamples_for(len(scored)),
        "error_rate": error_rate(wrong, total, seed=seed),
        "perceptual": errors_by_group(
            scored["perceptual_group"].to_list(), PERCEPTUAL, wrong, total, seed=seed
        ),
        "reasoning": errors_by_group(
            scored["reasoning_group"].to_list(), bins, wrong, total, seed=seed
        ),
        "measures": by_measure,
        "pass_rates": pass_rate_shares(wrong, total),
    }


def _spread(column: pl.Series) -> dict[str, Any]:
    known = column.drop_nulls().cast(pl.Float64).to_numpy()
    if not len(known):
        return {"n": 0}
    cuts = np.percentile(known, [0, 25, 50, 75, 100]).tolist()
    names = ("least", "quartile_1", "median", "quartile_3", "most")
    return {"n": len(known), **dict(zip(names, cuts, strict=True))}
