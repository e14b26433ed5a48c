"""The report's figures. Colours are Okabe and Ito's, told apart by the colour-blind."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipelines.rendering.sentences import NAMES

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
_STYLE = {
    "svg.hashsalt": "durian",  # equal numbers give equal files
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}
_WIDE = 8.0  # inches; a page column of about 800 pixels
_PERCENT = PercentFormatter(xmax=1, decimals=0)


def draw_figures(
    summary: Mapping[str, Any], units: Mapping[str, str]
) -> dict[str, tuple[str, Figure]]:
    """Name -> (what it shows, figure), those that the numbers allow."""
    if "error_rate" not in summary:
        return {}
    with rc_context(_STYLE):
        return {
            "perceptual": (
                "Errors by perceptual group: easy, medium and hard to see, with 95 % intervals.",
                _by_group(summary["perceptual"], "Perceptual group", BLUE),
            ),
            "reasoning": (
                "Errors by confidence bin, from the least confident to the most.",
                _by_group(summary["reasoning"], "Confidence bin (0 = least confident)", ORANGE),
            ),
            "curves": (
                "Error rate along each measure, in quantile bins, with 95 % bands.",
                _curves(summary["measures"], units),
            ),
            "auroc": (
                "How well each measure tells wrong from right completions; 0.5 is chance.",
                _auroc(summary["measures"]),
            ),
            "pass_rates": (
                "Samples by the share of their completions that are right.",
                _pass_rates(summary["pass_rates"]["histogram"]),
            ),
        }


def encode_figure(figure: Figure, kind: str) -> bytes:
    """A figure as 'svg' or 'png' bytes, the same for the same figure."""
    file = io.BytesIO()
    with rc_context(_STYLE):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=160, metadata=metadata)
    return file.getvalue()


def _by_group(rows: Sequence[Mapping[str, Any]], label: str, colour: str) -> Figure:
    figure = Figure(figsize=(_WIDE, 3.0), layout="constrained")
    share, rate = figure.subplots(1, 2)
    for axes, key, title in (
        (share, "error_share", "Part of all errors"),
        (rate, "error_rate", "Wrong within the group"),
    ):
        known = [row for row in rows if row[key]["value"] is not None]
        places = range(len(known))
        heights = [row[key]["value"] for row in known]
        axes.bar(places, heights, yerr=_bars(known, key), color=colour, capsize=3, ecolor="black")
        axes.set_xticks(places, [str(row["group"]) for row in known])
        axes.set(title=title, xlabel=label)
        _as_percent(axes)
    return figure


def _bars(rows: Sequence[Mapping[str, Any]], key: str) -> list[list[float]]:
    """Distances below and above each value; none where there is no interval."""
    below, above = [], []
    for row in rows:
        value, low, high = (row[key][part] for part in ("value", "low", "high"))
        # A percentile interval may miss its value by a hair where the draws are few.
        below.append(max(0.0, value - low) if low is not None else 0.0)
        above.append(max(0.0, high - value) if high is not None else 0.0)
    return [below, above]


def _curves(measures: Mapping[str, Any], units: Mapping[str, str]) -> Figure:
    drawn = {name: of for name, of in measures.items() if len(of["curve"]) > 1}
    rows = max(1, ceil(len(drawn) / 2))
    figure = Figure(figsize=(_WIDE, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).flat
    for axes, (name, of) in zip(panels, drawn.items(), strict=False):
        points = [p for p in of["curve"] if p["error_rate"]["low"] is not None]
        x = [point["mean"] for point in points]
        low, value, high = (
            [point["error_rate"][part] for point in points] for part in ("low", "value", "high")
        )
        axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(x, value, color=BLUE, marker="o", markersize=4)
        axes.set(title=NAMES.get(name, name), xlabel=f"{name} [{units[name]}]")
        _as_percent(axes)
    for axes in list(panels):  # those left over
        axes.set_axis_off()
    for axes in figure.axes[::2]:
        axes.set_ylabel("Wrong completions")
    return figure


def _auroc(measures: Mapping[str, Any]) -> Figure:
    drawn = [(name, of["auroc"]) for name, of in measures.items() if of["auroc"]["low"] is not None]
    figure = Figure(figsize=(_WIDE, 0.9 + 0.42 * max(1, len(drawn))), layout="constrained")
    axes = figure.subplots()
    for place, (name, auroc) in enumerate(reversed(drawn)):
        colour = GREY if name == "mean_tokens" else GREEN
        axes.plot([auroc["low"], auroc["high"]], [place, place], color=colour, linewidth=3)
        axes.plot(auroc["value"], place, color=colour, marker="o", markersize=8)
        axes.annotate(
            f"{auroc['value']:.2f}",
            (auroc["value"], place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(drawn)), [NAMES.get(name, name) for name, _ in reversed(drawn)])
    axes.set_ylim(-0.5, max(1, len(drawn)) - 0.2)
    axes.set_xlabel("AUROC of error")
    return figure


def _pass_rates(histogram: Sequence[Mapping[str, Any]]) -> Figure:
    figure = Figure(figsize=(_WIDE, 2.8), layout="constrained")
    axes = figure.subplots()
    rates = [bar["pass_rate"] for bar in histogram]
    counts = [bar["samples"] for bar in histogram]
    gaps = [b - a for a, b in zip(rates, rates[1:], strict=False)]
    bars = axes.bar(rates, counts, width=0.8 * min(gaps, default=0.1), color=BLUE)
    if len(rates) <= 17:
        axes.bar_label(bars, fontsize=8)
        axes.set_xticks(rates)
    axes.set(xlabel="Right completions of a sample", ylabel="Samples")
    axes.xaxis.set_major_formatter(_PERCENT)
    return figure


def _as_percent(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
