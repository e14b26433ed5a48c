"""Colours, style, labels and files of all figures. Colours are Okabe and Ito's, told apart
by the colour-blind; as .svg a figure follows a dark page, on the screen and not on paper."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from durian.analysis.statistics.estimate import Estimate
from durian.rendering.names import NAMES, name_of
from durian.rendering.text import shown_text

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "durian",  # equal numbers give equal files
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # it comes with matplotlib: the same on every machine
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}
# On a dark page each colour becomes one that stands out there. What lies on a colour of its own, as
# numbers in a heat map do, keeps its ink.
DARK = {
    "#ffffff": "#17171a", "#000000": "#ececf1", BLUE: "#5b9dff", ORANGE: "#ff9a52",
    GREEN: "#3fcf9f", GREY: "#a5a5ad",
}  # fmt: skip
BLACK_INK, WHITE_INK = "#010101", "#fefefe"
WIDE, NARROW = 8.0, 4.2  # inches; a page column of about 800 pixels, a phone
PERCENT = PercentFormatter(xmax=1, decimals=0, symbol=" %")


def encode_figure(figure: Figure, kind: str) -> bytes:
    """A figure as 'svg' or 'png' bytes, the same for the same figure."""
    file = io.BytesIO()
    with rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=160, metadata=metadata)
    figure.set_layout_engine("none")  # it is laid out now; for the next kind it stays as it is
    return _slim(_follows_page(file.getvalue())) if kind == "svg" else file.getvalue()


def _follows_page(svg: bytes) -> bytes:
    """With its colours for a dark page beside those it has."""
    rules = [f"svg{{fill:{DARK['#000000']}}}"]  # text that is black says no colour
    for light, dark in DARK.items():
        for part in ("fill", "stroke"):
            rules.append(f'[style*="{part}: {light.lower()}"]{{{part}:{dark}!important}}')
    style = f"<style>@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"
    return svg.replace(b"</metadata>", b"</metadata>" + style.encode(), 1)


def _slim(svg: bytes) -> bytes:
    """Without comments, and lengths to a hundredth of a point: half the size, the same picture.

    Numbers below 1 stay as they are, for scales are among them.
    """
    svg = re.sub(rb"<!--.*?-->", b"", svg)
    svg = re.sub(rb"(?<![\d.])([1-9]\d*\.\d\d)\d+", rb"\1", svg)
    return re.sub(rb"\n\s*", b"\n", svg)


def new_figure(width: float, height: float, gap: float = 0.04) -> Figure:
    """An empty figure; sizes, and the room above and below each panel, in inches."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=gap))


def label(text: str, clip: int = 30) -> str:
    """Foreign text as a figure can hold it: clipped, no mathematics, no character without a shape.

    `$` would start matplotlib's own formulas, which fail on what is none.
    """
    font = get_font(findfont(STYLE["font.family"]))
    shown = shown_text(text, clip).replace("\n", " ").replace("\t", " ")
    known = "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in shown)
    return known.replace("$", r"\$")


def title(column: str, wrap: int = 40) -> str:
    """A measure's name in words, or any other column's own name, as the title of a panel."""
    words = label(name_of(column), 40)
    written = words[:1].upper() + words[1:] if column in NAMES else words
    return "\n".join(textwrap.wrap(written, wrap)) or written


def with_unit(column: str, unit: str) -> str:
    """An axis label: the column, and its unit where it has one."""
    return f"{label(column)} [{unit}]" if unit else label(column)


def percent_axis(axis: Any, ticks: int = 8) -> None:
    """Ticks at whole per cents, so many at most."""
    axis.set_major_formatter(PERCENT)
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], min_n_ticks=2))


def values(estimates: Sequence[Estimate]) -> list[float]:
    """The numbers of estimates that all have one."""
    return [estimate.value for estimate in estimates if estimate.value is not None]


def bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances below and above each value; NaN, which is not drawn, where no interval is."""
    below, above = [], []
    for value, estimate in zip(values(estimates), estimates, strict=True):
        if estimate.interval is None:  # of no width, it would look like certainty
            below.append(math.nan)
            above.append(math.nan)
            continue
        low, high = estimate.interval
        # Rounded, an end may pass its value by a hair, and Matplotlib refuses a negative length.
        below.append(max(0.0, value - low))
        above.append(max(0.0, high - value))
    return [below, above]


def interval_line(
    axes: Axes, place: float, estimate: Estimate, colour: str, *, below: bool = False
) -> None:
    """An estimate as a dot on a horizontal line from its low to its high end, and as a number."""
    if estimate.value is None:
        return
    if estimate.interval is not None:
        axes.plot(estimate.interval, [place] * 2, color=colour, linewidth=3)
    axes.plot(estimate.value, place, color=colour, marker="o", markersize=7)
    axes.annotate(
        f"{estimate.value:.2f}", (estimate.value, place), xytext=(0, -6 if below else 6),
        textcoords="offset points", ha="center", va="top" if below else "bottom", fontsize=9,
    )  # fmt: skip
