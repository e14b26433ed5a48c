"""The report folder: one self-contained page, its figures, its numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from durian.analysis.one_run.judged import Judged
from durian.analysis.one_run.summary import NO_GROUP, Summary
from durian.analysis.statistics.estimate import Estimate
from durian.groups import PERCEPTUAL
from durian.records import as_json
from durian.rendering.causes import WORDS, rules, untold
from durian.rendering.figures import encode_figure
from durian.rendering.gallery import Thumbnail, cards
from durian.rendering.local_entropy import MOST, RADIUS
from durian.rendering.names import grouped_by, name_of
from durian.rendering.report_figures import ReportFigure, report_figures, why_figures
from durian.rendering.shown import Shelf
from durian.rendering.text import (
    encoded,
    estimate_text,
    number_text,
    percent_text,
    shown_text,
)
from durian.run.files import write_json, written_aside
from durian.run.folder import SUMMARY_FILE
from durian.run.manifest import Manifest
from durian.schema import DIFFICULTY

_HERE = Path(__file__).parent
_HEADING = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)


def write_report(
    folder: Path,
    *,
    summary: Summary,
    shelves: Sequence[Shelf],
    table: pl.DataFrame,
    rollouts: pl.DataFrame,
    thumbnails: Mapping[str, Thumbnail],
    manifest: Manifest,
    judged: Judged | None = None,
    leaks: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write index.html, every figure as .svg and .png, and summary.json; each whole or not at all.

    Args:
        summary: with its sentences and advice.
        shelves: of `shown.shelves`; what the gallery shows.
        table, rollouts: rows of the samples on them, with their texts.
        thumbnails: sample id -> its pictures.
        judged: what a judge said of answers that the rule called wrong, where one was asked.
        leaks: samples that another set holds too, with both pictures; rows of leaks.parquet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    units = {name: column.unit for name, column in DIFFICULTY.items()}
    alone = {name.replace("_", "-"): each for name, each in (summary.alone or {}).items()}
    write_page(
        folder,
        "page.html.j2",
        [*why_figures(summary), *report_figures(summary, units)],
        summary,
        shelves=shelves,
        cards=cards(shelves, table, rollouts, thumbnails),
        manifest=manifest,
        scored=summary.scored,
        judged=judged,
        leaks=[
            {**leak, **{name: encoded(leak[name]) for name in ("jpeg", "other_jpeg")}}
            for leak in leaks
        ],
        grouped=grouped_by(summary.grouping),
        groups=_sizes(summary),
        spreads={f"spread-{key}": each.histogram for key, each in alone.items()},
        spread_slices={f"slices-{key}": each.slices for key, each in alone.items()},
        units=units,
        causes=summary.causes,
        cause_words=WORDS,
        cause_rules=rules(None if summary.causes is None else summary.causes.thresholds),
        untold=untold(summary.causes) if summary.causes else [],
        numbers=[column for column in DIFFICULTY.values() if column.card is not None],
        most_bits=MOST,
        radius=RADIUS,
    )


def _sizes(summary: Summary) -> list[tuple[str, str, int]]:
    """Name, meaning and size of each perceptual group, and of no group where some are in none."""
    if summary.grouping is None:
        return []
    cuts, grouped = summary.grouping.perceptual, grouped_by(summary.grouping)
    which = {"easy": grouped.easy_seen, "hard": grouped.hard_seen}
    rows = [(name, which.get(name, "between"), size) for name, size in cuts.sizes.items()]
    without = summary.samples - sum(cuts.sizes.values())
    lost = (NO_GROUP, f"without {name_of(cuts.measure)}", without)
    return [*rows, lost] if without > 0 else rows


def write_page(
    folder: Path,
    template: str,
    figures: Sequence[ReportFigure],
    summary: Any,
    **values: Any,
) -> None:
    """Write a page, its figures as .svg and .png, and its numbers; each whole or not at all.

    Args:
        template: a file beside this one, given `figures` by name, `summary` and `values`.
        summary: a record; the numbers.
    """
    shown = {}
    for figure in figures:
        drawn = figure.drawn()
        for kind in ("svg", "png"):
            with written_aside(folder / f"{figure.name}.{kind}") as aside:
                aside.write_bytes(encode_figure(drawn, kind))
        shown[figure.name] = {
            "name": figure.name,
            "heading": figure.heading,
            "caption": figure.caption,
            "wide": encoded((folder / f"{figure.name}.svg").read_bytes()),
            "narrow": encoded(encode_figure(figure.narrow(), "svg")),
        }
    page = page_environment().get_template(template)
    text = with_contents(page.render(**page_parts(), summary=summary, figures=shown, **values))
    with written_aside(folder / "index.html") as aside:
        aside.write_text(text, encoding="utf-8")
    write_json(folder / SUMMARY_FILE, summary)


def with_contents(page: str) -> str:
    """Give each heading of a page an anchor, and list them all before the first.

    Only headings as the templates write them, `<h2>...</h2>`, are found: whatever text of other
    people stands in a page is escaped by then.
    """
    taken: dict[str, str] = {}  # anchor -> heading, as HTML

    def anchored(match: re.Match[str]) -> str:
        words = re.sub(r"<[^>]*>|&[^;]*;", "", match[1]).lower()
        name = "-".join(re.findall(r"[a-z0-9]+", words))[:60] or "part"
        anchor = next(a for n in count() if (a := f"{name}-{n}" if n else name) not in taken)
        taken[anchor] = match[1]
        return f'<h2 id="h-{anchor}">{match[1]}</h2>'

    anchored_page = _HEADING.sub(anchored, page)
    links = "".join(f'<li><a href="#h-{a}">{heading}</a></li>' for a, heading in taken.items())
    folded = f"<details><summary>Contents</summary><ul>{links}</ul></details>"
    return anchored_page.replace("<main>", f'<nav aria-label="Contents">{folded}</nav>\n<main>', 1)


@cache  # templates are compiled once a process
def page_environment() -> jinja2.Environment:
    """Templates of this folder, every value escaped, with the filters that show numbers."""
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
        "percent": percent_text,
        "together": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"),
        "estimate": _estimate,
        "exact": lambda value, share: f"{100 * value:.1f} points" if share else f"{value:.3f} nats",
        "points": lambda estimate: estimate_text(estimate, "", sign="+"),
        "number": number_text,
        "thousands": lambda count: f"{count:,}",
        "named": name_of,
        "rank": lambda group: PERCEPTUAL.index(group) if group in PERCEPTUAL else group,
        "json": lambda value: json.dumps(as_json(value), indent=2, ensure_ascii=False),
    }
    return environment


def page_parts() -> dict[str, str]:
    """The style and the script of a page, and its policy: nothing is loaded, one script runs."""
    # The page holds text of a dataset and of a model. Should any of it get past the escaping, the
    # browser still runs no script but the one whose hash stands here, and loads nothing from
    # anywhere.
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "js": script,
        "policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    }


def _estimate(estimate: Estimate, percent: bool = True) -> str:
    return estimate_text(estimate) if percent else estimate_text(estimate, "", scale=1, digits=3)


def _problem(text: str | None) -> str:
    """A problem without its image marks: the card shows the image."""
    return shown_text(None if text is None else text.replace("<image>", " ").strip())
