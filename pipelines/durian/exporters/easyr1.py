"""EasyR1: `problem`, `answer`, `images`, and all labels as columns of their own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written
from durian.records import JsonObject


def _rows(given: Given) -> Iterator[JsonObject]:
    # The trainer puts an image where a mark stands, and nowhere else.
    yield {
        **given.own,
        "problem": given.marked,
        "answer": given.answer,
        "images": given.images,
        **given.labels,
    }


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    texts = {"problem": pa.string(), "answer": pa.string()}
    return {**own, **texts, "images": images, **LABEL_TYPES}


def _launch(written: Written) -> Sequence[str]:
    images = f" data.image_dir={shlex.quote(str(written.folder))}" if written.paths else ""
    return [
        "python3 -m durian.plugins.durian_easyr1 config=examples/config.yaml "
        f"data.train_files={written.train} data.val_files={written.other} "
        "data.prompt_key=problem data.answer_key=answer data.image_key=images"
        f"{images} worker.actor.model.model_path={written.model}"
    ]


EASYR1 = Form(
    rows=_rows,
    fields=_fields,
    launch=_launch,
    relative=True,
    texts=True,
    reserved=frozenset(
        {
            "input_ids", "attention_mask", "position_ids", "responses", "response_mask", "uid",
            "ground_truth", "multi_modal_data", "raw_prompt_ids",
        }
    ),
)  # fmt: skip
