"""One picture of a training: reward, std by group, drift of the groups, samples without signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.rendering.figures import BLUE, GREEN, GREY, ORANGE, STYLE, encode_figure
from pipelines.table.files import written_aside

SMOOTH = 7  # logged steps of the running mean
# Panel title -> log key -> (label, colour).
_PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Reward of sampled completions": {"reward": ("reward", BLUE)},
    "Std of rewards by perceptual group": {
        "durian/std/perceptual_easy": ("easy", GREEN),
        "durian/std/perceptual_medium": ("medium", BLUE),
        "durian/std/perceptual_hard": ("hard", ORANGE),
    },
    "Drift from the table's confidence": {
        "durian/drift/kendall_tau": ("Kendall's tau", BLUE),
        "durian/drift/changed_bin": ("would change bin", ORANGE),
    },
    "Samples that teach GRPO little": {
        "durian/no_variance": ("no variance", GREY),
        "durian/extreme": ("extreme (1 differs)", ORANGE),
    },
}


def training_figure(log: Sequence[Mapping[str, Any]], stem: Path) -> list[Path]:
    """Draw what was logged, as STEM.svg and STEM.png; panels without numbers are left out.

    Args:
        log: one mapping a logged step, with `step`, as transformers' `log_history`.
    Returns:
        The files written; none where nothing was logged.
    """
    drawn = {
        title: lines
        for title, known in _PANELS.items()
        if (lines := {key: known[key] for key in known if any(key in entry for entry in log)})
    }
    if not drawn:
        return []
    rows = (len(drawn) + 1) // 2
    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, 2.7 * rows), layout="constrained")
        for number, (title, lines) in enumerate(drawn.items(), start=1):
            axes = figure.add_subplot(rows, 2 if len(drawn) > 1 else 1, number)
            axes.set_title(title)
            axes.set_xlabel("optimizer step")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            for key, (label, colour) in lines.items():
                _line(axes, log, key, label, colour)
            if len(lines) > 1:
                axes.legend(frameon=False, fontsize=9)
        files = []
        for kind in ("svg", "png"):
            files.append(stem.with_name(f"{stem.name}.{kind}"))
            with written_aside(files[-1]) as aside:
                aside.write_bytes(encode_figure(figure, kind))
    return files


def _line(axes: Axes, log: Sequence[Mapping[str, Any]], key: str, label: str, colour: str) -> None:
    points = [(e["step"], e[key]) for e in log if e.get(key) is not None and "step" in e]
    steps, values = (np.array(side, np.float64) for side in zip(*points, strict=True))
    axes.plot(steps, values, color=colour, alpha=0.3, linewidth=1)
    axes.plot(steps, running_mean(values, SMOOTH), color=colour, linewidth=2, label=label)


def running_mean(values: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Mean of each value and those around it, `width` in all; fewer towards the ends."""
    half = width // 2
    return np.array(
        [values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))], np.float64
    )
