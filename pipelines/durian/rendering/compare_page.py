"""The page of a comparison: one self-contained file, its figures, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from durian.analysis.two_runs.comparison import Comparison
from durian.groups import KINDS, Kind
from durian.rendering import flow_figure
from durian.rendering.causes import WORDS
from durian.rendering.compare_sentences import compare_advice, verdict_sentence
from durian.rendering.gallery import Said
from durian.rendering.names import CONFIDENCE, name_of
from durian.rendering.page import write_page
from durian.rendering.report_figures import ReportFigure
from durian.rendering.text import encoded
from durian.run.manifest import Manifest

MOST_SHOWN = 12  # samples learned, and unlearned


@dataclass(frozen=True, kw_only=True)
class ChangedCard:
    """One sample that was learned or unlearned, with a completion of either run."""

    sample_id: str
    row: int
    problem: str
    answer: str
    a: str  # "1 of 8" that are right
    b: str
    completion_a: Said | None
    completion_b: Said | None
    learned: bool


@dataclass(frozen=True, kw_only=True)
class ChangedShelf:
    """Samples that changed in one direction, the largest change first."""

    heading: str
    cards: list[ChangedCard]


def write_comparison(
    folder: Path,
    *,
    summary: Comparison,
    shelves: Sequence[ChangedShelf],
    thumbnails: Mapping[str, bytes],
    manifests: Mapping[str, Manifest],
) -> None:
    """Write index.html, every figure as .svg and .png, and summary.json; each whole or not at all.

    Args:
        summary: with its sentences.
        thumbnails: sample id -> JPEG.
        manifests: of both runs, "a" and "b".
    """
    write_page(
        folder,
        "compare.html.j2",
        comparison_figures(summary),
        summary,
        drift=summary.drift,
        verdict=verdict_sentence(summary),
        advice=compare_advice(summary),
        shelves=shelves,
        images={
            card.sample_id: encoded(thumbnails.get(card.sample_id))
            for shelf in shelves
            for card in shelf.cards
        },
        manifests=manifests,
        causes=summary.causes,
        cause_words=WORDS,
    )


def comparison_figures(summary: Comparison) -> list[ReportFigure]:
    """The figures that the numbers allow."""
    drift, made = summary.drift, []
    for kind in KINDS:
        flow = drift.flows[kind]
        if not flow.samples:
            continue
        heading = _heading(summary, kind)
        ribbons = max(len(flow.groups_a), len(flow.groups_b)) <= flow_figure.MOST_RIBBONS
        made.append(
            ReportFigure(
                f"flows_{kind}",
                f"Who changed {kind} group",
                "Samples from each group of A to each group of B. "
                + (
                    "A ribbon is as thick as its samples are many."
                    if ribbons
                    else "A row is a group of A; the darker a cell, the larger its part of the "
                    "row. Outlined: the same group in both."
                ),
                partial(flow_figure.flows, flow, heading),
            )
        )
    panels = {_heading(summary, kind): rows for kind, rows in drift.changes.items() if rows}
    if panels:
        made.append(
            ReportFigure(
                "changes",
                "Errors before and after",
                "Share of wrong completions within each group of A: of A (hollow) and of B (full).",
                partial(flow_figure.changes, panels),
            )
        )
    known = {n: each for n, each in drift.measures.items() if each.auroc_a.value is not None}
    if known:
        made.append(
            ReportFigure(
                "measures",
                "Which measures kept their meaning",
                "How well each measure tells B's wrong completions from its right ones, as A took "
                "it (hollow) and as B took it (full), with 95 % intervals: 0.5 is chance.",
                partial(flow_figure.meanings, known),
            )
        )
    return made


def _heading(summary: Comparison, kind: Kind) -> str:
    """'Perceptual group', 'Confidence bin (0 = least confident)', 'Bin of kind (0 = hardest)'."""
    if kind == "perceptual":
        return "Perceptual group"
    measure = summary.grouping.a.reasoning.measure
    if measure in CONFIDENCE:
        return "Confidence bin (0 = least confident)"
    return f"Bin of {name_of(measure)} (0 = hardest)"
