"""The model card of a trained policy: what it was, what it saw, how, and what came of it.

Names come from other people's folders and datasets: in the card they are text, and can be neither
markup nor another field of its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from durian.errors import one_line
from durian.rendering.text import shown_text
from durian.training.manifest import TrainingManifest

CARD_FILE = "README.md"  # where the Hub looks for a card
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# All of ASCII's punctuation may stand escaped in Markdown; these mean nothing within a line.
_MARKUP = re.compile(r"""([!"#$%&'()*+.:;<=>?@\[\\\]^_`{|}~])""")

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
        model=_text(Path(model).name if Path(model).exists() else model),
        durian=_text(manifest.durian),
        created=_text(manifest.created[:10]),
        rows="\n".join(f"| {name} | {text} |" for name, text in _facts(manifest)),
        versions=_text(", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    )


def _facts(manifest: TrainingManifest) -> Iterable[tuple[str, str]]:
    """Make the rows of the card's table; texts are escaped."""
    config, dataset, table = manifest.config, manifest.dataset, manifest.table
    yield "Policy", _text(manifest.model)
    if config["lora_r"] is not None:
        yield "Adapter", f"LoRA of rank {config['lora_r']}"
    yield "Dataset", _text(f"{dataset.name}, split {dataset.split}")
    counts = manifest.counts
    left_out = "".join(f"; {number} x {why}" for why, number in counts.left_out.items())
    yield "Samples", _text(f"{counts.samples} of {counts.rows} rows{left_out}")
    yield "Difficulty table", _text(f"{table.run}, measured with {table.model or 'no policy'}")
    yield "Normalizer", _text(_normalizer(manifest))
    result = manifest.result
    yield "Logged steps", str(result.logged_steps)
    if result.reward_first is not None:
        steps = f"over the first {result.averaged_steps} logged steps"
        first, last = result.reward_first, result.reward_last
        yield "Mean reward", f"{first:.3f} {steps}, {last:.3f} over the last"


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


def _text(value: Any) -> str:
    """A text of other people as one line of Markdown that shows it and does nothing else."""
    return _MARKUP.sub(r"\\\1", one_line(shown_text(str(value))))
