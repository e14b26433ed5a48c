"""The model card of a trained policy: what it was, what it saw, how, and what came of it.

Names come from other people's folders and datasets: in the card they are text, and can be neither
markup nor another field of its header.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import yaml

from durian.rendering.markdown import as_text
from durian.training.facts import training_facts, training_results
from durian.training.manifest import TrainingManifest

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
    facts = chain(training_facts(manifest), training_results(manifest))
    return _CARD.format(
        header=yaml.safe_dump(header, sort_keys=False),
        model=as_text(Path(model).name if Path(model).exists() else model),
        durian=as_text(manifest.durian),
        created=as_text(manifest.created[:10]),
        rows="\n".join(f"| {name} | {as_text(text)} |" for name, text in facts),
        versions=as_text(", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    )
