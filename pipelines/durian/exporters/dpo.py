"""Preferences between the policy's own completions of one sample: a right and a wrong one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters import swift, trl
from durian.exporters.base import (
    LABEL_TYPES,
    MARKS,
    PARTS,
    Chat,
    Form,
    Given,
    Types,
    Written,
    said,
)
from durian.records import JsonObject


def _rows(given: Given) -> Iterator[JsonObject]:
    asked = given.messages
    parts = isinstance(asked[0]["content"], list)
    for right, wrong in zip(given.right, given.wrong, strict=False):
        chosen, rejected = said(right, asked), said(wrong, asked)
        if parts:  # TRL
            pair: JsonObject = {"prompt": asked, "chosen": [chosen], "rejected": [rejected]}
        else:  # `messages` and `rejected_response` are ms-swift's, the others LLaMA-Factory's
            pair = {
                "messages": [*asked, chosen],
                "rejected_response": wrong,
                "asked": asked,
                "chosen": chosen,
                "rejected": rejected,
            }
        yield {
            **given.own, **pair, "images": given.images, "answer": given.answer, **given.labels,
        }  # fmt: skip


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    if chat == "parts":
        pair = dict.fromkeys(("prompt", "chosen", "rejected"), PARTS)
    else:
        one = MARKS.value_type
        pair = {
            "messages": MARKS,
            "rejected_response": pa.string(),
            "asked": MARKS,
            "chosen": one,
            "rejected": one,
        }
    return {**own, **pair, "images": images, "answer": pa.string(), **LABEL_TYPES}


def _launch(written: Written) -> Sequence[str]:
    folder = shlex.quote(str(written.folder))
    if written.chat == "parts":
        return [
            f"trl dpo --model_name_or_path {written.model} --dataset_name {folder} "
            "--output_dir TRAINED"
        ]
    return [
        f"swift rlhf --rlhf_type dpo --model {written.model} --dataset {written.train}",
        f"llamafactory-cli train stage=dpo do_train=true model_name_or_path={written.model} "
        f"dataset_dir={folder} dataset=durian_{written.parts[0]} output_dir=TRAINED",
    ]


DPO = Form(
    rows=_rows,
    fields=_fields,
    launch=_launch,
    chat="parts",
    decoded=True,
    reserved=trl.RESERVED | swift.RESERVED | {"asked"},
    completions="right and wrong",
)
