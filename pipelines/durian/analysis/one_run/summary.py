"""All that the report says of a table, as one JSON object."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from durian.analysis.one_run.against_error import AgainstError, Differences, Drawn
from durian.analysis.one_run.columns import candidates, image_clusters, numbers, slice_columns
from durian.analysis.one_run.reliability import REDRAWS, group_reliability, pass_rate_reliability
from durian.analysis.one_run.rollouts import rollout_arrays
from durian.analysis.one_run.split_half import split_halves
from durian.analysis.reasons import grouped
from durian.analysis.statistics.bootstrap import (
    Estimate,
    Floats,
    Statistic,
    resample,
    resamples_for,
)
from durian.analysis.statistics.error_share import Clusters, GroupErrors
from durian.analysis.statistics.pass_rates import pass_rate_shares
from durian.groups import PERCEPTUAL, Harder


def analyse(
    table: pl.DataFrame,
    measures: Mapping[str, Harder],
    *,
    columns: pl.DataFrame | None = None,
    rollouts: pl.DataFrame | None = None,
    grouping: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What a difficulty table says.

    Args:
        table: difficulty.parquet, its texts not needed.
        measures: columns to hold against error, and which end of each is the hard one.
        columns: columns.parquet, row by row with the table: `image_id`, and the dataset's own
            further columns, numbers and texts.
        rollouts: of the table's samples: `sample_id`, `rollout`, `n_tokens`, `sum_logprob`,
            `correct`. The table then has `sample_id`.
        grouping: the manifest's `groups`: how the table's groups were cut.
        seed: of the bootstrap, the splits and the redraws.
    Returns:
        JSON values, no NaN: `samples`, `measured` (with scored completions), `missing` (samples by
        reason), `spread` (range and quartiles of each measure), `seed`, `grouping` as given. With
        scored completions also `completions`, `resamples`, `clusters` (what is drawn again),
        `error_rate`, `perceptual` and `reasoning` (`errors_by_group`), `contrast` (the hardest
        group less the easiest), `joint` (both groupings crossed; absent where one is empty),
        `slices` (`errors_by_group` of the dataset's texts), `measures` (name -> `n`, `kind`,
        `harder`, the numbers of `associate`, `base_rate`, `curve`, `risk_coverage`), `differences`
        of AUROC, `reliability`, `pass_rates`, and with rollouts `split_half`.

        All intervals come from the same resamples. A plain column's hard end is the one that fits
        better, so its AUROC leans above 0.5: an interval that reaches 0.5 says nothing.
    Raises:
        ValueError: `columns` has not one row a row of the table.
    """
    if columns is not None and len(columns) != len(table):
        raise ValueError(f"columns has {len(columns)} rows, the table {len(table)}")
    is_scored = table["pass_rate"].is_not_null() & (table["rollouts"].fill_null(0) > 0)
    summary: dict[str, Any] = {
        "samples": len(table),
        "seed": seed,
        "spread": {name: _spread(numbers(table[name])) for name in measures},
        "missing": [
            {"reason": reason, "samples": count}
            for reason, count in grouped(table["error"].drop_nulls()).items()
        ],
        "measured": int(is_scored.sum()),
    }
    if grouping is not None:
        summary["grouping"] = grouping
    if not is_scored.any():
        return summary
    scored = table.filter(is_scored)
    scored_columns = None if columns is None else columns.filter(is_scored)
    return summary | _of_scored(scored, measures, scored_columns, rollouts, grouping, seed)


