"""Preferences between the policy's own completions of one sample: a right and a wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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
    said,
)
from durian.exporters.sft import launch
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


DPO = Form(
    rows=_rows,
    fields=_fields,
    launch=partial(launch, "dpo", "rlhf --rlhf_type dpo"),
    chat="parts",
    decoded=True,
    reserved=trl.RESERVED | swift.RESERVED | {"asked"},
    completions="right and wrong",
)
