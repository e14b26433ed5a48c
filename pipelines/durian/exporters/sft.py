"""Fine-tuning on the policy's own right completions: `messages` that end with the assistant."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa

from durian.exporters import swift, trl
from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written, chat_type, said
from durian.records import JsonObject


def _rows(given: Given) -> Iterator[JsonObject]:
    for completion in given.right:
        yield {
            **given.own,
            "messages": [*given.messages, said(completion, given.messages)],
            "images": given.images,
            "answer": given.answer,
            **given.labels,
        }


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    return {
        **own,
        "messages": chat_type(chat),
        "images": images,
        "answer": pa.string(),
        **LABEL_TYPES,
    }


def launch(stage: str, swift_command: str, written: Written) -> Sequence[str]:
    """The lines of the trainers that learn from completions.

    Args:
        stage: sft or dpo, as TRL and LLaMA-Factory call it.
        swift_command: of ms-swift, for the same.
    """
    folder = shlex.quote(str(written.folder))
    if written.chat == "parts":
        return [
            f"trl {stage} --model_name_or_path {written.model} --dataset_name {folder} "
            "--output_dir TRAINED"
        ]
    return [
        f"swift {swift_command} --model {written.model} --dataset {written.train}",
        # Without its own name for the model's template it puts no image into a prompt.
        f"llamafactory-cli train --stage {stage} --do_train true "
        f"--model_name_or_path {written.model} --template TEMPLATE --dataset_dir {folder} "
        f"--dataset durian_{written.parts[0]} --output_dir TRAINED",
    ]


SFT = Form(
    rows=_rows,
    fields=_fields,
    launch=partial(launch, "sft", "sft"),
    chat="parts",
    decoded=True,
    reserved=trl.RESERVED | swift.RESERVED,
    completions="right",
)
