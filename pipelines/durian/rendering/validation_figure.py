"""One picture of a training's validations: accuracy of all samples, and by each kind of group."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from durian.analysis.evaluation import Accuracy
from durian.analysis.validation import Validated, Validations, metric_of
from durian.rendering.figures import (
    BLUE,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    STYLE,
    WIDE,
    label,
    new_figure,
    percent_axis,
)

_COLOURS = (GREEN, BLUE, ORANGE)  # from easy to hard
_WAYS = {"greedy": BLUE, "sampled": ORANGE}
_KINDS = {"perceptual": "By perceptual group", "reasoning": "By reasoning bin"}
Line = list[tuple[int, Accuracy]]  # steps and what was found there


def draw_validations(found: Validations, width: float = WIDE) -> Figure:
    """Draw a panel of all samples, and one for each kind of group, by the way of the metric."""
    way = found.metric.partition("/")[0]
    kinds = [kind for kind in found.validations[0].groups if len(_groups(found, way, kind)) > 1]
    across = 1 if width <= NARROW else min(2, 1 + len(kinds))
    down = -(-(1 + len(kinds)) // across)
    with rc_context(STYLE):
        figure = new_figure(width, 3.0 * down, gap=0.08)
        panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
        for axes in panels[1 + len(kinds) :]:
            axes.set_axis_off()
        _draw_all(panels[0], found)
        for axes, kind in zip(panels[1:], kinds, strict=False):
            groups = _shown(found, way, kind)
            bins = kind == "reasoning"
            lines = {
                f"{'bin ' if bins else ''}{label(str(group), 14)}": _line(found, way, kind, group)
                for group in groups
            }
            colours: tuple[str, ...] = (*_COLOURS, GREY)
            if bins:  # bin 0 is the hardest
                colours = (ORANGE, *(BLUE, GREY)[: len(groups) - 2], GREEN)
            name = _KINDS.get(kind, f"By {label(kind, 24)}")
            all_groups = len(_groups(found, way, kind))
            part = "" if len(groups) == all_groups else f" ({len(groups)} of {all_groups})"
            _draw(axes, f"{name}{part}, {way}", lines, colours)
    return figure


def _draw_all(axes: Axes, found: Validations) -> None:
    lines: dict[str, Line] = {
        way: [(one.step, one.ways()[way]) for one in found.validations]
        for way in found.validations[0].ways()
    }
    _draw(axes, "Accuracy on the validation set", lines, tuple(_WAYS[way] for way in lines))
    best = found.best
    known = None if best is None else metric_of(best, found.metric)
    if best is not None and known is not None and found.metric in lines:
        axes.plot(
            best.step, known.accuracy, marker="o", markersize=11, markerfacecolor="none",
            color=_WAYS[found.metric], linestyle="none",
        )  # fmt: skip
        axes.annotate(
            "best", (best.step, known.accuracy), xytext=(0, 9), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip


def _draw(axes: Axes, title: str, lines: dict[str, Line], colours: Sequence[str]) -> None:
    axes.set_title(title, pad=22)
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.set_ylim(-0.03, 1.03)  # a dot at either end is whole
    percent_axis(axes.yaxis)
    for colour, (name, line) in zip(colours, lines.items(), strict=False):
        steps, known = zip(*line, strict=True)
        axes.plot(
            steps, [each.accuracy for each in known], color=colour, label=name, marker="o",
            markersize=4, linewidth=1.5,
        )  # fmt: skip
        banded = [(s, e.low, e.high) for s, e in line if e.low is not None and e.high is not None]
        if banded:
            at, low, high = zip(*banded, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.legend(  # between title and axes, where no line passes
        loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=len(lines), frameon=False,
        fontsize=8, handlelength=1.2, columnspacing=1.0, handletextpad=0.5, borderaxespad=0.1,
    )  # fmt: skip


def _groups(found: Validations, way: str, kind: str) -> list[str | int]:
    """The groups that there were in the first validation, and that were drawn so."""
    groups = found.validations[0].groups[kind]
    return [of.group for of in groups if _line(found, way, kind, of.group)]


def _shown(found: Validations, way: str, kind: str) -> list[str | int]:
    """The groups that are drawn: four at most; of more bins the ends and two between."""
    groups = _groups(found, way, kind)
    if len(groups) <= 4:
        return groups
    if kind == "reasoning":
        last = len(groups) - 1
        return [groups[round(last * part / 3)] for part in range(4)]
    sizes = {of.group: of.n for of in found.validations[0].groups[kind]}
    largest = sorted(groups, key=lambda group: -sizes[group])[:4]
    return [group for group in groups if group in largest]


def _line(found: Validations, way: str, kind: str, group: str | int) -> Line:
    line: Line = []
    for one in found.validations:
        known = _of(one, way, kind, group)
        if known is not None:
            line.append((one.step, known))
    return line


def _of(one: Validated, way: str, kind: str, group: str | int) -> Accuracy | None:
    for of in one.groups[kind]:
        if of.group == group:
            return of.greedy if way == "greedy" else of.sampled
    return None
