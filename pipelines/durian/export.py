"""`durian export`: runs -> samples that are chosen -> their rows, as another trainer reads them.

The datasets are read once. Rows of chosen samples are set down on the disk, since their order and
the types of their columns are known only at the end; then the files are written from there. What
grows with the rows is the table's own numbers, never their texts and images.
"""

from __future__ import annotations

import shlex
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from durian.config import ExportConfig
from durian.config.export import CONTROL
from durian.config.options import as_kept
from durian.exporters import FORMS
from durian.exporters.base import Written
from durian.exporting.card import write_card
from durian.exporting.choose import Chosen, choose, table_of
from durian.exporting.completions import pick
from durian.exporting.folder import EXPORT_FILE, check_out, folder_aside
from durian.exporting.gather import Gathered, gather, open_sources
from durian.exporting.hub import check_push, push
from durian.exporting.layout import Layout, Writing, layout_of
from durian.exporting.pool import Pool, open_pool
from durian.exporting.record import Categories, Exported, PartCounts
from durian.exporting.sentences import sentences_of
from durian.exporting.spool import Spool
from durian.exporting.tables import copy_tables
from durian.exporting.upload import check_upload, upload
from durian.places import Place, Remote, place_of
from durian.rendering.page import write_page
from durian.run.files import write_json
from durian.run.folder import REPORT_FOLDER
from durian.run.progress import Progress, Silent


def export_run(config: ExportConfig, *, progress: Progress | None = None) -> Exported:
    """Write the samples of one or several runs as another trainer reads them.

    Raises:
        InputError: a run, dataset, choice or folder that does not fit; nothing is written.
        RunError: the upload failed; the folder is written.
    """
    progress = progress or Silent()
    place = place_of(config.out)
    if isinstance(place, Path):
        check_out(place)
        return _export_here(config, place, place.resolve(), progress)
    check_upload(place)
    with TemporaryDirectory(prefix="durian-") as aside:
        folder = Path(aside, place.name)
        result = _export_here(config, folder, place, progress)
        upload(folder, place, progress)
        return result


def _export_here(config: ExportConfig, out: Path, final: Place, progress: Progress) -> Exported:
    """Write to a folder of this machine what lies at `final` in the end."""
    form = FORMS[config.to]
    if config.push_to_hub is not None:
        check_push()
    pool = open_pool(config)
    sources = open_sources(config, pool.manifests)
    with folder_aside(out) as folder, ExitStack() as spools:
        rows, texts = (
            spools.enter_context(closing(Spool(folder / name))) for name in ("rows", "texts")
        )
        picked, usable = None, np.ones(len(pool), np.bool_)
        if form.completions is not None:
            pairs = form.completions == "right and wrong"
            picked = pick(config, pool, texts, wrong_too=pairs)
            usable = picked.usable(wrong_too=pairs)
        chosen = choose(config, pool, usable)
        found = gather(sources, pool, chosen.wanted(len(pool)), rows, progress)
        layout = layout_of(form, config, found.types)
        writing = Writing(
            folder=folder, final=final, pool=pool, found=found, picked=picked,
            layout=layout,
        )  # fmt: skip
        result = _result(
            config, final, pool, chosen, found, writing.sets(config, chosen, progress), layout,
            copy_tables(folder, config.runs) if config.tables else [],
        )  # fmt: skip
        report = folder / REPORT_FOLDER
        report.mkdir()
        write_page(report, "export.html.j2", [], result)
        write_card(folder, config, pool, result, layout)
        write_json(folder / EXPORT_FILE, result)
    if config.push_to_hub is not None:
        progress.start("upload", None)
        result = replace(result, pushed=push(out, config.push_to_hub))
    return result


def _policy(pool: Pool) -> str:
    """The policy that was profiled, as a launch line names it; MODEL where there is none."""
    names = {
        None if manifest.config.get("engine") == "scripted" else manifest.model.name
        for manifest in pool.manifests
    }
    name = names.pop()
    return "MODEL" if names or name is None else _from_anywhere(name)


def _from_anywhere(path: str) -> str:
    """A folder's whole path, quoted, for a line that may be run elsewhere; a hub id as it is."""
    return shlex.quote(str(Path(path).resolve()) if Path(path).exists() else path)


def _result(
    config: ExportConfig,
    final: Place,
    pool: Pool,
    chosen: Chosen,
    found: Gathered,
    parts: list[PartCounts],
    layout: Layout,
    tables: list[str],
) -> Exported:
    asked = {name: value for name, value in as_kept(config).items() if value is not None}
    written = Written(
        folder=final,
        # Of several runs none is the table, nor one policy the policy.
        run=_from_anywhere(config.runs[0]) if len(config.runs) == 1 else "RUN",
        model=_policy(pool),
        parts=[name for name in chosen.sets if name != CONTROL],
        ending=layout.form.ending,
        paths=layout.paths,
        chat=layout.chat,
    )
    result = Exported(
        durian=version("durian-rl"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        out=str(final if isinstance(final, Remote) else Path(config.out).expanduser()),
        form=config.to,
        messages=layout.chat if layout.form.chat is not None else None,
        runs=list(config.runs),
        datasets=[manifest.dataset.name for manifest in pool.manifests],
        models=[manifest.model.name for manifest in pool.manifests],
        samples=len(pool),
        repeated=pool.repeated,
        passed=int(chosen.eligible.sum()),
        drawn=chosen.drawn,
        parts=parts,
        tables=tables,
        rows_read=found.rows,
        rows_unknown=found.unknown,
        left_out=dict(found.left_out.most_common()),
        absent=int((chosen.wanted(len(pool)) & ~found.met).sum()),
        categories=Categories(
            column="" if config.balanced is None else config.balanced.column,
            sets=list(chosen.sets),
            rows=dict(zip(pool.categories, table_of(pool, chosen), strict=True)),
        ),
        renamed=layout.renamed,
        launch=list(layout.form.launch(written)),
        sentences=[],
        config=asked,
    )
    return replace(result, sentences=sentences_of(result))
