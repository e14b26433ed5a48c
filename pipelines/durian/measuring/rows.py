"""Turn the measurements of one sample into rows of the two tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from durian.errors import one_line
from durian.measures import Column
from durian.measures.base import Values
from durian.samples import Rollout, Sample, Score
from durian.schema import arrow_array, arrow_schema, arrow_type


def difficulty_row(
    sample: Sample,
    *,
    copies: int,
    n_images: int,
    width: int | None,
    height: int | None,
    values: Values,
    error: str | None,
) -> dict[str, Any]:
    """One row of difficulty.parquet; what is not in it is null.

    Args:
        values: what the measures give, by column.
        error: why some are missing.
    """
    return {
        "sample_id": sample.sample_id,
        "row": sample.row,
        "copies": copies,
        "problem": sample.problem,
        "answer": sample.answer,
        "n_images": n_images,
        "width": width,
        "height": height,
        **values,
        "error": error and one_line(error),  # the one gate: whatever raised it, no secret passes
    }


def rollout_rows(
    sample: Sample,
    rollouts: Sequence[Rollout],
    scores: Sequence[Score],
    *,
    blind: bool = False,
    first: int = 0,
) -> list[dict[str, Any]]:
    """A sample's rows of rollouts.parquet; reward and answer are null where the reward failed.

    Args:
        blind: they were drawn without the image.
        first: the number of the first of them.
    """
    rows: list[dict[str, Any]] = []
    for place, rollout in enumerate(rollouts):
        row = {
            "sample_id": sample.sample_id,
            "rollout": first + place,
            "completion": rollout.completion,
            "n_tokens": rollout.n_tokens,
            "sum_logprob": rollout.sum_logprob,
            "finish_reason": rollout.finish_reason,
            "blind": blind,
        }
        if scores:
            score = scores[place]
            row |= {
                "answer": score.answer,
                "reward": score.reward,
                "correct": score.correct,
                "formatted": score.formatted,
                "judged": score.judged,
            }
        rows.append(row)
    return rows


def arrow_table(rows: list[dict[str, Any]], columns: dict[str, Column]) -> pa.Table:
    """Rows as an Arrow table of the explicit schema: an all-null column keeps its type."""
    # Most columns are of measures that were not asked for, and in no row.
    measured = {name for row in rows for name in row}
    arrays = []
    for name, column in columns.items():
        if name not in measured:
            arrays.append(pa.nulls(len(rows), arrow_type(column)))
            continue
        values = [row.get(name) for row in rows]
        if column.type == "string":
            values = [_utf8(value) for value in values]
        arrays.append(arrow_array(values, arrow_type(column)))
    return pa.table(arrays, schema=arrow_schema(columns))


def _utf8(text: str | None) -> str | None:
    # A lone surrogate cannot be stored as UTF-8: its escape can.
    return text if text is None else text.encode("utf-8", "backslashreplace").decode()