def _of_scored(
    table: pl.DataFrame,
    measures: Mapping[str, Harder],
    columns: pl.DataFrame | None,
    rollouts: pl.DataFrame | None,
    grouping: Mapping[str, Any] | None,
    seed: int,
) -> dict[str, Any]:
    total = table["rollouts"].to_numpy().astype(np.float64)
    wrong = np.round((1 - table["pass_rate"].to_numpy()) * total)
    clusters = image_clusters(table, columns)
    arrays = None if rollouts is None else rollout_arrays(rollouts, table["sample_id"])
    labels = {kind: table[f"{kind}_group"].to_list() for kind in ("perceptual", "reasoning")}
    texts = slice_columns(columns, {*table.columns, *measures})

    groups = _groups(labels, texts, wrong, total, clusters)
    found = {
        name: AgainstError(name, candidate, wrong, total, clusters)
        for name, candidate in candidates(table, measures, columns).items()
    }
    differences = Differences(found, wrong, total)
    halves = {} if arrays is None else split_halves(measures, arrays, seed=seed)
    statistics: dict[Hashable, Statistic] = {("groups", key): of for key, of in groups.items()}
    for held in found.values():
        statistics |= held.statistics()
    statistics |= differences.statistics()
    for half in halves.values():
        statistics |= half.statistics()
    drawn = resample(statistics, len(table), seed=seed, clusters=clusters)
    rows = {key: of.rows(drawn["groups", key]) for key, of in groups.items()}

    summary = {
        "completions": int(total.sum()),
        "resamples": resamples_for(len(table)),
        "clusters": {
            "of": "sample" if clusters is None else "image",
            "n": len(table) if clusters is None else int(clusters.max()) + 1,
        },
        "error_rate": rows["all"][0]["error_rate"],
        "perceptual": rows["perceptual"],
        "reasoning": rows["reasoning"],
        "contrast": _contrasts(groups, drawn),
        "slices": {name: rows["slice", name] for name in texts},
        "measures": {name: held.described(drawn) for name, held in found.items()},
        "differences": differences.described(drawn),
        "reliability": {
            "rollouts": int(np.bincount(total.astype(np.intp)).argmax()),
            "fewest_rollouts": int(total.min()),
            "most_rollouts": int(total.max()),
            "resamples": REDRAWS,
            "pass_rate": pass_rate_reliability(wrong, total),
            **group_reliability(grouping, measures, arrays, labels, seed=seed),
        },
        "pass_rates": pass_rate_shares(wrong, total),
    }
    if rows["joint"]:
        summary["joint"] = {
            "rows": list(PERCEPTUAL),
            "columns": list(groups["reasoning"].order),
            "cells": [
                {
                    "perceptual": row["group"][0],
                    "reasoning": row["group"][1],
                    "samples": row["samples"],
                    "error_rate": row["error_rate"],
                }
                for row in rows["joint"]
            ],
        }
    if arrays is not None:
        summary["split_half"] = {name: half.estimates(drawn) for name, half in halves.items()}
    return summary


def _groups(
    labels: Mapping[str, Sequence[Any]],
    texts: Mapping[str, Sequence[str | None]],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> dict[Hashable, GroupErrors]:
    """All, both groupings, the two crossed, and every slice."""
    bins = sorted({label for label in labels["reasoning"] if label is not None})
    crossed = list(zip(labels["perceptual"], labels["reasoning"], strict=True))
    filled = set(crossed)
    cut: dict[Hashable, tuple[Sequence[Hashable], Sequence[Hashable]]] = {
        "all": ([0] * len(wrong), [0]),
        "perceptual": (labels["perceptual"], PERCEPTUAL),
        "reasoning": (labels["reasoning"], bins),
        "joint": (crossed, [(p, r) for p in PERCEPTUAL for r in bins if (p, r) in filled]),
    }
    for name, of in texts.items():
        cut["slice", name] = of, sorted({text for text in of if text is not None})
    return {key: GroupErrors(*of, wrong, total, clusters) for key, of in cut.items()}


def _contrasts(groups: Mapping[Hashable, GroupErrors], drawn: Drawn) -> dict[str, Any]:
    """Error rate of the hardest group less that of the easiest."""
    contrasts = {}
    for kind in ("perceptual", "reasoning"):
        order = groups[kind].order
        hard, easy = (order[-1:], order[:1]) if kind == "perceptual" else (order[:1], order[-1:])
        if len(order) < 2:
            estimate = Estimate(value=None, reason=f"there are {len(order)} {kind} groups")
        else:
            estimate = groups[kind].contrast(drawn["groups", kind], hard[0], easy[0])
        contrasts[kind] = estimate.as_dict()
    return contrasts


def _spread(values: Floats) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"n": 0}
    cuts = np.percentile(known, [0, 25, 50, 75, 100]).tolist()
    names = ("least", "quartile_1", "median", "quartile_3", "most")
    return {"n": len(known), **dict(zip(names, cuts, strict=True))}
