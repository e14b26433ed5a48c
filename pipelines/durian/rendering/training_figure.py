"""One picture of a training: reward, std by group, drift of the groups, samples without signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from durian.rendering.figures import BLUE, GREEN, GREY, ORANGE, STYLE, encode_figure, label
from durian.run.files import written_aside

SMOOTH = 7  # logged steps of the running mean, at least
PARTS = 20  # of a long training: the running mean covers one of them


@dataclass(frozen=True)
class _Panel:
    title: str
    lines: Mapping[str, tuple[str, str]]  # log key -> label, colour
    of_one: str = ""  # the title where a single line is drawn, if it is another
    shares: bool = False  # of samples, drawn from 0 as per cents


_PANELS = (
    _Panel("Reward of sampled completions", {"reward": ("reward", BLUE)}),
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
    _Panel(
        "Drift from the table's confidence",
        {
            "durian/drift/kendall_tau": ("Kendall's tau", BLUE),
            "durian/drift/changed_bin": ("would change bin", ORANGE),
        },
    ),
    _Panel(
        "No-variance and extreme samples",
        {
            "durian/no_variance": ("no variance", GREY),
            "durian/extreme": ("extreme (one differs)", ORANGE),
        },
        shares=True,
    ),
)
Points = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps and values, (N,) each


def training_figure(
    log: Sequence[Mapping[str, float]], stem: Path, title: Sequence[str] = ()
) -> list[Path]:
    """Draw what was logged, as STEM.svg and STEM.png.

    Args:
        log: one mapping a logged step, with `step`, as transformers' `log_history`.
        title: lines that say what was trained; other people's names may be in them.
    Returns:
        The files written; none where nothing was logged.
    """
    if (figure := draw_training(log, title)) is None:
        return []
    return write_figure(figure, stem)


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as STEM.svg and STEM.png."""
    files = []
    for kind in ("svg", "png"):
        files.append(stem.with_name(f"{stem.name}.{kind}"))
        with written_aside(files[-1]) as aside:
            aside.write_bytes(encode_figure(figure, kind))
    return files


def draw_training(log: Sequence[Mapping[str, float]], title: Sequence[str] = ()) -> Figure | None:
    """Draw a panel for each thing that was logged; None where nothing was.

    Each line stands over its running mean; a step without a finite number is passed over.
    """
    drawn = [
        (panel, lines)
        for panel in _PANELS
        if (lines := {k: line for k in panel.lines if (line := logged(log, k)) is not None})
    ]
    if not drawn:
        return None
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.0 * rows), layout="constrained")
        for number, (panel, lines) in enumerate(drawn, start=1):
            _draw(figure.add_subplot(rows, columns, number), panel, lines)
        if title:
            said = "\n".join(label(line, 110) for line in title)
            figure.suptitle(said, x=0.01, ha="left", fontsize=9)
    return figure


def logged(log: Sequence[Mapping[str, float]], key: str) -> Points | None:
    """The steps at which a finite number was logged under a key, and the numbers; None for none."""
    points = [
        (entry["step"], entry[key])
        for entry in log
        if "step" in entry and isinstance(entry.get(key), int | float) and isfinite(entry[key])
    ]
    if not points:
        return None
    steps, values = np.array(points, np.float64).T
    return steps, values


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and those around it, `width` (odd) in all; fewer towards the ends."""
    half = width // 2
    return np.array(
        [values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))], np.float64
    )


def _draw(axes: Axes, panel: _Panel, lines: Mapping[str, Points]) -> None:
    axes.set_title(panel.title if len(lines) > 1 else panel.of_one or panel.title, pad=22)
    axes.set_xlabel("optimizer step")
    steps = np.concatenate([steps for steps, _ in lines.values()])
    if steps.min() == steps.max():
        axes.set_xlim(steps[0] - 1, steps[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for key, (steps, values) in lines.items():
        label, colour = panel.lines[key]
        few = len(values) < SMOOTH  # a line of few points is hard to see, and not smoothed
        width = 1 if few else max(SMOOTH, len(values) // PARTS) // 2 * 2 + 1
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(
            steps, running_mean(values, width), color=colour, linewidth=2, label=label,
            marker="o" if few else None, markersize=4,
        )  # fmt: skip
    if panel.shares:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], min_n_ticks=2))
    if len(lines) > 1:  # between title and axes, where no line passes
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=len(lines), frameon=False,
            fontsize=9, handlelength=1.2, columnspacing=1.2, handletextpad=0.5, borderaxespad=0.1,
        )  # fmt: skip
