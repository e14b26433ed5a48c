"""The figures of a training's page: one thing each, along the optimizer's steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from durian.analysis.training_log import Log, Points, logged, running_mean, smoothed_over
from durian.causes.rules import OF_A_BATCH
from durian.rendering.causes import WORDS
from durian.rendering.figures import BLUE, GREEN, GREY, NARROW, ORANGE, new_figure
from durian.rendering.report_figures import ReportFigure

SECONDS = "seconds"  # the figure of what a step's seconds went to


@dataclass(frozen=True)
class _Panel:
    """One pair of axes. What is good when it rises never shares them with what is good falling."""

    title: str
    lines: Mapping[str, tuple[str, str]]  # log key -> label, colour
    of_one: str = ""  # the title where a single line is drawn, if it is another
    shares: bool = False  # drawn from 0 as per cents
    may_be_none: bool = False  # not drawn where it is 0 all along


@dataclass(frozen=True)
class _Kind:
    """A figure of several panels."""

    name: str
    heading: str
    says: str
    panels: Sequence[_Panel]


_KINDS = (
    _Kind(
        "reward",
        "Reward of sampled completions",
        "Of what was drawn while training, at its temperature and on its samples: no evaluation.",
        (
            _Panel("Mean reward", {"reward": ("reward", BLUE)}),
            _Panel(
                "Share of completions",
                {"rewards/accuracy": ("right", GREEN), "rewards/format": ("in the format", GREY)},
                of_one="Share of completions that are right",
                shares=True,
            ),
        ),
    ),
    _Kind(
        "signal",
        "Samples that teach much and nothing",
        "Without variance all completions of a sample have one reward, and it teaches nothing. "
        "Extreme: one of its completions differs from all others.",
        (
            _Panel("Samples without variance", {"durian/no_variance": ("none", GREY)}, shares=True),
            _Panel("Extreme samples", {"durian/extreme": ("extreme", ORANGE)}, shares=True),
        ),
    ),
    _Kind(
        "causes",
        "Why its samples are hard",
        "Share of a rollout batch's samples by cause, by the rules of the table's column why; of a "
        "cause that never applied nothing is drawn.",
        tuple(
            _Panel(
                WORDS[cause].capitalize(),
                {f"durian/why/{cause}": (WORDS[cause], BLUE)},
                shares=True,
                may_be_none=True,
            )
            for cause in OF_A_BATCH
        ),
    ),
    _Kind(
        "spread",
        "How far rewards spread",
        "The standard deviation that a group's advantages are divided by, and the largest "
        "advantage that came of it.",
        (
            _Panel(
                "Std of rewards by perceptual group",
                {
                    "durian/std/perceptual_easy": ("easy", GREEN),
                    "durian/std/perceptual_medium": ("medium", BLUE),
                    "durian/std/perceptual_hard": ("hard", ORANGE),
                    "reward_std": ("all", GREY),
                },
                of_one="Std of rewards",
            ),
            _Panel("Largest advantage", {"durian/largest_advantage": ("largest", BLUE)}),
        ),
    ),
    _Kind(
        "drift",
        "How the table's confidence ages",
        "Kendall's tau compares the order of confidence in the table with that of the policy in "
        "hand: 1 is the same order, 0 is none.",
        (
            _Panel("Kendall's tau", {"durian/drift/kendall_tau": ("tau", BLUE)}),
            _Panel(
                "Samples that would change their bin",
                {"durian/drift/changed_bin": ("changed", ORANGE)},
                shares=True,
            ),
        ),
    ),
    _Kind(
        "length",
        "Length of completions",
        "In tokens; cut are those that reached the limit.",
        (
            _Panel("Tokens, on average", {"completions/mean_length": ("tokens", BLUE)}),
            _Panel("Cut", {"completions/clipped_ratio": ("cut", ORANGE)}, shares=True),
        ),
    ),
    _Kind(
        "optimizer",
        "The optimizer",
        "As TRL logs it. The loss of GRPO hovers around 0 and says little; KL is the distance from "
        "the reference policy, where there is one.",
        (
            _Panel("Loss", {"loss": ("loss", BLUE)}),
            _Panel("KL from the reference", {"kl": ("KL", BLUE)}),
            _Panel("Entropy of the policy, nats a token", {"entropy": ("entropy", BLUE)}),
            _Panel("Norm of the gradient", {"grad_norm": ("norm", BLUE)}),
            _Panel("Learning rate", {"learning_rate": ("rate", BLUE)}),
        ),
    ),
)


def training_figures(log: Log, seconds: Mapping[str, float]) -> list[ReportFigure]:
    """The figures of what was logged, in the order of the page.

    Args:
        seconds: of an optimizer step, by what they were spent on.
    """
    figures = []
    for kind in _KINDS:
        drawn = [
            (panel, lines)
            for panel in kind.panels
            if (lines := {k: line for k in panel.lines if (line := logged(log, k)) is not None})
            and not (panel.may_be_none and not any(values.any() for _, values in lines.values()))
        ]
        if drawn:
            longest = max(len(values) for _, lines in drawn for _, values in lines.values())
            figures.append(
                ReportFigure(
                    kind.name,
                    kind.heading,
                    f"{kind.says} {_smoothing(longest)}",
                    partial(_draw_panels, drawn),
                )
            )
    if seconds:
        figures.append(
            ReportFigure(
                SECONDS,
                "Where the time goes",
                "Seconds of an optimizer step, on average, in the first process.",
                partial(_draw_seconds, seconds),
            )
        )
    return figures


def lines_of(figure: str) -> dict[str, str]:
    """What a figure's lines are called in its table, by the name each has in the log."""
    return {
        key: panel.title if len(panel.lines) == 1 else f"{panel.title}: {label}"
        for kind in _KINDS
        if kind.name == figure
        for panel in kind.panels
        for key, (label, _) in panel.lines.items()
    }


