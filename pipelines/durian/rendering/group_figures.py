"""Figures of groups of samples: errors by group, the joint view, slices, pass rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from durian.analysis.one_run.distribution import Bar, SpreadOfValue
from durian.analysis.one_run.summary import JointView
from durian.analysis.statistics.error_share import ErrorsOfGroup
from durian.analysis.statistics.pass_rates import SamplesAtRate
from durian.rendering.figures import (
    BLACK_INK,
    BLUE,
    GREEN,
    GREY,
    NARROW,
    PERCENT,
    WHITE_INK,
    bars,
    label,
    new_figure,
    percent_axis,
    title,
    values,
)

SLICES_DRAWN = 6


def errors_by_group(rows: Sequence[ErrorsOfGroup], name: str, colour: str, width: float) -> Figure:
    """Part of all errors and error rate of each group, side by side; one above the other on a
    phone."""
    narrow = width <= NARROW
    figure = new_figure(width, 5.6 if narrow else 3.0, gap=0.12)
    share, rate = figure.subplots(2, 1) if narrow else figure.subplots(1, 2)
    for axes, estimates, heading in (
        (share, [row.error_share for row in rows], "Part of all errors"),
        (rate, [row.error_rate for row in rows], "Wrong completions within the group"),
    ):
        known = {at: each for at, each in enumerate(estimates) if each.value is not None}
        heights, drawn = values(estimates), list(known.values())
        axes.bar(list(known), heights, yerr=bars(drawn), color=colour, capsize=3, ecolor="black")
        axes.set_xticks(range(len(rows)), [label(str(row.group), 12) for row in rows])
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set(title=heading, xlabel=label(name, 44))
        axes.set_ylim(0, None if any(heights) else 1)
        percent_axis(axes.yaxis)
        if not known:
            axes.text(0.5, 0.5, "no errors", transform=axes.transAxes, ha="center", color=GREY)
    if (completions := sum(row.completions for row in rows)) and known:
        for at, row in enumerate(rows):
            even = row.completions / completions
            share.plot([at - 0.4, at + 0.4], [even, even], color="black", linestyle=":")
    return figure


def joint_view(joint: JointView, names: tuple[str, str], width: float) -> Figure:
    """Error rate and number of samples where both groupings meet."""
    groups, numbers = joint.rows, joint.columns
    rate, count = (np.full((len(groups), len(numbers)), np.nan) for _ in range(2))
    for cell in joint.cells:
        at = groups.index(cell.perceptual), numbers.index(cell.reasoning)
        rate[at] = np.nan if cell.error_rate.value is None else cell.error_rate.value
        count[at] = cell.samples
    # On a phone the view stands on end: bins go down, so that numbers fit in their cells.
    upright = width <= NARROW
    across, down = (groups, numbers) if upright else (numbers, groups)
    if upright:
        rate, count = rate.T, count.T
    figure = new_figure(width, 0.42 * len(down) + 1.6 if upright else 0.62 * len(down) + 1.4)
    axes = figure.subplots()
    colours = colormaps["cividis"]
    image = axes.imshow(rate, cmap=colours, vmin=0, vmax=1, aspect="auto")
    crowded = len(across) > 12
    for (y, x), value in np.ndenumerate(rate):
        if np.isnan(count[y, x]) or crowded:
            continue
        said = "–" if np.isnan(value) else f"{100 * value:.0f} %"
        between = " · " if upright else "\n"
        axes.text(
            x, y, f"{said}{between}{count[y, x]:.0f}", ha="center", va="center", fontsize=9,
            color=_ink(colours(value)) if not np.isnan(value) else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(across)), [str(group) for group in across])
    axes.set_yticks(range(len(down)), [str(group) for group in down])
    over, along = names if upright else names[::-1]
    axes.set(xlabel=label(over, 44), ylabel=label(along, 44))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, format=PERCENT)
    bar.set_label("wrong completions")
    return figure


def _ink(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out more (contrast as WCAG 2 defines it)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK_INK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else WHITE_INK


def slices(by_column: Mapping[str, Sequence[ErrorsOfGroup]], width: float) -> Figure:
    """Error rate by value of each text column of the dataset."""
    known = {
        column: [row for row in rows if row.error_rate.value is not None]
        for column, rows in by_column.items()
    }
    names = {column: [str(row.group) for row in rows] for column, rows in known.items()}

    def draw(axes: Axes, column: str) -> None:
        rates = [row.error_rate for row in known[column]]
        axes.barh(
            range(len(rates)), values(rates), xerr=bars(rates), color=GREEN, capsize=2,
            ecolor="black", height=0.7,
        )  # fmt: skip
        axes.set_xlabel("wrong completions")
        percent_axis(axes.xaxis, 4)
        axes.set_xlim(left=0)

    return _by_column(names, draw, width)


def spread_slices(
    by_column: Mapping[str, Sequence[SpreadOfValue]], name: str, width: float
) -> Figure:
    """Median and middle half of a measure by value of each text column of the dataset."""
    names = {column: [row.value for row in rows] for column, rows in by_column.items()}

    def draw(axes: Axes, column: str) -> None:
        rows, places = by_column[column], range(len(by_column[column]))
        ends = [row.quartile_1 for row in rows], [row.quartile_3 for row in rows]
        axes.hlines(places, *ends, color=BLUE, linewidth=3, alpha=0.5)
        axes.plot([row.median for row in rows], places, "o", color=BLUE)
        axes.set_xlabel(label(name, 44))
        axes.set_ylim(-0.6, len(rows) - 0.4)

    return _by_column(names, draw, width)


def _by_column(
    by_column: Mapping[str, Sequence[str]], draw: Callable[[Axes, str], None], width: float
) -> Figure:
    """A panel a column, with a line a value; the first few columns.

    Args:
        by_column: the values of each, from the top.
        draw: what stands in the panel of one column, its values from place 0 on.
    """
    drawn = dict(list(by_column.items())[:SLICES_DRAWN])
    across = 1 if width <= NARROW else 2
    down = ceil(len(drawn) / across)
    tallest = [
        max(len(rows) for rows in list(drawn.values())[start : start + across])
        for start in range(0, len(drawn), across)
    ]
    figure = new_figure(width, sum(0.26 * most + 1.0 for most in tallest), gap=0.08)
    panels = figure.subplots(
        down, across, squeeze=False, height_ratios=[most + 3 for most in tallest]
    )
    for axes in panels.flat[len(drawn) :]:
        axes.set_axis_off()
    for axes, (column, names) in zip(panels.flat, drawn.items(), strict=False):
        draw(axes, column)
        axes.set_yticks(range(len(names)), [label(name, 18) for name in names])
        axes.invert_yaxis()
        axes.set(title=title(column, 24))
    return figure


def spread(histogram: Sequence[Bar], edges: Sequence[float], name: str, width: float) -> Figure:
    """How many samples have which values of a measure, and where its groups are cut."""
    figure = new_figure(width, 2.8)
    axes = figure.subplots()
    axes.bar(
        [bar.least for bar in histogram],
        [bar.samples for bar in histogram],
        width=[bar.most - bar.least or 1 for bar in histogram],
        align="edge", color=BLUE, edgecolor="white", linewidth=0.5,
    )  # fmt: skip
    for edge in edges:
        axes.axvline(edge, color="black", linestyle="--")
    axes.set(xlabel=label(name, 44), ylabel="Samples")
    return figure


def pass_rates(histogram: Sequence[SamplesAtRate], width: float) -> Figure:
    """Samples by the share of their completions that are right."""
    figure = new_figure(width, 2.8)
    axes = figure.subplots()
    rates = [bar.pass_rate for bar in histogram]
    counts = [bar.samples for bar in histogram]
    gaps = [b - a for a, b in zip(rates, rates[1:], strict=False)]
    drawn = axes.bar(rates, counts, width=0.8 * min([*gaps, 0.2]), color=BLUE)
    if len(rates) <= (9 if width <= NARROW else 17):
        axes.bar_label(drawn, fontsize=8)
    if len(rates) <= (5 if width <= NARROW else 17):
        axes.set_xticks(rates, [f"{100 * rate:.3g} %" for rate in rates])
    else:
        axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlim(-0.12, 1.12)
    axes.set(xlabel="Share of a sample's completions that are right", ylabel="Samples")
    return figure
