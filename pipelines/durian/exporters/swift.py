"""ms-swift: `messages` with marks, `images`, a `solution` for rewards, labels beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written, chat_type
from durian.records import JsonObject

# What ms-swift gives a meaning of its own.
RESERVED = frozenset(
    {
        "label", "channel", "margin", "objects", "tools", "teacher_prompt", "dataset", "query",
        "response", "history", "system", "audios", "videos", "prompt_id", "request_id",
        "rejected_response", "rejected_messages", "rejected_images", "positive_messages",
        "negative_messages", "conversation", "conversations",
    }
)  # fmt: skip


def _rows(given: Given) -> Iterator[JsonObject]:
    yield {
        **given.own,
        "messages": given.messages,
        "images": given.images,
        "solution": given.answer,
        **given.labels,
    }


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    return {
        **own,
        "messages": chat_type(chat),
        "images": images,
        "solution": pa.string(),
        **LABEL_TYPES,
    }


def _launch(written: Written) -> Sequence[str]:
    return [
        f"swift rlhf --rlhf_type grpo --model {written.model} --dataset {written.train} "
        "--external_plugins $(python -m durian.plugins.path swift) --reward_funcs durian "
        "--num_generations 8 --per_device_train_batch_size 8 --gradient_accumulation_steps 16"
    ]


SWIFT = Form(
    rows=_rows, fields=_fields, launch=_launch, chat="marks", texts=True, reserved=RESERVED
)
