"""Figures of measures against error: curves, AUROC, risk and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from durian.analysis.one_run.error_curve import CurvePoint
from durian.analysis.one_run.split_half import SplitHalves
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.risk_coverage import Kept
from durian.rendering.figures import (
    BLUE,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    PERCENT,
    bars,
    interval_line,
    new_figure,
    percent_axis,
    title,
    values,
    with_unit,
)

COLOURS = {"measure": GREEN, "baseline": GREY, "column": BLUE}
# Line by line, told apart by dash as well as by colour.
LINES = (
    (BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), ("#CC79A7", (0, (3, 1, 1, 1, 1, 1))),
    ("#56B4E9", (0, (5, 1))), ("#E69F00", ":"),
)  # fmt: skip


def curves(
    measures: Mapping[str, Sequence[CurvePoint]], units: Mapping[str, str], width: float
) -> Figure:
    """Error rate along each measure, a panel each, with its isotonic fit."""
    across = 1 if width <= NARROW else 2
    down = ceil(len(measures) / across)
    figure = new_figure(width, 2.8 * down, gap=0.12)
    panels = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
    top = 0.0
    for axes, (name, points) in zip(panels, measures.items(), strict=False):
        x, rates = [point.mean for point in points], [point.error_rate for point in points]
        value = values(rates)
        below, above = bars(rates)
        low = [v - down for v, down in zip(value, below, strict=True)]
        high = [v + up for v, up in zip(value, above, strict=True)]
        top = max(top, *high)
        axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(x, value, color=BLUE, marker="o", markersize=4, clip_on=False)
        fit = [point.isotonic for point in points]
        axes.plot(x, fit, color="black", linewidth=1, linestyle="--")
        axes.set(title=title(name), xlabel=with_unit(name, units.get(name, "")))
        axes.yaxis.set_major_formatter(PERCENT)
    panels[0].set_ylim(0, min(1.0, 1.05 * top) or 1.0)  # of all panels, once all are drawn
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    for axes in panels[::across]:
        axes.set_ylabel("Wrong completions")
    return figure


def aurocs(
    measures: Mapping[str, Estimate],
    kinds: Mapping[str, str],
    differences: Mapping[str, Estimate],
    width: float,
) -> Figure:
    """AUROC of error of each measure; beside it, how much that is above length alone.

    Args:
        differences: measure -> its AUROC minus the baseline's; may be empty.
    """
    narrow, both = width <= NARROW, bool(differences)
    tall = 0.9 + 0.42 * len(measures)
    if not both:
        figure = new_figure(width, tall)
        left, right = figure.subplots(), None
    elif narrow:
        shares = [len(measures) + 1, len(differences) + 1]
        figure = new_figure(width, tall + 0.9 + 0.42 * len(differences), gap=0.08)
        left, right = figure.subplots(2, 1, height_ratios=shares)
    else:
        figure = new_figure(width, tall)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    _estimates(left, measures, kinds, 17 if narrow else 40)
    left.axvline(0.5, color="black", linestyle=":", linewidth=1)
    left.set_xlabel("AUROC of error")
    if right is not None:
        # Side by side the rows are shared, with a gap where there is no difference.
        beside = differences if narrow else {name: differences.get(name) for name in measures}
        _estimates(right, beside, kinds, 17)
        right.axvline(0, color="black", linestyle=":", linewidth=1)
        right.set_xlabel("minus that of length alone")
        right.tick_params(labelleft=narrow)
    return figure


def _estimates(
    axes: Axes,
    estimates: Mapping[str, Estimate | None],
    kinds: Mapping[str, str],
    wrap: int,
) -> None:
    """Draw the estimate of each measure in a row of its own, the first at the top."""
    axes.xaxis.set_major_locator(MaxNLocator(5))
    rising = list(estimates)[::-1]
    for place, name in enumerate(rising):
        if (estimate := estimates[name]) is not None:
            interval_line(axes, place, estimate, COLOURS[kinds[name]])
    axes.set_yticks(range(len(rising)), [title(name, wrap) for name in rising])
    axes.set_ylim(-0.5, len(rising) - 0.2)
    axes.margins(x=0.12)


def risk_coverage(
    measures: Mapping[str, Sequence[Kept]], base_rate: Estimate, width: float
) -> Figure:
    """Error rate of the samples that are kept, as a measure's hardest are left out one by one."""
    narrow = width <= NARROW
    figure = new_figure(width, 4.6 if narrow else 3.4)
    axes = figure.subplots()
    for (name, points), (colour, dash) in zip(measures.items(), LINES, strict=False):
        axes.plot(
            [point.coverage for point in points], [point.risk for point in points],
            color=colour, linestyle=dash, linewidth=1.8, label=title(name),
        )  # fmt: skip
    axes.axhline(*values([base_rate]), color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="Samples kept, the easiest first", ylabel="Wrong completions among them")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    percent_axis(axes.xaxis, 5)
    percent_axis(axes.yaxis)
    figure.legend(
        loc="outside lower left" if narrow else "outside right upper", frameon=False, fontsize=9
    )
    return figure


def split_halves(measures: Mapping[str, SplitHalves], width: float) -> Figure:
    """AUROC of error from half of the rollouts: of that half's errors, and of the other half's."""
    figure = new_figure(width, 1.1 + 0.65 * len(measures))
    axes = figure.subplots()
    rising = list(measures)[::-1]
    for place, name in enumerate(rising):
        interval_line(axes, place + 0.12, measures[name].same, ORANGE)
        interval_line(axes, place - 0.12, measures[name].other, BLUE, below=True)
    axes.plot([], [], color=ORANGE, marker="o", label="errors of the same half")
    axes.plot([], [], color=BLUE, marker="o", label="errors of the other half")
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rising)), [title(name, 17) for name in rising])
    axes.set_ylim(-0.7, len(rising) - 0.3)
    axes.margins(x=0.12)
    axes.set_xlabel("AUROC of error")
    figure.legend(
        loc="outside upper left", frameon=False, fontsize=9, ncols=1 if width <= NARROW else 2
    )
    return figure
