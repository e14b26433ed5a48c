"""`durian group`: a finished table -> other groups -> a new version of it -> its report.

No model and no dataset: what was measured stays, the two group columns and `why` change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.one_run.bin_choice import Choice, choose_cuts
from durian.analysis.one_run.summary import Summary
from durian.analysis.statistics.clusters import Clusters, image_clusters
from durian.causes.thresholds import asked_thresholds
from durian.config import GroupConfig
from durian.errors import ConfigError, RunFolderError
from durian.groups import (
    AUTO,
    ChosenCuts,
    GroupCuts,
    Harder,
    Kind,
    PerceptualCuts,
    ReasoningCuts,
    bins_at,
    perceptual_at,
    perceptual_groups,
    reasoning_groups,
)
from durian.records import as_json
from durian.run.brought import check_changed_here
from durian.run.folder import DIFFICULTY_FILE, RunFolder, table_version
from durian.run.opening import change_run
from durian.run.progress import Progress, Silent
from durian.schema import DIFFICULTY
from durian.table.causes import WHY, causes_of_run
from durian.table.checked import check_manifest, check_run, check_summary
from durian.table.columns import read_columns
from durian.table.grouping import (
    check_column,
    describe_perceptual,
    describe_reasoning,
    end_of,
    hard_end,
    named_column,
    numeric_names,
    perceptual_column,
    read_measures,
    reasoning_column,
)


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """The numbers of each sample by which "auto" finds cuts: (N,) each, in the table's order."""

    wrong: NDArray[np.float64]
    total: NDArray[np.float64]  # 0 where no completion was scored
    clusters: Clusters


@dataclass(frozen=True, kw_only=True)
class Regrouped:
    """The groups of a run as they are now, and as they were before."""

    run: str
    changed: bool  # there is a new version of the table
    groups: GroupCuts
    before: GroupCuts
    summary: Summary  # the report's numbers


def regroup_run(config: GroupConfig, *, progress: Progress | None = None) -> Regrouped:
    """Cut a finished run's samples into other groups, find their causes, and report anew.

    Raises:
        ConfigError: a column that is not there or has one value, or a cut that cannot be made.
        RunFolderError: not a complete run, in use, or not to be read or written.
    """
    progress = progress or Silent()
    check_changed_here(config.run, "bring it here, group it, and put it back")
    with change_run(Path(config.run)) as run:
        before = check_run(run.path).groups
        samples = run.check_tables().num_rows
        columns: dict[str, pa.Array] = {}
        perceptual, reasoning = before.perceptual, before.reasoning
        if config.perceptual is not None or config.percentiles is not None:
            perceptual, columns["perceptual_group"] = _perceptual(config, run, before.perceptual)
        # Groups that "auto" has just found keep to the batch by themselves; those that were asked
        # for, and those that stay, are checked.
        if perceptual.percentiles != AUTO or perceptual is before.perceptual:
            _check_batch(config, run, "perceptual", perceptual, samples)
        if config.reasoning is not None or config.bins is not None:
            reasoning, columns["reasoning_group"] = _reasoning(config, run, before.reasoning)
        if reasoning.bins != AUTO or reasoning is before.reasoning:
            _check_batch(config, run, "reasoning", reasoning, samples)
        version = before.version or 1
        why = _why(config, run, before, regrouped=bool(columns))
        if why is not None and why != before.why:
            columns[WHY] = causes_of_run(run.path, why)
        groups = GroupCuts(version=version, perceptual=perceptual, reasoning=reasoning, why=why)
        changed = groups != replace(before, version=version)
        if changed:
            groups = replace(groups, version=version + 1)
            run.regroup(columns, groups)
        _record(run, before, groups)
        summary = None if changed else _drawn_already(run, groups)
        if summary is None:
            # Here: drawing loads slowly, and wrong input should be told at once.
            from durian.report import render_run

            progress.start("report", None)
            summary = render_run(run.path, check_manifest(run.path))
    return Regrouped(
        run=str(run.path), changed=changed, groups=groups, before=before, summary=summary
    )


