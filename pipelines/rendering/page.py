"""The report folder: one self-contained page, its figures, its numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unicodedata import category

import jinja2
import polars as pl

from pipelines.rendering.figures import draw_figures, encode_figure
from pipelines.rendering.sentences import NAMES
from pipelines.rendering.shown import shelves
from pipelines.table.files import write_json, written_aside
from pipelines.table.run_folder import SUMMARY_FILE
from pipelines.table.schema import DIFFICULTY

CLIP = 300  # characters of a text that the page shows
_KEPT = "\n\t\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # scripts and emoji need the joiners
_HERE = Path(__file__).parent


def write_report(
    folder: Path,
    *,
    summary: Mapping[str, Any],
    table: pl.DataFrame,
    rollouts: pl.DataFrame,
    thumbnails: Mapping[str, bytes],
    manifest: Mapping[str, Any],
) -> None:
    """Write index.html, every figure as .svg and .png, and summary.json; each whole or not at all.

    Args:
        summary: of `analysis.summary.analyse`, with its `sentences`.
        table, rollouts: rows of the samples that the page shows, with their texts.
        thumbnails: sample id -> JPEG.
    """
    folder.mkdir(exist_ok=True)
    units = {name: column.unit for name, column in DIFFICULTY.items()}
    figures = []
    for name, (caption, figure) in draw_figures(summary, units).items():
        for kind in ("svg", "png"):
            with written_aside(folder / f"{name}.{kind}") as aside:
                aside.write_bytes(encode_figure(figure, kind))
        svg = base64.b64encode((folder / f"{name}.svg").read_bytes()).decode()
        figures.append({"name": name, "caption": caption, "svg": svg})
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            css=(_HERE / "page.css").read_text(encoding="utf-8"),
            summary=summary,
            figures=figures,
            shelves=_shelves(table, rollouts, thumbnails),
            manifest=manifest,
            names=NAMES,
            units=units,
        )
    )
    with written_aside(folder / "index.html") as aside:
        aside.write_text(page, encoding="utf-8")
    write_json(folder / SUMMARY_FILE, summary)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown_text,
        "problem": _problem,
        "percent": lambda share: "–" if share is None else f"{100 * share:.1f} %",
        "together": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"),
        "estimate": _estimate,
        "number": lambda value: "–" if value is None else f"{value:.3g}",
        "thousands": lambda count: f"{count:,}",
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    }
    return environment


def shown_text(text: str | None, clip: int = CLIP) -> str:
    """Text of a dataset or model as a page can hold it: clipped, its unseen characters escaped.

    Control characters, marks that turn the direction of writing and lone surrogates, which have
    no UTF-8, come as their Python escapes. Escaping for HTML is the template's.
    """
    if text is None:
        return "–"
    clipped = text if len(text) <= clip else text[: clip - 1] + "…"
    return "".join(
        c if c.isprintable() or c in _KEPT or category(c) == "Zs" else _escape(c) for c in clipped
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _problem(text: str | None) -> str:
    """A problem without its image marks: the card shows the image."""
    return shown_text(None if text is None else text.replace("<image>", " ").strip())


def _estimate(estimate: Mapping[str, Any], percent: bool = True) -> str:
    """'47.1 % (44.0 to 50.2)', or why there is no number."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return f"– ({estimate['reason']})"
    scale, digits, unit = (100, 1, " %") if percent else (1, 3, "")
    interval = "" if low is None else f" ({scale * low:.{digits}f} to {scale * high:.{digits}f})"
    return f"{scale * value:.{digits}f}{unit}{interval}"


def _shelves(
    table: pl.DataFrame, rollouts: pl.DataFrame, thumbnails: Mapping[str, bytes]
) -> list[dict[str, Any]]:
    rows = {row["sample_id"]: row for row in table.iter_rows(named=True)}
    written = rollouts.sort("sample_id", "rollout")
    shown = []
    for heading, ids in shelves(table).items():
        cards = []
        for sample in ids:
            of_it = written.filter(pl.col("sample_id") == sample)
            cards.append(
                {
                    **rows[sample],
                    "image": base64.b64encode(thumbnails.get(sample, b"")).decode(),
                    "right": _first(of_it.filter(pl.col("correct"))),
                    "wrong": _first(of_it.filter(~pl.col("correct"))),
                }
            )
        shown.append({"heading": heading, "cards": cards})
    return shown


def _first(rollouts: pl.DataFrame) -> str | None:
    return None if rollouts.is_empty() else str(rollouts["completion"][0])
