"""The report's figures. Colours are Okabe and Ito's, told apart by the colour-blind."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipelines.rendering.sentences import NAMES

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
STYLE: dict[Any, Any] = {
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
_PERCENT = PercentFormatter(xmax=1, decimals=0, symbol=" %")
Rows = Sequence[Mapping[str, Any]]


def draw_figures(
    summary: Mapping[str, Any], units: Mapping[str, str]
) -> dict[str, tuple[str, Figure]]:
    """Name -> (what it shows, figure), those that the numbers allow."""
    if "error_rate" not in summary:
        return {}
    measures = summary["measures"]
    drawn: dict[str, tuple[str, Figure]] = {}
    with rc_context(STYLE):
        if any(row["samples"] for row in summary["perceptual"]):
            drawn["perceptual"] = (
                "Errors by perceptual group, easy to hard to see, with 95 % intervals. "
                "Dotted: the errors it would have if all groups were wrong equally often.",
                _by_group(summary["perceptual"], "Perceptual group", BLUE),
            )
        if summary["reasoning"]:
            drawn["reasoning"] = (
                "Errors by confidence bin, from the least confident to the most, with 95 % "
                "intervals. Dotted: the errors it would have if all bins were wrong equally often.",
                _by_group(summary["reasoning"], "Confidence bin (0 = least confident)", ORANGE),
            )
        if curved := {name: of["curve"] for name, of in measures.items() if len(of["curve"]) > 1}:
            drawn["curves"] = (
                "Error rate along each measure, in quantile bins, with 95 % bands.",
                _curves(curved, units),
            )
        if known := {
            n: of["auroc"] for n, of in measures.items() if of["auroc"]["value"] is not None
        }:
            drawn["auroc"] = (
                "How well each measure tells wrong completions from right ones, with 95 % "
                "intervals: 1 is always, 0.5 is chance, below 0.5 it points the other way.",
                _auroc(known),
            )
        drawn["pass_rates"] = (
            "Samples by the share of their completions that are right.",
            _pass_rates(summary["pass_rates"]["histogram"]),
        )
    return drawn


def encode_figure(figure: Figure, kind: str) -> bytes:
    """A figure as 'svg' or 'png' bytes, the same for the same figure."""
    file = io.BytesIO()
    with rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=160, metadata=metadata)
    return file.getvalue()


def _by_group(rows: Rows, label: str, colour: str) -> Figure:
    figure = Figure(figsize=(_WIDE, 3.0), layout="constrained")
    share, rate = figure.subplots(1, 2)
    for axes, key, title in (
        (share, "error_share", "Part of all errors"),
        (rate, "error_rate", "Wrong completions within the group"),
    ):
        known = [
            (place, row[key]) for place, row in enumerate(rows) if row[key]["value"] is not None
        ]
        places = [place for place, _ in known]
        heights = [estimate["value"] for _, estimate in known]
        bars = _bars([estimate for _, estimate in known])
        axes.bar(places, heights, yerr=bars, color=colour, capsize=3, ecolor="black")
        axes.set_xticks(range(len(rows)), [str(row["group"]) for row in rows])
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set(title=title, xlabel=label)
        axes.set_ylim(0, None if any(heights) else 1)
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))  # whole per cents
        if not known:
            axes.text(0.5, 0.5, "no errors", transform=axes.transAxes, ha="center", color=GREY)
    if (completions := sum(row["completions"] for row in rows)) and known:
        for place, row in enumerate(rows):
            even = row["completions"] / completions
            share.plot([place - 0.4, place + 0.4], [even, even], color="black", linestyle=":")
    return figure


def _bars(estimates: Rows) -> list[list[float]]:
    """Distances below and above each value; none where there is no interval."""
    below, above = [], []
    for estimate in estimates:
        value, low, high = (estimate[part] for part in ("value", "low", "high"))
        # A percentile interval may miss its value by a hair where the draws are few.
        below.append(max(0.0, value - low) if low is not None else 0.0)
        above.append(max(0.0, high - value) if high is not None else 0.0)
    return [below, above]


def _curves(curves: Mapping[str, Rows], units: Mapping[str, str]) -> Figure:
    rows = ceil(len(curves) / 2)
    figure = Figure(figsize=(_WIDE, 2.8 * rows), layout=ConstrainedLayoutEngine(h_pad=0.12))
    panels = list(figure.subplots(rows, 2, sharey=True, squeeze=False).flat)
    top = 0.0
    for axes, (name, points) in zip(panels, curves.items(), strict=False):
        x = [point["mean"] for point in points]
        value = [point["error_rate"]["value"] for point in points]
        below, above = _bars([point["error_rate"] for point in points])
        low = [v - down for v, down in zip(value, below, strict=True)]
        high = [v + up for v, up in zip(value, above, strict=True)]
        top = max(top, *high)
        axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(x, value, color=BLUE, marker="o", markersize=4, clip_on=False)
        axes.set(title=_title(name), xlabel=f"{name} [{units[name]}]")
        axes.yaxis.set_major_formatter(_PERCENT)
    panels[0].set_ylim(0, min(1.0, 1.05 * top))  # of all panels, once all are drawn
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    for axes in panels[::2]:
        axes.set_ylabel("Wrong completions")
    return figure


def _auroc(aurocs: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure = Figure(figsize=(_WIDE, 0.9 + 0.42 * len(aurocs)), layout="constrained")
    axes = figure.subplots()
    rising = list(aurocs.items())[::-1]  # the first measure at the top
    for place, (name, auroc) in enumerate(rising):
        colour = GREY if name == "mean_tokens" else GREEN
        if auroc["low"] is not None:
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
    axes.set_yticks(range(len(aurocs)), [_title(name) for name, _ in rising])
    axes.set_ylim(-0.5, len(aurocs) - 0.2)
    axes.set_xlabel("AUROC of error")
    return figure


def _pass_rates(histogram: Rows) -> Figure:
    figure = Figure(figsize=(_WIDE, 2.8), layout="constrained")
    axes = figure.subplots()
    rates = [bar["pass_rate"] for bar in histogram]
    counts = [bar["samples"] for bar in histogram]
    gaps = [b - a for a, b in zip(rates, rates[1:], strict=False)]
    bars = axes.bar(rates, counts, width=0.8 * min([*gaps, 0.2]), color=BLUE)
    if len(rates) <= 17:
        axes.bar_label(bars, fontsize=8)
        axes.set_xticks(rates, [f"{100 * rate:.3g} %" for rate in rates])
    else:
        axes.xaxis.set_major_formatter(_PERCENT)
    axes.set_xlim(-0.12, 1.12)
    axes.set(xlabel="Share of a sample's completions that are right", ylabel="Samples")
    return figure


def _title(name: str) -> str:
    words = NAMES.get(name, name)
    return words[:1].upper() + words[1:]