def _smoothing(count: int) -> str:
    width = smoothed_over(count)
    if width == 1:
        return "Each logged step is a dot."
    return f"Thin: each logged step. Thick: the running mean of {width} of them."


def _draw_panels(drawn: Sequence[tuple[_Panel, Mapping[str, Points]]], width: float) -> Figure:
    across = 1 if width <= NARROW else min(2, len(drawn))
    down = -(-len(drawn) // across)
    figure = new_figure(width, (2.6 if across > 1 else 2.4) * down, gap=0.08)
    for number, (panel, lines) in enumerate(drawn, start=1):
        _draw(figure.add_subplot(down, across, number), panel, lines)
    return figure


def _draw(axes: Axes, panel: _Panel, lines: Mapping[str, Points]) -> None:
    several = len(lines) > 1
    axes.set_title(
        panel.title if several else panel.of_one or panel.title, pad=22 if several else 8
    )
    axes.set_xlabel("optimizer step")
    steps = np.concatenate([steps for steps, _ in lines.values()])
    if steps.min() == steps.max():
        axes.set_xlim(steps[0] - 1, steps[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
    for key, (steps, values) in lines.items():
        label, colour = panel.lines[key]
        width = smoothed_over(len(values))
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(
            steps, running_mean(values, width), color=colour, linewidth=2, label=label,
            marker="o" if width == 1 else None, markersize=4,
        )  # fmt: skip
    held = np.concatenate([values for _, values in lines.values()])
    if held.min() == held.max() > 0:  # else the axis would magnify the round-off of a constant
        axes.set_ylim(0, 2 * held.max())
    if panel.shares:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0 if held.max() >= 0.05 else None, " %"))
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], min_n_ticks=2))
    if several:  # between title and axes, where no line passes
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=len(lines), frameon=False,
            fontsize=9, handlelength=1.2, columnspacing=1.2, handletextpad=0.5, borderaxespad=0.1,
        )  # fmt: skip


def _draw_seconds(seconds: Mapping[str, float], width: float) -> Figure:
    figure = new_figure(width, 0.45 * len(seconds) + 0.9)
    axes = figure.subplots()
    names = list(seconds)
    axes.barh(names, list(seconds.values()), color=BLUE, height=0.6)
    axes.invert_yaxis()
    for place, value in enumerate(seconds.values()):
        axes.annotate(
            f"{value:.3g}", (value, place), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=9,
        )  # fmt: skip
    axes.set_xlim(0, 1.12 * max(seconds.values()) or 1)
    axes.set_xlabel("seconds")
    return figure
