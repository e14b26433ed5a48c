"""Durian's own form as JSON lines; images are data URLs, or paths of files beside it."""

from __future__ import annotations

from durian.exporters.base import Form
from durian.exporters.parquet import plain_fields, plain_launch, plain_rows

JSONL = Form(
    rows=plain_rows,
    fields=plain_fields,
    launch=plain_launch,
    ending="jsonl",
    relative=True,
    texts=True,
)
