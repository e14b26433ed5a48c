"""A training's manifest.json: what the training was of, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from durian.analysis.validation import ValidationResult
from durian.errors import RunFolderError
from durian.records import JsonObject, from_json, left_out
from durian.run.folder import MANIFEST
from durian.training.plan import BatchPlan

Log = Sequence[Mapping[str, float]]  # what the trainer logged, by name; one mapping a logged step


@dataclass(frozen=True, kw_only=True)
class TrainedDataset:
    """The dataset whose rows took part."""

    name: str
    split: str | None


@dataclass(frozen=True, kw_only=True)
class TrainedTable:
    """The profile whose groups the training had."""

    run: str
    model: str | None


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Counts of the rows that there are, and of those that took part."""

    rows: int
    samples: int
    longest_prompt: int | None = left_out()  # tokens
    left_out: dict[str, int] = field(default_factory=dict)  # by reason, the most frequent first


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Mean reward of what was sampled over the first and the last logged steps."""

    logged_steps: int
    averaged_steps: int | None = left_out()  # at each end; None where too few were logged
    reward_first: float | None = left_out()
    reward_last: float | None = left_out()


@dataclass(frozen=True, kw_only=True)
class Regrouped:
    """One time that the reasoning bins were stale and were cut anew."""

    step: int  # the optimizer step in which it was found
    tau: float  # Kendall's, of the confidence behind the old bins and the policy's own
    tau_by_chance: float  # of two profiles of one policy, mean
    moved: int  # samples that changed their bin
    samples: int


@dataclass(frozen=True, kw_only=True)
class TrainingManifest:
    """All that is known of a finished training beside its weights and its log."""

    out: str | None = left_out()  # its folder; the file in it does not say
    durian: str
    kind: Literal["training"] = "training"
    created: str
    dataset: TrainedDataset
    table: TrainedTable
    model: str
    config: JsonObject
    counts: RowCounts
    plan: BatchPlan
    result: Ends
    regrouped: list[Regrouped] | None = left_out()  # None: the bins stay as they are
    validation: ValidationResult | None = left_out()
    seconds: dict[str, float]
    versions: dict[str, str]


def finished_training(out: Path, value: JsonObject) -> TrainingManifest:
    """The manifest in a JSON object, with the folder that it is of.

    Raises:
        RunFolderError: a key is missing or of no use; names it.
    """
    try:
        return replace(from_json(TrainingManifest, value), out=str(out))
    except ValueError as error:
        raise RunFolderError(
            f"{out / MANIFEST}: {error}; choose another --out, or pass --fresh"
        ) from error
