"""Figures of causes: how many samples and errors each has, and its part within each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from durian.analysis.one_run.causes import CausesOfGroup, OfCause
from durian.rendering.causes import WORDS
from durian.rendering.figures import (
    BLACK_INK,
    NARROW,
    WHITE_INK,
    bars,
    label,
    new_figure,
    percent_axis,
    title,
    values,
)

PANELS = 6  # groupings and columns that are drawn
# By kind: the data are at fault (purple), the end or the form (orange), nothing (green), the
# policy (blue). Shades of one kind differ in lightness, so that they are told apart without colour.
COLOURS = {
    "unreadable": "#5d3569",
    "conflict": "#8c4a9c",
    "doubtful_label": "#cc8fd9",
    "looped": "#8a4510",
    "cut": "#d55e01",
    "unformatted": "#f5b26b",
    "solved_blind": "#8fd6bf",
    "solved": "#009e74",
    "steady_wrong": "#1b5583",
    "scattered": "#0072b3",
    "guessed": "#76bbe8",
    "mixed": "#b4b4bd",
}
_DARK = ("unreadable", "conflict", "looped", "cut", "solved", "steady_wrong", "scattered")
_WORTH = 0.07  # a part of a bar that has room for its number


def causes(found: Sequence[OfCause], width: float) -> Figure:
    """The part of the samples and of the wrong completions that each cause has."""
    narrow = width <= NARROW
    height = 0.32 * len(found) + 1.0
    figure = new_figure(width, 2 * height if narrow else height, gap=0.08)
    panels = figure.subplots(2, 1) if narrow else figure.subplots(1, 2, sharey=True)
    for axes, estimates, heading in (
        (panels[0], [row.share for row in found], "Samples"),
        (panels[1], [row.error_share for row in found], "Wrong completions"),
    ):
        known = [(at, each) for at, each in enumerate(estimates) if each.value is not None]
        drawn = [each for _, each in known]
        axes.barh(
            [at for at, _ in known], values(drawn), xerr=bars(drawn), capsize=2, ecolor="black",
            color=[COLOURS[found[at].cause] for at, _ in known], height=0.7,
        )  # fmt: skip
        axes.set_yticks(
            range(len(found)), [f"{WORDS[row.cause]} ({row.samples:,})" for row in found]
        )
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set(title=heading)
        axes.set_xlim(left=0)
        percent_axis(axes.xaxis, 4)
    return figure


def causes_by_group(groups: Mapping[str, Sequence[CausesOfGroup]], width: float) -> Figure:
    """The part of the samples of each group, and of each value of a column, that a cause has."""
    drawn = dict(list(groups.items())[:PANELS])
    present = [
        cause
        for cause in COLOURS
        if any((row.shares[cause].value or 0) > 0 for rows in drawn.values() for row in rows
               if cause in row.shares)
    ]  # fmt: skip
    across = 1 if width <= NARROW else 2
    lines = -(-len(present) // (2 if across == 1 else 4))
    grid = [list(drawn)[start : start + across] for start in range(0, len(drawn), across)]
    tallest = [max(len(drawn[name]) for name in names) for names in grid]
    figure = new_figure(
        width, sum(0.26 * most + 0.75 for most in tallest) + 0.24 * lines + 0.2, gap=0.06
    )
    panels = figure.subplots(
        len(grid), across, squeeze=False, height_ratios=[most + 2 for most in tallest]
    )
    for axes in panels.flat[len(drawn) :]:
        axes.set_axis_off()
    for axes, (name, rows) in zip(panels.flat, drawn.items(), strict=False):
        left = [0.0] * len(rows)
        for cause in present:
            parts = [
                (row.shares[cause].value or 0.0) if cause in row.shares else 0.0 for row in rows
            ]
            axes.barh(range(len(rows)), parts, left=left, color=COLOURS[cause], height=0.78,
                      edgecolor="white", linewidth=0.5)  # fmt: skip
            for at, part in enumerate(parts):
                if part >= _WORTH:
                    axes.text(
                        left[at] + part / 2, at, f"{100 * part:.0f}", ha="center", va="center",
                        fontsize=8, color=WHITE_INK if cause in _DARK else BLACK_INK,
                    )  # fmt: skip
            left = [a + b for a, b in zip(left, parts, strict=True)]
        axes.set_yticks(
            range(len(rows)), [f"{label(str(row.group), 16)} ({row.samples:,})" for row in rows]
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set(title=_heading(name))
        percent_axis(axes.xaxis, 4)
    keys = [Patch(color=COLOURS[cause], label=WORDS[cause]) for cause in present]
    figure.legend(
        handles=keys, loc="outside lower center", ncols=2 if across == 1 else 4, frameon=False,
        fontsize=9,
    )  # fmt: skip
    return figure


def _heading(name: str) -> str:
    known = {"perceptual": "Perceptual group", "reasoning": "Reasoning bin"}
    return known.get(name) or title(name, 24)
