"""TRL: a conversational `prompt`, `images`, a `solution` for rewards, labels beside them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written, chat_type
from durian.records import JsonObject

# Columns that make TRL's trainers take a row for one of another form.
RESERVED = frozenset(
    {
        "prompt", "completion", "chosen", "rejected", "messages", "text", "label", "image",
        "tools", "chat_template_kwargs", "environment", "input_ids", "labels",
    }
)  # fmt: skip


def _rows(given: Given) -> Iterator[JsonObject]:
    yield {
        **given.own,
        "prompt": given.messages,
        "images": given.images,
        "solution": given.answer,
        **given.labels,
    }


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    return {
        **own,
        "prompt": chat_type(chat),
        "images": images,
        "solution": pa.string(),
        **LABEL_TYPES,
    }


def _launch(written: Written) -> Sequence[str]:
    folder = shlex.quote(str(written.folder))
    return [
        f"trl grpo --model_name_or_path {written.model} --dataset_name {folder} "
        # TRL's own accuracy_reward gives None to each sample whose reference is a word.
        "--reward_funcs durian.rewards.trl_reward --num_generations 8 --output_dir TRAINED",
        f"durian train {written.train} --table {written.run} --model {written.model} --out TRAINED"
        "  # with the groups in the normalizer",
    ]


TRL = Form(
    rows=_rows, fields=_fields, launch=_launch, chat="parts", decoded=True, reserved=RESERVED
)
