"""The report's bars, heat map and curves, each mark with the conditions that pick its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from durian.analysis.one_run.error_curve import CURVE_BINS
from durian.analysis.one_run.summary import Scored
from durian.analysis.statistics.error_share import ErrorsOfGroup
from durian.analysis.statistics.estimate import Estimate
from durian.errors import RunFolderError
from durian.groups import reasoning_groups
from durian.records import JsonObject
from durian.table.checked import check_summary
from durian.viewer.table import SampleTable
from durian.viewer.view import Clause

_SCORED = Clause(column="pass_rate", low=0.0)  # in a bin's range others may lie, that have no rate


def charts(table: SampleTable) -> JsonObject:
    """The charts of a run's report; with `missing`, why there are none.

    Raises:
        RunFolderError: a table is damaged.
    """
    try:
        summary = check_summary(table.run)
    except RunFolderError as error:
        return {"missing": str(error)}
    if summary.scored is None:
        return {"missing": "no completion was scored"}
    scored = summary.scored
    bars = [
        _bars("perceptual group", "perceptual_group", scored.groups("perceptual")),
        _bars("reasoning bin (0 is the least confident)", "reasoning_group",
              scored.groups("reasoning")),
        *(_bars(name, name, rows) for name, rows in scored.slices.items()),
    ]  # fmt: skip
    return {
        "error_rate": _estimate(scored.error_rate),
        "bars": [chart for chart in bars if chart["column"] in table.columns and chart["marks"]],
        "heat": _heat(scored),
        "curves": [
            {"column": name, "marks": _curve(table, name, scored)}
            for name in scored.measures
            if name in table.columns and len(scored.measures[name].curve) > 1
        ],
    }


def _bars(title: str, column: str, rows: Sequence[ErrorsOfGroup]) -> JsonObject:
    marks = [
        {
            "label": str(row.group),
            "samples": row.samples,
            "error": _estimate(row.error_rate),
            "where": [_equal(column, row.group).as_json],
        }
        for row in rows
    ]
    return {"title": title, "column": column, "marks": marks}


def _heat(scored: Scored) -> JsonObject | None:
    if scored.joint is None:
        return None
    return {
        "rows": scored.joint.rows,
        "columns": scored.joint.columns,
        "marks": [
            {
                "row": cell.perceptual,
                "column": cell.reasoning,
                "samples": cell.samples,
                "error": _estimate(cell.error_rate),
                "where": [
                    _equal("perceptual_group", cell.perceptual).as_json,
                    _equal("reasoning_group", cell.reasoning).as_json,
                ],
            }
            for cell in scored.joint.cells
        ],
    }


def _curve(table: SampleTable, name: str, scored: Scored) -> list[JsonObject]:
    """The bins of a measure's curve, whose ranges are found as the report cut them."""
    values, rate = (
        table.values(column).cast(float).fill_null(float("nan")).to_numpy()
        for column in (name, "pass_rate")
    )
    is_scored = ~np.isnan(rate)
    held = values[is_scored]
    labels = np.array([-1 if b is None else b for b in reasoning_groups(held, CURVE_BINS).labels])
    marks = []
    for point in scored.measures[name].curve:
        inside = held[labels == point.group]
        if not len(inside):
            continue
        where = [Clause(column=name, low=float(inside.min()), high=float(inside.max())).as_json]
        where += [] if is_scored.all() else [_SCORED.as_json]
        marks.append(
            {
                "at": point.mean,
                "samples": point.samples,
                "error": _estimate(point.error_rate),
                "where": where,
            }
        )
    return marks


def _equal(column: str, group: Any) -> Clause:
    if isinstance(group, int):
        return Clause(column=column, low=float(group), high=float(group))
    missing = group == "no group" and column.endswith("_group")
    return Clause(column=column, values=(None,) if missing else (str(group),))


def _estimate(estimate: Estimate) -> JsonObject:
    low, high = estimate.interval or (None, None)
    return {"value": estimate.value, "low": low, "high": high}