def _why(
    config: GroupConfig, run: RunFolder, before: GroupCuts, *, regrouped: bool
) -> dict[str, float] | None:
    """Give the thresholds of the causes: those asked for, over those that the table has.

    A table that tells none gets some with its new groups; nothing asked, nothing changed.

    Raises:
        ConfigError: some are asked for, and the table is too old to hold causes.
    """
    if before.why is None and config.why is None and not regrouped:
        return None
    if table_version(run.path / DIFFICULTY_FILE) >= DIFFICULTY[WHY].since:
        return asked_thresholds(config.why, before.why)
    if config.why is not None:
        raise ConfigError(
            f"why: {run.path} is of an older Durian, whose tables have no such column; profile "
            "again, or import its rollouts"
        )
    return None


def _drawn_already(run: RunFolder, groups: GroupCuts) -> Summary | None:
    """The numbers of the report that the run has, where it is of these very groups."""
    try:
        summary = check_summary(run.path)
    except RunFolderError:
        return None
    return summary if summary.grouping == replace(groups, version=None) else None


def _perceptual(
    config: GroupConfig, run: RunFolder, before: PerceptualCuts
) -> tuple[PerceptualCuts, pa.Array]:
    """Cut the samples into perceptual groups as asked; the cuts, and the labels."""
    column, harder = _asked(run, "perceptual", config.perceptual, before)
    asked = config.percentiles or before.percentiles
    values, chosen = _values(run, "perceptual", column), None
    if asked == AUTO:
        choice = _choose(config, run, "percentiles", column, values, most=3)
        grouping = perceptual_at(values, choice.edges, harder=harder)
        chosen = _chosen(config, choice)
    else:
        grouping = perceptual_groups(values, asked, harder=harder)
    cuts = describe_perceptual(column, harder, asked, grouping, chosen)
    return cuts, perceptual_column(grouping)


def _reasoning(
    config: GroupConfig, run: RunFolder, before: ReasoningCuts
) -> tuple[ReasoningCuts, pa.Array]:
    """Cut the samples into reasoning groups as asked; the cuts, and the labels."""
    column, harder = _asked(run, "reasoning", config.reasoning, before)
    asked = config.bins or before.bins
    values, chosen = _values(run, "reasoning", column), None
    if asked == AUTO:
        choice = _choose(config, run, "bins", column, values, most=None)
        grouping, chosen = bins_at(values, choice.edges, harder=harder), _chosen(config, choice)
    else:
        grouping = reasoning_groups(values, asked, harder=harder)
    cuts = describe_reasoning(column, harder, asked, grouping, chosen)
    return cuts, reasoning_column(grouping)


def _asked(
    run: RunFolder, kind: Kind, text: str | None, before: PerceptualCuts | ReasoningCuts
) -> tuple[str, Harder]:
    """The column to group by and its hard end; what is not said stays as the table has it."""
    if text is None:
        return before.measure, end_of(before)
    column, harder = named_column(kind, text, numeric_names(run.path))
    if column == before.measure:
        return column, harder or end_of(before)
    return column, harder or hard_end(kind, column)


def _values(run: RunFolder, option: str, column: str) -> NDArray[np.float64]:
    """A column that can be cut: it is there, and has two values or more."""
    check_column(run.path, option, column)
    values = read_measures(run.path, [column])[0]
    known = values[~np.isnan(values)]
    if not len(known):
        raise ConfigError(
            f"{option}: no sample has {column!r} in {run.path}; name another column, or profile "
            "again with what measures it"
        )
    if known.min() == known.max():
        raise ConfigError(
            f"{option}: {column!r} is {known[0]:g} for all samples of {run.path}, so that nothing "
            "can be cut; name another column"
        )
    return values


