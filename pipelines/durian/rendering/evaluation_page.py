"""The page of an evaluation: one self-contained file, and its numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durian.analysis.evaluation import (
    Accuracy,
    Evaluation,
    GreedyDifference,
    PassAt,
    SampledDifference,
)
from durian.analysis.statistics.estimate import Estimate
from durian.groups import KINDS
from durian.records import JsonObject
from durian.rendering.page import write_page

WAYS = ("greedy", "sampled")


@dataclass(frozen=True, kw_only=True)
class _Row:
    """All samples, or a group of them, and one estimate a way of drawing."""

    label: str
    samples: int
    estimates: Sequence[Estimate | None]


def write_evaluation(folder: Path, found: Evaluation, manifest: JsonObject) -> None:
    """Write index.html and summary.json; each whole or not at all.

    Args:
        found: with its sentences.
        manifest: what the page says of where its numbers come from.
    """
    models = found.models
    ways = [way for way in WAYS if getattr(models[0], way) is not None]
    write_page(
        folder,
        "evaluation.html.j2",
        [],
        found,
        ways=ways,
        accuracies=[_rows(found.counts.judged, model, ways) for model in models],
        tries=[f"pass@{k}" for k in found.settings.pass_at],
        passes=[_passes(model.pass_at or ()) for model in models],
        differences=_rows(found.counts.judged, found.comparison, ways) if found.comparison else [],
        manifest={key: manifest[key] for key in manifest if key not in ("identity", "seconds")},
    )


def _rows(samples: int, found: Any, ways: Sequence[str]) -> list[_Row]:
    """All samples first, then each group.

    Args:
        found: a `JudgedModel` or a `JudgedDifference`.
    """
    labelled = [("all", samples, found)]
    for kind in KINDS:
        labelled += [(f"{kind} {row.group}", row.n, row) for row in getattr(found, kind) or ()]
    return [
        _Row(label=label, samples=n, estimates=[_estimate(getattr(row, way)) for way in ways])
        for label, n, row in labelled
    ]


def _passes(found: Sequence[PassAt]) -> list[_Row]:
    return [_Row(label=row.label, samples=row.n, estimates=row.shares) for row in found]


def _estimate(
    found: Accuracy | GreedyDifference | SampledDifference | Estimate | None,
) -> Estimate | None:
    if isinstance(found, Accuracy):
        return found.estimate
    return found if isinstance(found, Estimate) or found is None else found.difference
