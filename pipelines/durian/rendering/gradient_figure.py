"""Who gets the gradient: what each normalizer would learn from, drawn and in three sentences."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from durian.analysis.one_run.gradient import GradientShares
from durian.rendering.figures import NARROW, new_figure, percent_axis
from durian.rendering.text import percent_text

_NAMES = {
    "durian": "Durian", "grpo": "GRPO", "dr_grpo": "Dr. GRPO", "batch": "batch std",
    "rloo": "RLOO", "maxrl": "MaxRL",
}  # fmt: skip
_COLOURS = ("#5C2A00", "#D55E00", "#CCCCCC", "#56B4E9", "#003F66")  # never right to always right
_SAID = ("grpo", "durian", "dr_grpo")


def gradient_figure(shares: GradientShares, width: float) -> Figure:
    """Stack each normalizer's gradient by pass rate, below the samples themselves."""
    narrow = width <= NARROW
    rows = {"samples": shares.samples}
    rows |= {_NAMES[name]: one.bands for name, one in shares.normalizers.items()}
    figure = new_figure(width, 3.9 if narrow else 3.3)
    axes = figure.subplots()
    places, left = np.arange(len(rows)), np.zeros(len(rows))
    places = places + 0.4 * (places > 0)  # the samples stand apart
    for band, colour, parts in zip(shares.bands, _COLOURS, zip(*rows.values(), strict=True),
                                   strict=True):  # fmt: skip
        axes.barh(places, parts, left=left, color=colour, label=band, height=0.75)
        left = left + np.array(parts)
    axes.set_yticks(places, list(rows))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share, by the table's pass rate")
    percent_axis(axes.xaxis)
    figure.legend(
        loc="outside upper left", ncols=2 if narrow else len(shares.bands), frameon=False,
        fontsize=9, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    return figure


def gradient_sentences(shares: GradientShares) -> list[str]:
    """Three sentences: what is wasted, who gets more than their share, how many samples count."""
    of, four = shares.normalizers, (*_SAID, "maxrl")
    parts = ", ".join(
        f"{percent_text(_ends(of[name].bands), 0)} under {_NAMES[name]}" for name in _SAID
    )
    count = ", ".join(f"{of[name].effective:,.0f} under {_NAMES[name]}" for name in four)
    most = ", ".join(f"{of[name].largest:.1f}" for name in four)
    return [
        f"At {shares.rollouts} rollouts {percent_text(shares.no_variance, 0)} of the completions "
        "would be of samples that come out all right or all wrong, from which no normalizer "
        "learns.",
        f"Samples that the table has right in 25 % of their completions or less, or in 75 % or "
        f"more, are {percent_text(_ends(shares.samples), 0)} of all and get {parts} of the "
        "squared advantages, which is their part of the gradient.",
        f"The {shares.rollout_batch:,} samples of a rollout batch count for as many of equal "
        f"weight as {count}; the largest advantages that a completion can get are {most}"
        f"{_stds(shares)}.",
    ]


def _stds(shares: GradientShares) -> str:
    """Say by what Durian would divide: where groups' stds are alike, by one number for all."""
    known = {kind: [each.std for each in stds] for kind, stds in shares.stds.items() if stds}
    if not known:
        return ""
    ranges = " and ".join(
        f"{min(stds):.2f} to {max(stds):.2f} ({kind})" for kind, stds in known.items()
    )
    return (
        f"; the stds of groups, by which Durian divides, run from {ranges}: the less they differ, "
        "the less the groups do"
    )


def _ends(bands: list[float]) -> float:
    return sum(bands) - bands[2]
