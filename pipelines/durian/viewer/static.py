"""Write some samples of a run as a folder to share: one page that holds them, and their images.

The page is the viewer's own; sorting, filters and search go over the samples that it holds. It runs
its script alone, and loads nothing but the images beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from durian.errors import ConfigError
from durian.records import JsonObject
from durian.viewer.charts import charts
from durian.viewer.columns import VERDICT
from durian.viewer.facts import both_runs, sample_facts, samples_like
from durian.viewer.opened import OpenRun, page_rows
from durian.viewer.pictures import Picture
from durian.viewer.shown import shown_facts

PAGE = Path(__file__).parent / "page"
_SUFFIXES = {"image/jpeg": "jpg"}  # where it is not the kind's own word


def write_folder(opened: OpenRun, folder: Path, limit: int) -> dict[str, Any]:
    """Write index.html and images/; gives the folder, and how many samples and images are in it.

    Raises:
        ConfigError: the folder holds something, or lies in the run.
    """
    folder = folder.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"static is '{folder}', which holds something; name a new folder")
    if folder.resolve().is_relative_to(opened.config.run.expanduser().resolve()):
        raise ConfigError(f"static is '{folder}', in the run; name a folder outside of it")
    table = opened.table
    passing = table.places(opened.first_view)
    places = [int(place) for place in passing[:limit]]
    aside = folder.with_name(f"{folder.name}.tmp")
    try:
        (aside / "images").mkdir(parents=True)
        images = _write_images(opened, places, aside)
        (aside / "index.html").write_text(_page(_held(opened, places, images)), "utf-8")
        if folder.exists():
            folder.rmdir()
        aside.rename(folder)
    except BaseException:  # a damaged file shows only now: nothing is left of the folder
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return {
        "folder": folder,
        "samples": len(places),
        "of": len(passing),
        "images": sum(map(len, images.values())),
    }


def _page(held: JsonObject) -> str:
    """The viewer's page with its style, its script and the samples in it."""
    page = (PAGE / "index.html").read_text("utf-8")
    script = (PAGE / "view.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src "
        f"'sha256-{digest}'; base-uri 'none'; form-action 'none'; require-trusted-types-for "
        "'script'; trusted-types 'none'"
    )
    # In a script element "<" could end it, whatever the text around it says.
    data = json.dumps(held, ensure_ascii=False).replace("<", "\\u003c")
    for old, new in (
        ('<meta charset="utf-8">', '<meta charset="utf-8">\n<meta http-equiv='
         f'"Content-Security-Policy" content="{policy}">'),
        ('<link rel="stylesheet" href="view.css">',
         f"<style>\n{(PAGE / 'view.css').read_text('utf-8')}</style>"),
        ('<script src="view.js"></script>',
         f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script>'),
    ):  # fmt: skip
        assert page.count(old) == 1
        page = page.replace(old, new)
    return page


def _held(opened: OpenRun, places: list[int], images: dict[int, list[str]]) -> JsonObject:
    table, described = opened.table, opened.described
    names = [name for name in table.columns if name != VERDICT]
    barred = [name for name in names if table.columns[name].kind != "text"]
    bars = {name: table.bins(name) for name in barred}
    rows = page_rows(opened, places, names)
    for row in rows:
        place = row["place"]
        facts = sample_facts(table, opened.completions, opened.manifest, place)
        row["sample"] = {**shown_facts(facts), "mark": None, **_second(opened, place)}
        texts = [facts.problem, facts.answer, *(one.completion for one in facts.completions)]
        row["text"] = "\n".join(texts).lower()
        row["bars"] = {
            name: int(held.codes[place]) if held.codes[place] < held.bars else None
            for name, held in bars.items()
        }
        row["like"] = [vars(one) for one in samples_like(table, place) if one.place in images]
    return {
        "run": {
            **described,
            "samples": len(places),
            "columns": [c for c in described["columns"] if c["name"] != VERDICT],
            "view": {**described["view"], "sql": None},
            "marks": None,
        },
        "rows": rows,
        "bars": {
            name: {"edges": held.edges, "values": held.values, "all": [0] * held.bars}
            for name, held in bars.items()
        },
        "charts": charts(table),
        "images": {str(place): found for place, found in images.items()},
    }


def _second(opened: OpenRun, place: int) -> JsonObject:
    both = both_runs(opened.table, place)
    if both is None or opened.second is None or opened.table.second is None:
        return {}
    manifest, completions = opened.second
    theirs = sample_facts(opened.table.second, completions, manifest, both["place"])
    return {"second": {**shown_facts(theirs), **both}}


def _write_images(opened: OpenRun, places: list[int], folder: Path) -> dict[int, list[str]]:
    """Write the images of some samples; gives the names of the files, by place."""
    rows = opened.table.rows(places, ["row", "sample_id"])
    place_of = {row["row"]: place for place, row in zip(places, rows, strict=True)}
    names: dict[int, list[str]] = {place: [] for place in places}
    asked = [(row["row"], row["sample_id"]) for row in rows]
    for at, found in opened.pictures.each(asked):
        for number, picture in enumerate(found):
            if isinstance(picture, Picture):
                word = picture.kind.removeprefix("image/")
                suffix = _SUFFIXES.get(picture.kind, word)
                name = f"images/{place_of[at]}-{number}.{suffix}"
                (folder / name).write_bytes(picture.content)
                names[place_of[at]].append(name)
    return names
