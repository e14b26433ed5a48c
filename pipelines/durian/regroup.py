"""`durian group`: a finished table -> other groups -> a new version of it -> its report.

No model and no dataset: what was measured stays, the two group columns change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.one_run.bin_choice import Choice, choose_cuts
from durian.analysis.one_run.columns import image_clusters
from durian.analysis.statistics.error_share import Clusters
from durian.config import GroupConfig
from durian.errors import ConfigError, RunFolderError
from durian.progress import Progress, Silent
from durian.run.folder import RunFolder
from durian.run.opening import change_run
from durian.table.checked import check_run
from durian.table.columns import read_columns
from durian.table.grouping import (
    AUTO,
    check_column,
    cut_perceptual,
    cut_perceptual_at,
    cut_reasoning,
    cut_reasoning_at,
    describe_perceptual,
    describe_reasoning,
    perceptual_column,
    read_measures,
    reasoning_column,
)

SEED = 0  # of the bootstrap behind "auto"


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """What "auto" goes by: (N,) each, in the table's order."""

    wrong: NDArray[np.float64]
    total: NDArray[np.float64]  # 0 where no completion was scored
    clusters: Clusters  # (N,), samples with the same images share one; None: each is its own


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """One grouping: its column, or None where it stays as it is, and how it was cut."""

    column: pa.Array | None
    described: Mapping[str, Any]


def regroup_run(config: GroupConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """Cut a finished run's samples into other groups, and build its report again.

    Returns:
        `run`; `changed`, whether there is a new version of the table; `groups`, how they are cut
        now, and `before`; `summary`, the report's numbers.
    Raises:
        ConfigError: a column that is not there or has one value, or a cut that cannot be made.
        RunFolderError: not a complete run, in use, or not to be read or written.
    """
    progress = progress or Silent()
    with change_run(Path(config.run)) as run:
        before: dict[str, Any] = check_run(run.path)["groups"]
        samples = run.check_tables().num_rows
        perceptual = _perceptual(config, run, before["perceptual"], samples)
        reasoning = _reasoning(config, run, before["reasoning"], samples)
        groups = {
            "version": _version(before),
            "perceptual": perceptual.described,
            "reasoning": reasoning.described,
        }
        changed = groups != {"version": 1, **before}
        if changed:
            groups["version"] = _version(before) + 1
            columns = {
                "perceptual_group": perceptual.column,
                "reasoning_group": reasoning.column,
            }
            run.regroup(
                {name: labels for name, labels in columns.items() if labels is not None}, groups
            )
        _record(run, before, groups)
        # Here: drawing loads slowly, and wrong input should be told at once.
        from durian.report import render_run

        progress.start("report", None)
        summary = render_run(run.path, run.complete_manifest())
    return {
        "run": str(run.path), "changed": changed, "groups": groups, "before": before,
        "summary": summary,
    }  # fmt: skip


def _version(groups: Mapping[str, Any]) -> int:
    version: int = groups.get("version", 1)  # the first Durian wrote none
    return version


def _perceptual(
    config: GroupConfig, run: RunFolder, before: Mapping[str, Any], samples: int
) -> _Cut:
    if config.perceptual is None and config.percentiles is None:
        _check_batch(config, run, "perceptual", before, samples)
        return _Cut(column=None, described=before)
    column = before["measure"] if config.perceptual is None else config.perceptual
    asked: Any = before["percentiles"] if config.percentiles is None else config.percentiles
    values = _values(run, "perceptual", column)
    if asked == AUTO:
        choice = _choose(config, run, "percentiles", column, values, most=3)
        grouping = cut_perceptual_at(column, values, choice.edges)
        described = describe_perceptual(column, AUTO, grouping) | _chosen(config, choice)
    else:
        low, high = asked
        grouping = cut_perceptual(column, values, (low, high))
        described = describe_perceptual(column, (low, high), grouping)
        _check_batch(config, run, "perceptual", described, samples)
    return _Cut(column=perceptual_column(grouping), described=described)


def _reasoning(
    config: GroupConfig, run: RunFolder, before: Mapping[str, Any], samples: int
) -> _Cut:
    if config.reasoning is None and config.bins is None:
        _check_batch(config, run, "reasoning", before, samples)
        return _Cut(column=None, described=before)
    column = before["measure"] if config.reasoning is None else config.reasoning
    asked: Any = before["bins"] if config.bins is None else config.bins
    values = _values(run, "reasoning", column)
    if asked == AUTO:
        choice = _choose(config, run, "bins", column, values, most=None)
        grouping = cut_reasoning_at(column, values, choice.edges)
        described = describe_reasoning(column, AUTO, grouping) | _chosen(config, choice)
    else:
        grouping = cut_reasoning(column, values, asked)
        described = describe_reasoning(column, asked, grouping)
        _check_batch(config, run, "reasoning", described, samples)
    return _Cut(column=reasoning_column(grouping), described=described)


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
        least_samples=least, seed=SEED,
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
    wrong = np.where(scored, np.round((1 - pass_rate) * rollouts), 0.0)
    table = pl.DataFrame({"n_images": n_images})
    clusters = image_clusters(table, read_columns(run.path))
    return _Errors(wrong=wrong, total=total, clusters=clusters)


def _chosen(config: GroupConfig, choice: Choice) -> dict[str, Any]:
    """How "auto" came to its cuts, beside a description."""
    batch = (
        {}
        if config.min_per_batch is None
        else {"min_per_batch": config.min_per_batch, "rollout_batch": config.prompts}
    )
    return {
        "chosen": {"start": choice.start, "told_apart": choice.told_apart, "seed": SEED, **batch}
    }


def _check_batch(
    config: GroupConfig,
    run: RunFolder,
    kind: Literal["perceptual", "reasoning"],
    described: Mapping[str, Any],
    samples: int,
) -> None:
    """Refuse groups of which one is expected too seldom in a rollout batch."""
    sizes = {group: size for group, size in described["sizes"].items() if size}
    least = config.least_samples(samples)
    if not sizes or min(sizes.values()) >= least:
        return
    group = min(sizes, key=lambda name: sizes[name])
    if kind == "perceptual":
        way_out = "pass other --percentiles, or auto"
    else:
        fits = _most_bins(run, described, least)
        way_out = f"pass --bins {fits}" if fits else "lower it"
    raise ConfigError(
        f"min-per-batch is {config.min_per_batch}, and the {kind} group {group} is expected to "
        f"hold {config.prompts * sizes[group] / samples:.1f} of {config.prompts} prompts; "
        f"{way_out}, or a larger --rollout-batch"
    )


def _most_bins(run: RunFolder, described: Mapping[str, Any], least: int) -> int | None:
    """The largest number of bins, fewer than there are, that all have enough samples."""
    values = read_measures(run.path, [described["measure"]])[0]
    for bins in range(len(described["sizes"]) - 1, 0, -1):
        if min(cut_reasoning(described["measure"], values, bins).sizes.values()) >= least:
            return bins
    return None


def _record(run: RunFolder, before: Mapping[str, Any], groups: Mapping[str, Any]) -> None:
    """Let the manifest say what the table says, and what groupings there were before.

    The table is what counts, so a kill before this loses nothing; the same command mends it.
    """
    manifest = run.manifest
    if manifest is None:
        raise RunFolderError(f"{run.path}: lost its manifest.json meanwhile; profile again")
    past = list(manifest.get("regrouped", []))
    for older in (manifest["groups"], before):
        if _version(older) < _version(groups) and older not in past:
            past.append(older)
    now = {**manifest, "groups": groups, **({"regrouped": past} if past else {})}
    if now != manifest and past:
        run.write_manifest(now)
