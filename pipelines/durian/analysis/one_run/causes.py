"""Samples by why they are hard: how many, and the part of the wrong completions that is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.analysis.one_run.columns import numbers
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import ErrorsOfGroup, errors_by_group, group_codes
from durian.analysis.statistics.estimate import Estimate, Label
from durian.analysis.statistics.shares import paired_difference, share, shares
from durian.causes.rules import CAUSES, Evidence, measured_causes
from durian.records import left_out

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OfCause:
    """The samples of one cause."""

    cause: str
    samples: int
    share: Estimate  # of all samples that have a cause
    errors: int  # their wrong completions
    error_share: Estimate  # of all wrong completions
    say: str = ""  # a piece of advice, and the command or setting that follows it
    do: str = ""


@dataclass(frozen=True, kw_only=True)
class CausesOfGroup:
    """The causes within one group of samples, or one value of a text column."""

    group: Label
    samples: int  # that have a cause
    shares: dict[str, Estimate]  # cause -> share of those samples; the causes that any sample has


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much the image adds to the pass rate of the samples with one value of a text column."""

    value: str
    samples: int
    gain: Estimate


@dataclass(frozen=True, kw_only=True)
class Causes:
    """Why the samples of a run are hard."""

    found: list[OfCause]  # in the order of the rules; those that any sample has
    unknown: int  # samples without a cause: nothing is known of them
    untold: list[str]  # causes whose measure was not taken
    thresholds: dict[str, float] | None = left_out()
    looped: Estimate  # share of the wrong completions that repeat themselves to the end
    cut: Estimate  # share of them that hit the token limit and do not
    groups: dict[str, list[CausesOfGroup]] = field(default_factory=dict)  # by grouping, or column
    gain: Estimate | None = left_out()  # pass rate less that without the image, where measured
    gains: dict[str, list[Gain]] = field(default_factory=dict)  # the same by text column


def analyse_causes(
    table: pl.DataFrame,
    evidence: Evidence,
    clusters: Clusters,
    labels: Mapping[str, tuple[Sequence[Label | None], Sequence[Label]]],
    thresholds: dict[str, float] | None,
) -> Causes | None:
    """Count the causes of a table's samples; None where no sample has one that says anything.

    Args:
        table: with its column `why`, `pass_rate` and `blind_pass_rate`; N rows.
        evidence: of the same samples.
        clusters: of the same samples.
        labels: what samples are told apart by: by its name, the label of each, (N,), and the labels
            in order. Text columns among them get the gain of the image.
    """
    why: list[str | None] = table["why"].to_list()
    causes = [cause for cause in CAUSES if cause in set(why)]
    if not causes or (not evidence.total.any() and causes == ["unreadable"]):
        return None  # what could not be read is told by reason, anyway
    wrong, total = evidence.wrong, evidence.total
    rows = errors_by_group(why, causes, wrong, total, clusters)
    every = np.array([cause is not None for cause in why])
    sizes = _shares_of_samples(why, causes, every, clusters)
    gain, gains = _gains(table, labels, clusters)
    return Causes(
        found=[_of_cause(row, size) for row, size in zip(rows, sizes, strict=True)],
        unknown=int((~every).sum()),
        untold=[cause for cause in CAUSES if cause not in measured_causes(evidence)],
        thresholds=thresholds,
        looped=_part(evidence.looped, wrong, clusters),
        cut=_part(evidence.cut, wrong, clusters),
        groups={
            name: _by_group(why, causes, of_each, order, every, clusters)
            for name, (of_each, order) in labels.items()
        },
        gain=gain,
        gains=gains,
    )


def _of_cause(row: ErrorsOfGroup, size: Estimate) -> OfCause:
    return OfCause(
        cause=str(row.group), samples=row.samples, share=size, errors=row.errors,
        error_share=row.error_share,
    )  # fmt: skip


def _shares_of_samples(
    why: Sequence[str | None],
    causes: Sequence[str],
    member: NDArray[np.bool_],
    clusters: Clusters,
) -> list[Estimate]:
    """The share of some samples, (N,), that each cause has."""
    among = clusters.among(member)
    code, ones = group_codes(why, causes)[member], np.ones(int(member.sum()))
    found = shares(among.table(code, ones, len(causes)), among.sums(ones)[:, None])
    empty = "no sample has a cause"
    return [found.estimate(clusters, k, empty=empty) for k in range(len(causes))]


def _part(counts: Floats | None, wrong: Floats, clusters: Clusters) -> Estimate:
    """The share of the wrong completions that are among the counted ones."""
    if counts is None or np.isnan(counts).all():
        return Estimate(value=None, reason="it is not known how completions ended")
    known = ~np.isnan(counts)
    hits, total = np.where(known, counts, 0.0), np.where(known, wrong, 0.0)
    return share(hits, total, clusters, empty="nothing is wrong")


def _by_group(
    why: Sequence[str | None],
    causes: Sequence[str],
    labels: Sequence[Label | None],
    order: Sequence[Label],
    every: NDArray[np.bool_],
    clusters: Clusters,
) -> list[CausesOfGroup]:
    code = group_codes(labels, order)
    found = []
    for place, group in enumerate(order):
        member = every & (code == place)
        if member.any():
            sizes = _shares_of_samples(why, causes, member, clusters)
            found.append(
                CausesOfGroup(
                    group=group,
                    samples=int(member.sum()),
                    shares=dict(zip(causes, sizes, strict=True)),
                )
            )
    return found


def _gains(
    table: pl.DataFrame,
    labels: Mapping[str, tuple[Sequence[Label | None], Sequence[Label]]],
    clusters: Clusters,
) -> tuple[Estimate | None, dict[str, list[Gain]]]:
    """How much the image adds over all samples asked with and without it, and by text column."""
    if "blind_pass_rate" not in table.columns or "pass_rate" not in table.columns:
        return None, {}
    seeing, blind = numbers(table["pass_rate"]), numbers(table["blind_pass_rate"])
    both = ~np.isnan(seeing) & ~np.isnan(blind)
    if not both.any():
        return None, {}

    def gain(member: NDArray[np.bool_]) -> Estimate:
        return paired_difference(seeing[member], blind[member], clusters.among(member))

    by_column = {}
    for name, (of_each, order) in labels.items():
        if name in ("perceptual", "reasoning"):
            continue
        code = group_codes(of_each, order)
        by_column[name] = [
            Gain(value=str(value), samples=int(member.sum()), gain=gain(member))
            for place, value in enumerate(order)
            if (member := both & (code == place)).any()
        ]
    return gain(both), by_column