def _choose(
    config: GroupConfig,
    run: RunFolder,
    option: str,
    column: str,
    values: NDArray[np.float64],
    *,
    most: int | None,
) -> Choice:
    """Cuts from the errors of the run: two groups or more."""
    errors = _errors(run, option)
    least = config.least_samples(len(values))
    choice = choose_cuts(
        values, errors.wrong, errors.total, clusters=errors.clusters, most=most,
        least_samples=least,
    )  # fmt: skip
    if choice.start == 1:
        raise ConfigError(
            f"{option}: auto finds no two groups, since nearly all samples share one value of "
            f"{column!r}; name another column"
        )
    if len(choice.sizes) == 1:
        raise ConfigError(
            f"min-per-batch is {config.min_per_batch}, and no two groups of {column!r} are each "
            f"expected to hold so many of {config.prompts} prompts; lower it"
        )
    return choice


def _errors(run: RunFolder, option: str) -> _Errors:
    names = ["pass_rate", "rollouts", "n_images"]
    pass_rate, rollouts, n_images = read_measures(run.path, names)
    scored = ~np.isnan(pass_rate) & (rollouts > 0)
    if not scored.any():
        raise ConfigError(
            f"{option} is 'auto', which goes by the errors, and {run.path} has no scored "
            "completions; give numbers, or profile with --model"
        )
    total = np.where(scored, rollouts, 0.0)
    # Counts again: a pass rate that was stored as a mean of 3 is no exact third.
    wrong = np.where(scored, np.round((1 - pass_rate) * rollouts), 0.0)
    table = pl.DataFrame({"n_images": n_images})
    clusters = image_clusters(table, read_columns(run.path))
    return _Errors(wrong=wrong, total=total, clusters=clusters)


def _chosen(config: GroupConfig, choice: Choice) -> ChosenCuts:
    batch = None if config.min_per_batch is None else config.prompts
    return ChosenCuts(
        start=choice.start,
        told_apart=choice.told_apart,
        min_per_batch=config.min_per_batch,
        rollout_batch=batch,
    )


def _check_batch(
    config: GroupConfig,
    run: RunFolder,
    kind: Kind,
    cuts: PerceptualCuts | ReasoningCuts,
    samples: int,
) -> None:
    """Refuse groups of which one is expected too seldom in a rollout batch."""
    sizes = {group: size for group, size in cuts.sizes.items() if size}
    least = config.least_samples(samples)
    if not sizes or min(sizes.values()) >= least:
        return
    group = min(sizes, key=lambda name: sizes[name])
    if kind == "perceptual":
        way_out = "pass other --percentiles, or auto"
    else:
        fits = _most_bins(run, cuts, least)
        way_out = f"pass --bins {fits}" if fits else "lower it"
    raise ConfigError(
        f"min-per-batch is {config.min_per_batch}, and the {kind} group {group} is expected to "
        f"hold {config.prompts * sizes[group] / samples:.1f} of {config.prompts} prompts; "
        f"{way_out}, or a larger --rollout-batch"
    )


def _most_bins(run: RunFolder, cuts: PerceptualCuts | ReasoningCuts, least: int) -> int | None:
    """The largest number of bins, fewer than there are, that all have enough samples."""
    values = read_measures(run.path, [cuts.measure])[0]
    for bins in range(len(cuts.sizes) - 1, 0, -1):
        if min(reasoning_groups(values, bins, harder=end_of(cuts)).sizes.values()) >= least:
            return bins
    return None


def _record(run: RunFolder, before: GroupCuts, groups: GroupCuts) -> None:
    """Let the manifest say what the table says, and what groupings there were before.

    The table is what counts, so a kill before this loses nothing; the same command mends it.
    """
    manifest = run.manifest
    if manifest is None:
        raise RunFolderError(f"{run.path}: lost its manifest.json meanwhile; profile again")
    past, version = list(manifest.get("regrouped", [])), groups.version or 1
    for older in (manifest["groups"], as_json(before)):
        if older.get("version", 1) < version and older not in past:
            past.append(older)
    now = {**manifest, "groups": as_json(groups), **({"regrouped": past} if past else {})}
    if now != manifest and past:
        run.write_manifest(now)
