"""The page of a training: one self-contained file, its figures, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from durian.analysis.statistics.estimate import Estimate
from durian.analysis.training_log import Log, PartMean
from durian.analysis.validation import Validations
from durian.rendering.page import write_page
from durian.rendering.report_figures import ReportFigure
from durian.rendering.training_figures import lines_of, training_figures
from durian.rendering.validation_figure import draw_validations

VALIDATION = "validation"  # the figure of accuracy on the validation set


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """The numbers of a training's page."""

    title: str
    created: str
    facts: dict[str, str]  # what was trained, on what, how
    sentences: list[str]
    logged: dict[str, list[PartMean]]  # by name in the log
    seconds_a_step: dict[str, float]  # of the optimizer, by what they were spent on
    validation: Validations | None


def write_training(folder: Path, log: Log, summary: TrainingSummary) -> None:
    """Write index.html, every figure as .svg and .png, and summary.json; each whole or not at all.

    Args:
        log: what the trainer logged.
        summary: other people's names may be in its texts.
    """
    folder.mkdir(exist_ok=True)
    figures = training_figures(log, summary.seconds_a_step)
    found = summary.validation
    if found is not None and found.validations:
        figures.insert(0, _of_validations(found))
    write_page(
        folder,
        "training.html.j2",
        figures,
        summary,
        rows={figure.name: _rows(figure.name, summary.logged) for figure in figures},
        headings=_headings(summary.logged),
        validated=[] if found is None else _validated(found),
    )


def _of_validations(found: Validations) -> ReportFigure:
    return ReportFigure(
        VALIDATION,
        "Accuracy on the validation set",
        f"On {found.counts.samples:,} samples of {found.dataset}, every {found.every:,} optimizer "
        "steps, with 95 % intervals.",
        partial(draw_validations, found),
    )


def _headings(known: Mapping[str, Sequence[PartMean]]) -> list[str]:
    """The parts of the training, of the number that was logged in most of them."""
    parts = max(known.values(), key=len, default=())
    return [_steps(part) for part in parts]


def _steps(part: PartMean) -> str:
    first, last = f"{part.first_step:,}", f"{part.last_step:,}"
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _rows(
    figure: str, known: Mapping[str, Sequence[PartMean]]
) -> list[tuple[str, str, dict[str, float]]]:
    """Name, key in the log, and the mean of each part, of a figure's lines."""
    return [
        (name, key, {_steps(part): part.mean for part in known[key]})
        for key, name in lines_of(figure).items()
        if key in known
    ]


def _validated(found: Validations) -> list[tuple[int, dict[str, Estimate]]]:
    """Step of each validation, and its accuracies with their intervals, by name."""
    return [
        (one.step, {name: known.estimate for name, known in one.named()})
        for one in found.validations
    ]
