"""Figures of a comparison: who went from which group to which, and what changed within groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from durian.analysis.two_runs.drift import GroupChange, MeasureDrift
from durian.analysis.two_runs.group_flow import Flow
from durian.rendering.figures import (
    BLACK_INK,
    BLUE,
    GREY,
    NARROW,
    ORANGE,
    WHITE_INK,
    label,
    new_figure,
    percent_axis,
    title,
    values,
)

Floats = NDArray[np.float64]

MOST_RIBBONS = 5  # groups on either side; beyond, ribbons cross too often to be read
_BLOCK, _GAP = 0.06, 0.03  # width of a block, and room between two, as parts of the picture


def flows(flow: Flow, heading: str, width: float) -> Figure:
    """Samples from each group of A to each of B: ribbons, or a heat map where groups are many."""
    counts = np.array(flow.counts, np.float64)
    names = [
        [label(str(group), 12) for group in groups] for groups in (flow.groups_a, flow.groups_b)
    ]
    if max(counts.shape) <= MOST_RIBBONS:
        return _ribbons(counts, names[0], names[1], width)
    return _heat_map(counts, names[0], names[1], heading, width)


def _ribbons(counts: Floats, first: list[str], second: list[str], width: float) -> Figure:
    figure = new_figure(width, 3.2)
    axes = figure.subplots()
    colours = colormaps["cividis"](np.linspace(0.05, 0.9, len(first)))
    total = counts.sum()
    left, right = _stack(counts.sum(axis=1) / total), _stack(counts.sum(axis=0) / total)
    # Each ribbon takes the next free piece of its block on either side, in the order of the groups,
    # so that ribbons of one block lie side by side and cross as little as they can.
    from_a, to_b = left.copy(), right.copy()
    for (a, b), count in np.ndenumerate(counts):
        if count:
            high = float(count / total)
            axes.add_patch(_ribbon(float(from_a[a]), float(to_b[b]), high, colours[a]))
            from_a[a] -= high
            to_b[b] -= high
    for x, tops, sizes, names in (
        (0.0, left, counts.sum(axis=1), first), (1 - _BLOCK, right, counts.sum(axis=0), second),
    ):  # fmt: skip
        for place, (top, size, name) in enumerate(zip(tops, sizes, names, strict=True)):
            high = size / total
            colour = colours[place] if x == 0 or first == second else GREY
            axes.add_patch(Rectangle((x, top - high), _BLOCK, high, color=colour))
            if size:
                axes.text(
                    -0.015 if x == 0 else 1.015, top - high / 2, f"{name}\n{size:,.0f}",
                    ha="right" if x == 0 else "left", va="center", fontsize=9,
                )  # fmt: skip
    side = 0.3 if width <= NARROW else 0.14
    axes.set_xlim(-side, 1 + side)
    axes.set_ylim(-0.02 - _GAP * (max(counts.shape) - 1), 1.12)
    axes.text(0, 1.04, "A", ha="left", weight="bold")
    axes.text(1, 1.04, "B", ha="right", weight="bold")
    axes.set_axis_off()
    return figure


def _stack(shares: Floats) -> Floats:
    """Upper edge of each block, from the top down, with a gap after each."""
    return 1 - np.cumsum(np.r_[0.0, shares[:-1] + _GAP])


def _ribbon(top_a: float, top_b: float, high: float, colour: Any) -> PathPatch:
    left, right, middle = _BLOCK, 1 - _BLOCK, 0.5
    points = [
        (left, top_a), (middle, top_a), (middle, top_b), (right, top_b),
        (right, top_b - high), (middle, top_b - high), (middle, top_a - high), (left, top_a - high),
        (left, top_a),
    ]  # fmt: skip
    codes = [
        Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4,
        Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4,
        Path.CLOSEPOLY,
    ]  # fmt: skip
    return PathPatch(Path(points, codes), facecolor=colour, alpha=0.55, linewidth=0)


def _heat_map(
    counts: Floats, first: list[str], second: list[str], heading: str, width: float
) -> Figure:
    """Rows are groups of A; the darker a cell, the larger its part of the row."""
    narrow = width <= NARROW
    figure = new_figure(width, (0.3 if narrow else 0.4) * len(first) + 1.3)
    axes = figure.subplots()
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.5, shares.max()), aspect="auto")
    if max(counts.shape) <= 16:
        for (y, x), count in np.ndenumerate(counts):
            if count:
                dark = shares[y, x] > 0.6 * image.norm.vmax  # type: ignore[operator]
                axes.text(
                    x, y, f"{count:.0f}", ha="center", va="center", fontsize=7 if narrow else 9,
                    color=WHITE_INK if dark else BLACK_INK,
                )  # fmt: skip
    if first == second:
        for place in range(len(first)):
            axes.add_patch(
                Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor=ORANGE)
            )
    axes.set_xticks(range(len(second)), second)
    axes.set_yticks(range(len(first)), first)
    axes.set(xlabel=f"{heading} in B", ylabel=f"{heading} in A")
    axes.spines[:].set_visible(False)
    return figure


def changes(panels: Mapping[str, Sequence[GroupChange]], width: float) -> Figure:
    """Error rate of A and of B within each group of A: a hollow dot, an arrow, a full dot."""
    narrow = width <= NARROW
    tallest = max(len(rows) for rows in panels.values())
    if narrow:
        high = sum(0.3 * len(rows) + 1.1 for rows in panels.values())
        figure = new_figure(width, high)
        places = figure.subplots(
            len(panels), 1, squeeze=False,
            height_ratios=[len(rows) + 2 for rows in panels.values()],
        )  # fmt: skip
    else:
        figure = new_figure(width, 0.3 * tallest + 1.2)
        places = figure.subplots(1, len(panels), squeeze=False)
    for axes, (heading, rows) in zip(places.flat, panels.items(), strict=True):
        for place, row in enumerate(rows):
            _arrow(axes, place, row)
        axes.set_yticks(range(len(rows)), [label(str(row.group), 12) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        axes.set(title=heading, xlabel="Wrong completions")
        percent_axis(axes.xaxis)
    return figure


def _arrow(axes: Axes, place: int, row: GroupChange) -> None:
    if abs(row.b - row.a) > 0.015:
        axes.annotate(
            "", (row.b, place), (row.a, place),
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 2, "shrinkA": 4},
        )  # fmt: skip
    axes.plot(row.a, place, "o", markersize=8, color=GREY, markerfacecolor="white")
    axes.plot(row.b, place, "o", markersize=8, color=BLUE)


def meanings(measures: Mapping[str, MeasureDrift], width: float) -> Figure:
    """AUROC of B's errors by each measure as A took it, and as B took it."""
    figure = new_figure(width, 0.5 * len(measures) + 1.1)
    axes = figure.subplots()
    for place, measure in enumerate(measures.values()):
        for at, estimate, colour, filled in (
            (place - 0.13, measure.auroc_a, GREY, "white"),
            (place + 0.13, measure.auroc_b, BLUE, BLUE),
        ):
            if estimate.interval is not None:
                axes.plot(estimate.interval, [at] * 2, color=colour, linewidth=2)
            axes.plot(
                values([estimate]), [at], "o", markersize=7, color=colour, markerfacecolor=filled
            )
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(measures)), [title(name) for name in measures])
    axes.set_ylim(len(measures) - 0.5, -0.6)
    axes.set_xlabel("AUROC of B's errors")
    return figure
