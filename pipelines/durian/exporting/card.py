"""The card of an export: a README that the Hub shows, and that lists the files by split.

Names come from other people's folders and datasets: in the card they are text.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from durian.config import ExportConfig
from durian.exporters.base import LABELS
from durian.exporting.layout import Layout
from durian.exporting.pool import Pool
from durian.exporting.record import Exported
from durian.exporting.tables import SHOWN
from durian.groups import KINDS
from durian.rendering.markdown import as_text
from durian.run.folder import REPORT_FOLDER
from durian.run.manifest import Manifest
from durian.schema import DIFFICULTY

CARD_FILE = "README.md"
CURVES = "curves.png"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_SETTINGS = (
    "engine", "rollouts", "temperature", "top_p", "max_tokens", "seed", "system_prompt",
    "prompt_template", "reward", "reward_args", "min_pixels", "max_pixels", "engine_args",
    "sampling_args", "chat_template_args",
)  # fmt: skip

_CARD = """\
---
{header}---

# {name}, by difficulty, for {form}

Samples of {datasets} with their difficulty for {models}, measured and written by
[Durian](https://arxiv.org/abs/2602.21743) {durian} on {created}.

{sentences}
{picture}
## Launch

{launch}

## Files

| file | samples | rows |
| --- | --- | --- |
{parts}

## Columns

| column | type | unit | meaning |
| --- | --- | --- | --- |
{columns}

Larger `durian_perceptual` is harder; `durian_confidence` is as the table has it.

{runs}
## This export

{config}
"""


def write_card(
    folder: Path, config: ExportConfig, pool: Pool, found: Exported, layout: Layout
) -> None:
    """Write README.md, with the curves of the first run that has them."""
    picture = _copy_curves(folder, config)
    files = [{"split": part.name, "path": part.file} for part in found.parts]
    rows = sum(part.rows for part in found.parts)
    header = {
        "tags": ["durian", "grpo", "difficulty"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>1M")],
        "configs": [{"config_name": "default", "data_files": files}, *_tables(folder, found)],
    }
    text = _CARD.format(
        header=yaml.safe_dump(header, sort_keys=False),
        name=as_text(", ".join(found.datasets)),
        form=found.form,
        datasets=as_text(", ".join(found.datasets)),
        models=as_text(", ".join(model or "no policy" for model in found.models)),
        durian=as_text(found.durian),
        created=as_text(found.created[:10]),
        sentences=" ".join(map(as_text, found.sentences)),
        picture=f"\n![Errors by measure of difficulty]({picture})\n" if picture else "",
        launch="\n".join(f"    {line}" for line in found.launch),
        parts="\n".join(f"| {p.file} | {p.samples:,} | {p.rows:,} |" for p in found.parts),
        columns="\n".join(_columns(layout, pool)),
        runs="\n".join(
            _run(run, manifest) for run, manifest in zip(config.runs, pool.manifests, strict=True)
        ),
        config=_as_code(found.config),
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    if layout.chat == "marks" and layout.form.completions is not None:
        (folder / "dataset_info.json").write_text(
            json.dumps(_for_llama_factory(found, layout), indent=2) + "\n", encoding="utf-8"
        )


def _tables(folder: Path, found: Exported) -> Iterator[dict[str, object]]:
    """The runs' tables as further parts of the dataset; `load_dataset(NAME, "difficulty")`."""
    for name, file in SHOWN.items():
        files = [f"{place}/{file}" for place in found.tables if (folder / place / file).exists()]
        if files:
            yield {"config_name": name, "data_files": files}


def _copy_curves(folder: Path, config: ExportConfig) -> str | None:
    for run in config.runs:
        drawn = sorted((Path(run) / REPORT_FOLDER).glob("*curve*.png"))
        if drawn:
            shutil.copyfile(drawn[0], folder / REPORT_FOLDER / CURVES)
            return f"{REPORT_FOLDER}/{CURVES}"
    return None


def _columns(layout: Layout, pool: Pool) -> Iterator[str]:
    measures = {
        "durian_perceptual": "perceptual",
        "durian_confidence": "reasoning",
    }
    for name, (kind, unit, meaning) in LABELS.items():
        if name in measures:
            by = {
                cuts.measure
                for manifest in pool.manifests
                for cuts in [manifest.groups.perceptual, manifest.groups.reasoning]
                if cuts is manifest.groups.by(measures[name])  # type: ignore[arg-type]
            }
            meaning = f"{meaning}: {', '.join(sorted(by))}"
            units = {DIFFICULTY[one].unit for one in by if one in DIFFICULTY}
            unit = ", ".join(sorted(filter(None, units)))
        yield f"| {name} | {kind} | {unit} | {as_text(meaning)} |"
    for field in layout.schema:
        if field.name not in LABELS:
            own = {new: old for old, new in layout.names.items()}.get(field.name)
            meaning = "" if own is None else f"the dataset's own {own}"
            kind = str(field.type) if len(str(field.type)) < 60 else str(field.type)[:57] + "..."
            yield f"| {as_text(field.name)} | {as_text(kind)} | | {as_text(meaning)} |"


def _run(run: str, manifest: Manifest) -> str:
    """A section on one run: who was measured, how, and how the groups were cut."""
    told = {name: manifest.config[name] for name in _SETTINGS if manifest.config.get(name)}
    facts = {
        "dataset": f"{manifest.dataset.name}, split {manifest.dataset.split}, fingerprint "
        f"{manifest.dataset.fingerprint}",
        "policy": f"{manifest.model.name or 'none'}, fingerprint {manifest.model.fingerprint}",
        "rows, samples": f"{manifest.counts.rows:,}, {manifest.counts.samples:,}",
        "measured": f"{manifest.created[:10]} by Durian {manifest.durian}",
        "grader": f"{manifest.config.get('reward', 'none')} of Durian {manifest.durian}",
    }
    for kind in KINDS:
        cuts = manifest.groups.by(kind)
        sizes = ", ".join(f"{group}: {size:,}" for group, size in cuts.sizes.items())
        edges = ", ".join(f"{edge:.4g}" for edge in cuts.edges)
        facts[f"{kind} groups"] = f"by {cuts.measure}, cut at {edges or 'nothing'}; {sizes}"
    rows = "\n".join(f"| {name} | {as_text(value)} |" for name, value in facts.items())
    return f"## Run {as_text(Path(run).name)}\n\n| | |\n| --- | --- |\n{rows}\n\n{_as_code(told)}\n"


def _as_code(value: object) -> str:
    # As an indented block no text in it can end it.
    text = json.dumps(value, indent=2, ensure_ascii=True, default=str)
    return "\n".join(f"    {line}" for line in text.splitlines())


def _for_llama_factory(found: Exported, layout: Layout) -> dict[str, object]:
    """What LLaMA-Factory's `dataset_info.json` says of each file."""
    tags = {
        "role_tag": "role", "content_tag": "content", "user_tag": "user",
        "assistant_tag": "assistant", "system_tag": "system",
    }  # fmt: skip
    pairs = layout.form.completions == "right and wrong"
    columns = {"messages": "asked" if pairs else "messages", "images": "images"}
    if pairs:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    return {
        f"durian_{part.name}": {
            "file_name": part.file,
            "formatting": "sharegpt",
            "ranking": pairs,
            "columns": columns,
            "tags": tags,
        }
        for part in found.parts
    }
