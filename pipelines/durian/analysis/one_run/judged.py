"""Count the verdicts that a judge overturned, and pick some for a person to check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

SHOWN = 50  # overturned verdicts that a person may check


@dataclass(frozen=True)
class Overturned:
    """An answer that the rule called wrong and the judge right."""

    row: int
    problem: str
    reference: str
    answer: str


@dataclass(frozen=True)
class Judged:
    """Counts of a judge's verdicts and of those against the rule, with examples to check."""

    asked: int  # completions
    overturned: int
    shown: list[Overturned]  # spread over the whole table, in its order


def judged(table: pl.DataFrame, rollouts: pl.DataFrame) -> Judged | None:
    """Count a judge's verdicts; None where no judge was asked.

    Args:
        table: sample_id, row, problem and answer of each sample.
        rollouts: sample_id, answer, correct and judged of each completion.
    """
    asked = rollouts.filter(pl.col("judged"))
    if asked.is_empty():
        return None
    # One answer of a sample is shown once, however many rollouts gave it, and the examples are
    # spread over the table: the first fifty could be of one source.
    right = asked.filter(pl.col("correct")).unique(["sample_id", "answer"], maintain_order=True)
    rows = right.join(table, on="sample_id", suffix="_wanted").sort("row", maintain_order=True)
    places = np.unique(np.linspace(0, max(0, len(rows) - 1), min(SHOWN, len(rows))).astype(int))
    shown = rows[places.tolist()].select("row", "problem", "answer_wanted", "answer")
    return Judged(
        asked=len(asked),
        overturned=int(asked["correct"].sum()),
        shown=[Overturned(*row) for row in shown.iter_rows()],
    )
