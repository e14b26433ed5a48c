"""Every column of the two tables: name, type, unit, meaning. The contract between the stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = 1
SCHEMA_KEY = b"durian.schema"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    type: pa.DataType
    unit: str  # "" where there is none
    meaning: str
    harder: Literal["higher", "lower"] | None = None  # which way difficulty grows; None: no measure


def _table(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


def _text(name: str, meaning: str) -> Column:
    return Column(name=name, type=pa.string(), unit="", meaning=meaning)


def _int(name: str, unit: str, meaning: str, type: pa.DataType | None = None) -> Column:
    return Column(name=name, type=type or pa.int32(), unit=unit, meaning=meaning)


def _float(
    name: str, unit: str, meaning: str, harder: Literal["higher", "lower"] | None = None
) -> Column:
    return Column(name=name, type=pa.float64(), unit=unit, meaning=meaning, harder=harder)


def _flag(name: str, meaning: str) -> Column:
    return Column(name=name, type=pa.bool_(), unit="", meaning=meaning)


DIFFICULTY = _table(
    _text("sample_id", "key of the sample: blake2b of problem, answer and encoded images"),
    _int("row", "rows", "position of the first dataset row, from 0", pa.int64()),
    _int("copies", "rows", "dataset rows that share this id"),
    _text("problem", "as in the dataset"),
    _text("answer", "as in the dataset"),
    _int("n_images", "images", "number of images"),
    _int("width", "pixels", "width of the first image"),
    _int("height", "pixels", "height of the first image"),
    _float(
        "pixel_entropy",
        "bits",
        "Shannon entropy of the gray levels, mean over the images",
        "higher",
    ),
    _float(
        "spectral_entropy",
        "nats",
        "entropy of the patch features' spectrum, mean over the images (eq. 5-9)",
        "higher",
    ),
    _float(
        "mean_logprob",
        "nats per token",
        "mean over completions of the per-token mean log-probability",
        "lower",
    ),
    _float(
        "sum_logprob",
        "nats",
        "mean over completions of the sequence log-probability (eq. 14-15)",
        "lower",
    ),
    _float("answer_entropy", "nats", "entropy of the distinct final answers", "higher"),
    _int("rollouts", "completions", "completions written (G)"),
    _float("pass_rate", "share", "completions that are right", "lower"),
    _float("format_rate", "share", "completions in the asked format", "lower"),
    _float("reward_mean", "reward", "mean over the completions, 0 to 1", "lower"),
    _float("reward_std", "reward", "standard deviation over the completions, n - 1"),
    _float("mean_tokens", "tokens", "mean completion length", "higher"),
    _float("truncated", "share", "completions cut by max-tokens", "higher"),
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


def arrow_schema(columns: dict[str, Column]) -> pa.Schema:
    """The Arrow schema of a table, with the version and each column's unit and meaning."""
    return pa.schema(
        [
            pa.field(c.name, c.type, metadata={"unit": c.unit, "meaning": c.meaning})
            for c in columns.values()
        ],
        metadata={SCHEMA_KEY: str(SCHEMA_VERSION).encode()},
    )


def describe_tables() -> dict[str, list[dict[str, str]]]:
    """Both tables' columns as plain text, for `durian schema`."""
    return {
        name: [
            {"column": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning}
            for c in columns.values()
        ]
        for name, columns in (("difficulty", DIFFICULTY), ("rollouts", ROLLOUTS))
    }
