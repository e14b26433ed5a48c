"""Every column of the two tables: name, type, unit, meaning. The contract between the stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import pyarrow as pa

from durian.measures import MEASURES, Column

SCHEMA_VERSION = 2
SCHEMA_KEY = b"durian.schema"


def _table(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


def _text(name: str, meaning: str) -> Column:
    return Column(name=name, type="string", meaning=meaning)


def _int(name: str, unit: str, meaning: str, type: Literal["int32", "int64"] = "int32") -> Column:
    return Column(name=name, type=type, unit=unit, meaning=meaning)


def _float(
    name: str, unit: str, meaning: str, harder: Literal["higher", "lower"] | None = None
) -> Column:
    return Column(name=name, unit=unit, meaning=meaning, harder=harder)


def _flag(name: str, meaning: str) -> Column:
    return Column(name=name, type="bool", meaning=meaning)


def _version_2(*columns: Column) -> Iterator[Column]:
    """Columns that tables have from version 2 on: null until something measures them."""
    return (replace(column, since=2) for column in columns)


def _measured(*coming: Column) -> Iterator[Column]:
    """The columns of all measures; those of version 2 in the place where they were promised.

    Args:
        coming: the columns of version 2, of which some have no measure yet.
    """
    # Tables keep the order that was promised when a column was announced: a measure that comes
    # later fills its column's place instead of being added behind, so a reader by position finds it
    # where it was null.
    known = {c.name: c for measure in MEASURES.values() for c in measure.columns}
    promised = {column.name: column for column in _version_2(*coming)}
    yield from (column for name, column in known.items() if name not in promised)
    yield from (known.get(name, column) for name, column in promised.items())


DIFFICULTY = _table(
    _text("sample_id", "key of the sample: blake2b of problem, answer and encoded images"),
    _int("row", "rows", "position of the first dataset row, from 0", "int64"),
    _int("copies", "rows", "dataset rows that share this id"),
    _text("problem", "as in the dataset"),
    _text("answer", "as in the dataset"),
    _int("n_images", "images", "number of images"),
    _int("width", "pixels", "width of the first image"),
    _int("height", "pixels", "height of the first image"),
    *_measured(
        _float("difficulty", "share", "estimated share of wrong completions, 0 to 1", "higher"),
        _float("difficulty_sd", "share", "standard deviation of the estimated difficulty"),
        _float("confidence", "nats per token", "estimated mean_logprob", "lower"),
        _float("confidence_sd", "nats per token", "standard deviation of the estimate"),
        _int("estimated_from", "completions", "of this very sample behind the estimates"),
        _float("blind_pass_rate", "share", "completions that are right without the image", "lower"),
        _float("image_gain", "share", "pass_rate less blind_pass_rate"),
        _float("image_gain_sd", "share", "standard deviation of image_gain"),
        _float("consensus", "share", "completions with the most common answer", "lower"),
        _text("consensus_answer", "the most common answer"),
        _float("label_doubt", "", "how much the completions speak for another answer, 0 to 1"),
        _text("image_cluster", "near-duplicates of one image share it"),
        _float("resize_factor", "", "side of an image as the policy sees it over that in the file"),
        _int("image_tokens", "tokens", "of all images of the prompt"),
        _int("prompt_tokens", "tokens", "of the whole prompt"),
        _text("also_in", "other datasets that hold the sample too, and how"),
        _float("right_unboxed", "share", "wrong completions with the reference outside a box"),
        _text("answer_kind", "kind of the reference: by which rule answers are compared to it"),
        _text("why", "the first cause that applies of how the completions came out"),
    ),
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
    _text("finish_reason", "stop, length, repetition or error"),
    *_version_2(
        _flag("blind", "written without the image"),
        _flag("judged", "a served model was asked whether the answer is right"),
        _int("step", "", "of the training that wrote it"),
    ),
)


# Of an evaluation, which draws in two ways, and of two policies where it compares.
JUDGED_ROLLOUTS = _table(
    _text("policy", "which policy wrote it: that of --model, or that of --compare"),
    _flag("greedy", "drawn greedily; else sampled"),
    *ROLLOUTS.values(),
)


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column as Arrow has it."""
    return pa.type_for_alias(column.type)


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values, None among them, as an Arrow array of one of the tables' types.

    By way of Polars: `pa.array` imports pandas, where that is installed, to see whether it is given
    one of its objects, and that takes a second of every command.
    """
    import polars as pl  # here: the declarations above are read by `--help`

    kinds = {pa.string(): pl.String, pa.int32(): pl.Int32, pa.int64(): pl.Int64,
             pa.float64(): pl.Float64, pa.bool_(): pl.Boolean, pa.binary(): pl.Binary}  # fmt: skip
    return pl.Series(values, dtype=kinds[kind]).to_arrow().cast(kind)


def arrow_schema(columns: dict[str, Column]) -> pa.Schema:
    """The Arrow schema of a table, with the version and each column's unit and meaning."""
    return pa.schema(
        [
            pa.field(c.name, arrow_type(c), metadata={"unit": c.unit, "meaning": c.meaning})
            for c in columns.values()
        ],
        metadata={SCHEMA_KEY: str(SCHEMA_VERSION).encode()},
    )


def known_at(columns: dict[str, Column], version: int) -> list[str]:
    """The names of the columns that a table of some version has."""
    return [name for name, column in columns.items() if column.since <= version]


def current(table: pa.Table, columns: dict[str, Column]) -> pa.Table:
    """A table of any version with the columns of this one: null where it lacks them."""
    return pa.table(
        {
            # A column that a table lacks is null of the right type: parts of two versions can be
            # joined, and nobody asks which version a table is before reading it.
            name: table[name]
            if name in table.schema.names
            else pa.nulls(len(table), arrow_type(column))
            for name, column in columns.items()
        },
        schema=arrow_schema(columns).with_metadata(table.schema.metadata),
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
