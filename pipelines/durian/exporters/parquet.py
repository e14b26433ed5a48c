"""Durian's own form as Parquet: `problem`, `answer`, `images`, labels and the dataset's columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written
from durian.records import JsonObject


def plain_rows(given: Given) -> Iterator[JsonObject]:
    """The row as a dataset of Durian has it."""
    yield {
        **given.own,
        "problem": given.problem,
        "answer": given.answer,
        "images": given.images,
        **given.labels,
    }


def plain_launch(written: Written) -> Sequence[str]:
    """The command that reads the file with the run's table."""
    return [
        f"durian train {written.train} --table {written.run} --model {written.model} --out TRAINED"
    ]


def plain_fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    """The columns of such a row."""
    texts = {"problem": pa.string(), "answer": pa.string()}
    return {**own, **texts, "images": images, **LABEL_TYPES}


PARQUET = Form(
    rows=plain_rows, fields=plain_fields, launch=plain_launch, decoded=True, relative=True
)
