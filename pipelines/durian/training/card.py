"""The model card of a trained policy: what it was, what it saw, how, and what came of it.

Names come from other people's folders and datasets: in the card they are text, and can be neither
markup nor another field of its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from durian.analysis.validation import ITSELF, ValidationResult
from durian.rendering.markdown import as_text
from durian.rendering.text import counted, estimate_text
from durian.training.manifest import Regrouped, TrainingManifest

CARD_FILE = "README.md"  # where the Hub looks for a card
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_CARD = """\
---
{header}---

# {model}, trained by GRPO with Durian

Made by [Durian](https://arxiv.org/abs/2602.21743) {durian} on {created}, from a table of how hard
each sample is for a policy.

| | |
| --- | --- |
{rows}

The reward is that of completions sampled while training, not of an evaluation: `durian eval` gives
accuracy with intervals, overall and by difficulty group. All settings are in `manifest.json`, each
step in `log.json`.

## Versions

{versions}
"""


def model_card(manifest: TrainingManifest) -> str:
    """The card of a finished training as Markdown, with the header that the Hub reads."""
    config, model = manifest.config, manifest.model
    header: dict[str, object] = {
        "library_name": "transformers" if config["lora_r"] is None else "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": ["grpo", "durian", "trl"],
    }
    # A folder's name would be taken for a model of the Hub.
    if _HUB_ID.fullmatch(model) and not Path(model).exists():
        header["base_model"] = model
    return _CARD.format(
        header=yaml.safe_dump(header, sort_keys=False),
        model=as_text(Path(model).name if Path(model).exists() else model),
        durian=as_text(manifest.durian),
        created=as_text(manifest.created[:10]),
        rows="\n".join(f"| {name} | {text} |" for name, text in _facts(manifest)),
        versions=as_text(", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    )


def _facts(manifest: TrainingManifest) -> Iterable[tuple[str, str]]:
    """Make the rows of the card's table; texts are escaped."""
    config, dataset, table = manifest.config, manifest.dataset, manifest.table
    yield "Policy", as_text(manifest.model)
    if config["lora_r"] is not None:
        yield "Adapter", f"LoRA of rank {config['lora_r']}"
    yield "Dataset", as_text(f"{dataset.name}, split {dataset.split}")
    counts = manifest.counts
    left_out = "".join(f"; {number} x {why}" for why, number in counts.left_out.items())
    yield "Samples", as_text(f"{counts.samples} of {counts.rows} rows{left_out}")
    yield "Difficulty table", as_text(f"{table.run}, measured with {table.model or 'no policy'}")
    yield "Normalizer", as_text(_normalizer(manifest))
    if manifest.regrouped is not None:
        yield "Reasoning bins", as_text(_regrouped(manifest.regrouped))
    result = manifest.result
    yield "Logged steps", str(result.logged_steps)
    if result.reward_first is not None:
        steps = f"over the first {result.averaged_steps} logged steps"
        first, last = result.reward_first, result.reward_last
        yield "Mean reward", f"{first:.3f} {steps}, {last:.3f} over the last"
    if (found := manifest.validation) is not None:
        yield "Validation", as_text(validation_text(found))
        yield "Best policy", as_text(best_text(found))


def _regrouped(cuts: Sequence[Regrouped]) -> str:
    """When the bins were cut anew, and what for."""
    told = (
        f"in step {cut.step} ({cut.moved} of {cut.samples} samples moved; tau {cut.tau:.2f}, by "
        f"chance {cut.tau_by_chance:.2f})"
        for cut in cuts
    )
    return f"cut anew {'; '.join(told)}" if cuts else "the table's to the end; never found stale"


def validation_text(found: ValidationResult) -> str:
    """The validations in a line: on what, how many, how it began and ended."""
    stopped = "" if found.stopped is None else f", where patience ran out at step {found.stopped}"
    return (
        f"{found.dataset}, split {found.split}: {found.best.metric} "
        f"{estimate_text(found.first.estimate, named=True)} before the first step, "
        f"{estimate_text(found.last.estimate)} after the last{stopped}"
    )


def best_text(found: ValidationResult) -> str:
    """The best policy in a line: its step, its accuracy, its weights, and how to read that."""
    best, where = found.best, "this folder" if found.best.weights == ITSELF else found.best.weights
    return (
        f"step {best.step}, {best.metric} {estimate_text(best.accuracy.estimate)}, in {where}; the "
        f"highest of {counted(found.validations, 'validation')}, so expect less of it on other "
        "samples"
    )


def _normalizer(manifest: TrainingManifest) -> str:
    config, own = manifest.config, ""
    if config["normalizer"] == "durian":
        weights = ", ".join(f"{weight:g}" for weight in config["weights"])
        own = f", weights {weights} (own, perceptual, reasoning)"
    return f"{config['normalizer']}{own}, groups {config['groups']}"


def figure_title(manifest: TrainingManifest) -> list[str]:
    """The policy, its table and its normalizer, as the lines over the picture of a training."""
    table = manifest.table
    return [
        manifest.model,
        f"table {table.run}, measured with {table.model or 'no policy'}",
        f"normalizer {_normalizer(manifest)}",
    ]
