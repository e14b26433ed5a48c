"""slime and miles: JSON lines, labels and the dataset's own columns inside `metadata`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written
from durian.records import JsonObject


def _rows(given: Given) -> Iterator[JsonObject]:
    yield {
        "prompt": given.messages,
        "label": given.answer,
        "images": given.images,
        "metadata": {**given.own, **given.labels},
    }


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    return LABEL_TYPES  # inside the metadata, beside the own columns; the lines have no schema


def _launch(written: Written) -> Sequence[str]:
    return [
        f"python3 train.py --prompt-data {written.train} --input-key prompt --label-key label "
        '--metadata-key metadata --multimodal-keys \'{"image": "images"}\' '
        "--apply-chat-template --advantage-estimator grpo "
        "--custom-reward-post-process-path durian.plugins.durian_slime.advantages "
        f"--hf-checkpoint {written.model} --n-samples-per-prompt 8"
    ]


SLIME = Form(rows=_rows, fields=_fields, launch=_launch, ending="jsonl", chat="marks", texts=True)
