"""What was measured of one sample, as rows of the two tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

import pyarrow as pa

from durian.errors import one_line
from durian.measures.answer_entropy import answer_entropy
from durian.measures.confidence import mean_logprob, sum_logprob
from durian.rewards import Score, distinct_answers
from durian.samples import Rollout, Sample
from durian.schema import Column, arrow_schema


def difficulty_row(
    sample: Sample,
    *,
    copies: int,
    width: int | None,
    height: int | None,
    pixel_entropy: float | None,
    spectral_entropy: float | None,
    rollouts: Sequence[Rollout],
    scores: Sequence[Score],
    error: str | None,
) -> dict[str, Any]:
    """One row of difficulty.parquet; what is not in it is null.

    Empty `rollouts` were not drawn; empty `scores` beside rollouts mean that the reward failed.
    """
    row: dict[str, Any] = {
        "sample_id": sample.sample_id,
        "row": sample.row,
        "copies": copies,
        "problem": sample.problem,
        "answer": sample.answer,
        "n_images": len(sample.images),
        "width": width,
        "height": height,
        "pixel_entropy": pixel_entropy,
        "spectral_entropy": spectral_entropy,
        "error": error and one_line(error),  # the one gate: whatever raised it, no secret passes
    }
    if rollouts:
        lengths = [r.n_tokens for r in rollouts]
        logprobs = [r.sum_logprob for r in rollouts]
        row |= {
            "mean_logprob": mean_logprob(logprobs, lengths),
            "sum_logprob": sum_logprob(logprobs),
            "rollouts": len(rollouts),
            "mean_tokens": fmean(lengths),
            "truncated": fmean(r.finish_reason == "length" for r in rollouts),
        }
    if scores:
        rewards = [s.reward for s in scores]
        formatted = [s.formatted for s in scores if s.formatted is not None]
        row |= {
            "answer_entropy": answer_entropy(distinct_answers([s.answer for s in scores])),
            "answer_kind": scores[0].kind,
            "pass_rate": fmean(s.correct for s in scores),
            "format_rate": fmean(formatted) if formatted else None,
            "reward_mean": fmean(rewards),
            "reward_std": stdev(rewards) if len(rewards) > 1 else None,
        }
    return row


def rollout_rows(
    sample: Sample, rollouts: Sequence[Rollout], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """A sample's rows of rollouts.parquet; reward and answer are null where the reward failed."""
    rows: list[dict[str, Any]] = []
    for number, rollout in enumerate(rollouts):
        row = {
            "sample_id": sample.sample_id,
            "rollout": number,
            "completion": rollout.completion,
            "n_tokens": rollout.n_tokens,
            "sum_logprob": rollout.sum_logprob,
            "finish_reason": rollout.finish_reason,
        }
        if scores:
            score = scores[number]
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
    schema = arrow_schema(columns)
    text = {name for name, column in columns.items() if pa.types.is_string(column.type)}
    return pa.table(
        {
            name: pa.array(
                [_utf8(row.get(name)) if name in text else row.get(name) for row in rows],
                column.type,
            )
            for name, column in columns.items()
        },
        schema=schema,
    )


def _utf8(text: str | None) -> str | None:
    # A lone surrogate cannot be stored as UTF-8: its escape can.
    return text if text is None else text.encode("utf-8", "backslashreplace").decode()
