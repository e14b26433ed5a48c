"""What a training logged: each number along its steps, smoothed, in parts, and by seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

Log = Sequence[Mapping[str, float]]  # one mapping a logged step, with `step`
Points = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps and values, (N,) each
SMOOTH = 7  # logged steps of the running mean, at least
PARTS = 20  # of a long training: the running mean covers one of them
SHOWN = 5  # parts of a training whose means stand in a table, at most


@dataclass(frozen=True, kw_only=True)
class PartMean:
    """Mean of what was logged under one name over some consecutive steps."""

    first_step: int
    last_step: int
    logged: int
    mean: float


def logged(log: Log, key: str) -> Points | None:
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


def smoothed_over(count: int) -> int:
    """Number of logged values that a running mean of `count` covers, odd; 1 is no smoothing."""
    # A line of few points is hard to see, and not smoothed.
    return 1 if count < SMOOTH else max(SMOOTH, count // PARTS) // 2 * 2 + 1


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and those around it, `width` (odd) in all; fewer towards the ends."""
    half = width // 2
    return np.array(
        [values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))], np.float64
    )


def part_means(log: Log) -> dict[str, list[PartMean]]:
    """Means of each logged number over equal parts of the training, by the name it has in the log.

    The parts are the same for all names: of as many logged steps each as can be.
    """
    names = dict.fromkeys(name for entry in log for name in entry if name not in ("step", "epoch"))
    found = {name: points for name in names if (points := logged(log, name)) is not None}
    # transformers ends with an entry of totals, at the last step once more.
    series = {name: points for name, points in found.items() if not name.startswith("train_")}
    if not series:
        return {}
    steps = np.unique(np.concatenate([steps for steps, _ in series.values()]))
    parts = [part for part in np.array_split(steps, SHOWN) if len(part)]
    return {
        name: [
            PartMean(
                first_step=int(part[0]), last_step=int(part[-1]), logged=int(within.sum()),
                mean=float(values[within].mean()),
            )
            for part in parts
            if (within := (at >= part[0]) & (at <= part[-1])).any()
        ]
        for name, (at, values) in series.items()
    }  # fmt: skip


def seconds_a_step(log: Log, *, rollouts: float, updates: float) -> dict[str, float]:
    """Mean seconds of an optimizer step by what they were spent on; empty where nothing says.

    Args:
        rollouts: how often a step draws a rollout batch, on average; may be below 1.
        updates: forward and backward passes of a step.
    """
    times = {"rollouts": rollouts, "rewards": rollouts, "updates": updates}
    keys = {"rollouts": "seconds/rollout", "rewards": "seconds/reward", "updates": "seconds/update"}
    found = {
        name: times[name] * float(points[1].mean())
        for name, key in keys.items()
        if (points := logged(log, key)) is not None
    }
    whole = logged(log, "step_time")
    if found and whole is not None:
        found["all else"] = max(0.0, float(whole[1].mean()) - sum(found.values()))
    return found
