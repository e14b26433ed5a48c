"""Figures of a training's steps: right completions of all samples, by group, and of a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from durian.analysis.one_run.learning import Learning, LearningPoint, SampleCurve
from durian.rendering.figures import (
    BLUE,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    label,
    new_figure,
    percent_axis,
)

_COLOURS = (GREEN, BLUE, ORANGE)  # from easy to hard
_ALL = "all samples"


def learning_curves(learning: Learning, names: Mapping[str, str], width: float) -> Figure:
    """Share of right completions along the steps: of all, and a panel a grouping.

    Args:
        names: of each kind of groups, in words.
    """
    panels: dict[str, dict[str, Sequence[LearningPoint]]] = {
        names[kind]: _ends(groups) for kind, groups in learning.groups.items()
    } or {"": {}}
    across = 1 if width <= NARROW else len(panels)
    figure = new_figure(width, 3.2 * len(panels) / across, gap=0.1)
    drawn = figure.subplots(len(panels) // across, across, squeeze=False, sharey=True).flat
    for axes, (name, groups) in zip(drawn, panels.items(), strict=True):
        _line(axes, learning.points, GREY, _ALL)
        for colour, (group, points) in zip(_COLOURS, groups.items(), strict=False):
            _line(axes, points, colour, group)
        axes.set(xlabel="training step", ylabel="right completions")
        axes.set_title(label(name, 44), pad=22)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        percent_axis(axes.yaxis)
        axes.legend(  # between title and axes, where no line passes
            loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, frameon=False, fontsize=8,
            handlelength=1.2, columnspacing=1.0, handletextpad=0.5, borderaxespad=0.1,
        )  # fmt: skip
    return figure


def _ends(groups: Mapping[str, Sequence[LearningPoint]]) -> dict[str, Sequence[LearningPoint]]:
    """The groups that are drawn: three at most, the first, the middle and the last of many."""
    known = list(groups)
    if len(known) > 3:
        known = [known[0], known[len(known) // 2], known[-1]]
    return {label(name, 20): groups[name] for name in known}


def _line(axes: Axes, points: Sequence[LearningPoint], colour: str, name: str) -> None:
    known = [(point, point.right.value) for point in points if point.right.value is not None]
    steps = [(point.first_step + point.last_step) / 2 for point, _ in known]
    axes.plot(steps, [value for _, value in known], color=colour, label=name, marker="o",
              markersize=3)  # fmt: skip
    banded = [
        (step, *point.right.interval)
        for step, (point, _) in zip(steps, known, strict=True)
        if point.right.interval is not None
    ]
    if banded:
        at, low, high = zip(*banded, strict=True)
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


def sample_curves(curves: Sequence[SampleCurve], width: float) -> Figure:
    """Right completions of a few samples, a small panel each."""
    across = 2 if width <= NARROW else 3
    down = -(-len(curves) // across)
    figure = new_figure(width, 1.7 * down + 0.3, gap=0.08)
    panels = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes, curve in zip(panels, curves, strict=False):
        axes.plot(
            [each.step for each in curve.steps],
            [each.right / each.completions for each in curve.steps],
            color=BLUE, marker="o", markersize=3,
        )  # fmt: skip
        axes.set_title(f"row {curve.row}", fontsize=9)
        axes.set_ylim(-0.05, 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        percent_axis(axes.yaxis, 3)
    figure.supxlabel("training step", fontsize=9)
    return figure
