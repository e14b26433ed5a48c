"""Every column of the two tables: name, type, unit, meaning. The contract between the stages."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from durian.measures import MEASURES, Column

SCHEMA_VERSION = 1
SCHEMA_KEY = b"durian.schema"


def _table(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


def _text(name: str, meaning: str) -> Column:
    return Column(name=name, type="string", meaning=meaning)


def _int(name: str, unit: str, meaning: str, type: Literal["int32", "int64"] = "int32") -> Column:
    return Column(name=name, type=type, unit=unit, meaning=meaning)


def _float(name: str, unit: str, meaning: str) -> Column:
    return Column(name=name, unit=unit, meaning=meaning)


def _flag(name: str, meaning: str) -> Column:
    return Column(name=name, type="bool", meaning=meaning)


DIFFICULTY = _table(
    _text("sample_id", "key of the sample: blake2b of problem, answer and encoded images"),
    _int("row", "rows", "position of the first dataset row, from 0", "int64"),
    _int("copies", "rows", "dataset rows that share this id"),
    _text("problem", "as in the dataset"),
    _text("answer", "as in the dataset"),
    _int("n_images", "images", "number of images"),
    _int("width", "pixels", "width of the first image"),
    _int("height", "pixels", "height of the first image"),
    *(column for measure in MEASURES.values() for column in measure.columns),
    _text("perceptual_group", "easy, medium or hard by the perceptual measure (eq. 10)"),
    _int("reasoning_group", "", "bin of the reasoning measure, 0 is the least confident (eq. 16)"),
    _text("error", "why a measure is missing; null where all is well"),
)

ROLLOUTS = _table(
    _text("sample_id", "key of the sample"),
    _int("rollout", "", "number of the completion within its sample, from 0"),
    _text("completion", "what the policy wrote"),
    _text("answer", "the final answer taken from it; null if there is none"),
    _int("n_tokens", "tokens", "completion length, the end token included when sampled"),
    _float("sum_logprob", "nats", "log-probability of the completion at temperature 1 (eq. 14)"),
    _float("reward", "reward", "0.1 format + 0.9 accuracy, or the custom reward"),
    _flag("correct", "the answer is right"),
    _flag("formatted", "reasoning and answer are in the asked format"),
    _text("finish_reason", "stop, length or error"),
)


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column as Arrow has it."""
    return pa.type_for_alias(column.type)


def arrow_schema(columns: dict[str, Column]) -> pa.Schema:
    """The Arrow schema of a table, with the version and each column's unit and meaning."""
    return pa.schema(
        [
            pa.field(c.name, arrow_type(c), metadata={"unit": c.unit, "meaning": c.meaning})
            for c in columns.values()
        ],
        metadata={SCHEMA_KEY: str(SCHEMA_VERSION).encode()},
    )


def describe_tables() -> dict[str, list[dict[str, str]]]:
    """Both tables' columns as plain text, for `durian schema`."""
    return {
        name: [
            {"column": c.name, "type": str(arrow_type(c)), "unit": c.unit, "meaning": c.meaning}
            for c in columns.values()
        ]
        for name, columns in (("difficulty", DIFFICULTY), ("rollouts", ROLLOUTS))
    }
