"""`durian compare`: two runs' tables -> joined samples -> drift -> verdict -> page and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.analysis.one_run.reliability import FROM_ROLLOUTS
from durian.analysis.one_run.summary import Missing
from durian.analysis.statistics.clusters import Clusters, image_clusters
from durian.analysis.statistics.paired import Side
from durian.analysis.statistics.seeing import learned, seeing
from durian.analysis.two_runs.comparison import (
    KIND,
    Both,
    CauseFlow,
    ComparedRun,
    Comparison,
    SharedSamples,
    cause_flow,
)
from durian.analysis.two_runs.drift import drift, learned_samples
from durian.analysis.two_runs.floor import Completions, GroupShares
from durian.analysis.two_runs.group_flow import rising_groups
from durian.config import ProfileConfig
from durian.config.options import as_pairs, named
from durian.errors import ConfigError, RunFolderError, without_secrets
from durian.groups import KINDS, Harder, Kind
from durian.manifest import table_fingerprint
from durian.measures import held_against_error, measured
from durian.records import as_json
from durian.rendering.compare_page import MOST_SHOWN, ChangedCard, ChangedShelf, write_comparison
from durian.rendering.compare_sentences import compare_sentences, unlike_cuts
from durian.rendering.gallery import Said, said
from durian.run.brought import brought, check_changed_here
from durian.run.folder import (
    DIFFICULTY_FILE,
    ROLLOUTS_FILE,
    SUMMARY_FILE,
    THUMBNAILS_FILE,
    RunFolder,
)
from durian.run.manifest import Manifest
from durian.table.causes import WHY
from durian.table.checked import check_run, read_frame, with_image
from durian.table.columns import COLUMNS_FILE
from durian.table.grouping import end_of

COMPARE_FOLDER = "compare"
HELD = measured(held_against_error())
_TEXT = ("problem", "answer")
_KINDS: dict[Kind, str] = {kind: f"{kind}_group" for kind in KINDS}

# What each measure is the mean of, over a sample's completions.
_OF_A_COMPLETION = {
    "mean_logprob": pl.col("sum_logprob") / pl.col("n_tokens"),
    "sum_logprob": pl.col("sum_logprob"),
    "mean_tokens": pl.col("n_tokens"),
    "truncated": pl.col("finish_reason") == "length",
    "pass_rate": pl.col("correct"),
    "format_rate": pl.col("formatted"),
    "reward_mean": pl.col("reward"),
}


@dataclass(frozen=True)
class _Run:
    """A complete profile's folder as it was read."""

    path: Path
    name: str  # where it lies, as it was given
    manifest: Manifest
    table: pl.DataFrame  # difficulty.parquet without its texts


def compare_runs(
    first: str | Path, second: str | Path, out: str | Path | None = None
) -> Comparison:
    """Hold two profiles against each other and write a page about it.

    Args:
        first, second: run folders of complete profiles: A, whose groups may have gone stale, and
            B, of the policy in hand.
        out: the folder to write; by default compare/<name of A> in B's folder.
    Raises:
        RunFolderError: either is not a complete run, or they share no sample.
        ConfigError: `out` cannot be used, or both runs are one.

    >>> found = durian.compare_runs("runs/before", "runs/after")
    >>> found.samples.both
    12
    """
    if out is None:
        check_changed_here(second, "pass --out FOLDER for the comparison")
    with brought(first) as path_a, brought(second) as path_b:
        if str(first) == str(second) or path_a.resolve() == path_b.resolve():
            raise ConfigError(f"{second}: is given twice; compare needs two runs")
        out = path_b / COMPARE_FOLDER / path_a.resolve().name if out is None else Path(out)
        a, b = (
            _read_run(path, without_secrets(str(given)))
            for path, given in ((path_a, first), (path_b, second))
        )
        return _compared(a, b, out)


def _compared(a: _Run, b: _Run, out: Path) -> Comparison:
    _check_out(out)
    ids = a.table.select("sample_id").join(
        b.table.select("sample_id"), on="sample_id", how="semi", maintain_order="left"
    )
    if ids.is_empty():
        raise RunFolderError(
            f"{b.name}: has no sample of {a.name} ({a.manifest.dataset.name}, "
            f"{b.manifest.dataset.name}); compare runs of the same dataset, with the same "
            "--id-column"
        )
    # From here on only the samples of both runs count, in A's order: a sample that one run lacks
    # says nothing of what changed. The groups stay as each run cut them over all of its own.
    sides = _side(ids, a.table), _side(ids, b.table)
    clusters = _clusters(ids, b.path, a.path)
    rules = {kind: (a.manifest.groups.by(kind), b.manifest.groups.by(kind)) for kind in KINDS}
    unlike = {kind: why for kind, cuts in rules.items() if (why := unlike_cuts(*cuts)) is not None}
    (drawn_a, without_a), (drawn_b, without_b) = _drawn(ids, a), _drawn(ids, b)
    found = Comparison(
        a=_named(a),
        b=_named(b),
        samples=SharedSamples(
            both=len(ids), only_a=len(a.table) - len(ids), only_b=len(b.table) - len(ids)
        ),
        clusters=clusters.described,
        warnings=_warnings(a, b, len(ids)),
        missing=Both(a=_missing(a.table), b=_missing(b.table)),
        grouping=Both(a=a.manifest.groups, b=b.manifest.groups),
        drift=drift(
            *sides,
            harder={name: column.harder or "higher" for name, column in HELD.items()},
            clusters=clusters,
            drawn=(drawn_a, drawn_b),
            missing=(without_a, without_b),
            unlike=unlike,
        ),
        causes=_causes(ids, a, b),
    )
    before, after = (_asked_both_ways(ids, run.table) for run in (a, b))
    known = [seeing(*rates, clusters) for rates in (before, after)]
    if any(known):
        alike = a.manifest.config.get("blind") == b.manifest.config.get("blind")
        found = replace(
            found,
            seeing=Both(a=known[0], b=known[1]),
            learned=learned(before, after, clusters) if all(known) and alike else None,
        )
    how = [run.manifest.config.get("blind", "none") for run in (a, b)]
    found = replace(found, sentences=compare_sentences(found, how))
    out.mkdir(parents=True, exist_ok=True)
    write_comparison(
        out,
        summary=found,
        shelves=_shelves(ids, sides, a, b),
        thumbnails=_thumbnails(a.path) | _thumbnails(b.path),
        manifests={side: replace(run.manifest, seconds=None) for side, run in (("a", a), ("b", b))},
    )
    return replace(found, out=str(out))


def _read_run(path: Path, name: str) -> _Run:
    RunFolder(path).complete_manifest()
    file = path / DIFFICULTY_FILE
    if not file.exists():  # the folder of a training has a manifest too
        raise RunFolderError(f"{path}: has no {DIFFICULTY_FILE}; give the --out of a profile")
    return _Run(path, name, check_run(path), read_frame(file, lambda frame: frame.drop(_TEXT)))


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: {out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()):
        try:
            # Only a folder that an earlier comparison wrote may be written over: the summary's kind
            # says so.
            known = f'"kind": "{KIND}"' in (out / SUMMARY_FILE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            known = False
        if not known:
            raise ConfigError(f"out: {out} holds other files; give a new folder")


def _causes(ids: pl.DataFrame, a: _Run, b: _Run) -> CauseFlow | None:
    if not all(WHY in run.table.columns for run in (a, b)):
        return None  # of version 1
    told = (ids.join(run.table, on="sample_id", maintain_order="left") for run in (a, b))
    return cause_flow(*(joined[WHY].to_list() for joined in told))


def _side(ids: pl.DataFrame, table: pl.DataFrame) -> Side:
    """Take one run's part of the joined samples, in their order."""
    joined = ids.join(table, on="sample_id", how="left", maintain_order="left")
    numbers = {
        name: joined[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for name in (*HELD, "rollouts", "pass_rate", "reward_std")
    }
    total = np.where(np.isnan(numbers["pass_rate"]), np.nan, numbers["rollouts"])
    return Side(
        wrong=np.round((1 - numbers["pass_rate"]) * total),
        total=total,
        reward_std=numbers["reward_std"],
        groups={kind: joined[column].to_list() for kind, column in _KINDS.items()},
        measures={name: numbers[name] for name in HELD},
    )


def _asked_both_ways(
    ids: pl.DataFrame, table: pl.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pass rates of the joined samples with the image and without, NaN where not asked. (N,)"""
    joined = ids.join(table, on="sample_id", how="left", maintain_order="left")
    one, other = (
        joined.get_column(name, default=pl.Series([None] * len(ids), dtype=pl.Float64))
        .cast(pl.Float64)
        .fill_null(np.nan)
        .to_numpy()
        for name in ("pass_rate", "blind_pass_rate")
    )
    return one, other


def _clusters(ids: pl.DataFrame, *runs: Path) -> Clusters:
    """The samples that share an image, as the first run that kept it says."""
    for run in runs:
        file = run / COLUMNS_FILE
        if file.exists():
            images = read_frame(file, lambda frame: frame.select("sample_id", "image_id"))
            joined = ids.join(images, on="sample_id", how="left", maintain_order="left")
            return image_clusters(ids, joined)
    return Clusters.apart(len(ids))


def _drawn(ids: pl.DataFrame, run: _Run) -> tuple[Completions | None, dict[str, str]]:
    """A run's completions of the joined samples; and which measures and groupings lack a floor."""
    groups = {kind: run.manifest.groups.by(kind).measure for kind in KINDS}
    wanted = dict.fromkeys([*HELD, *groups.values()])
    missing = {
        name: f"{name} is no mean over completions" if name in FROM_ROLLOUTS else "fixed"
        for name in wanted
        if name not in _OF_A_COMPLETION
    }
    ends = {cuts.measure: end_of(cuts) for cuts in map(run.manifest.groups.by, KINDS)}
    ends |= {name: column.harder or "higher" for name, column in HELD.items()}
    drawn = _completions_of(
        ids, run, {name: ends[name] for name in wanted if name in _OF_A_COMPLETION}
    )
    if isinstance(drawn, str):
        missing |= {name: drawn for name in wanted if name not in missing} | {"all": drawn}
        values, wrong = {}, None
    else:
        *columns, wrong = drawn
        values = dict(zip((n for n in wanted if n in _OF_A_COMPLETION), columns, strict=True))
    joined = ids.join(run.table, on="sample_id", how="left", maintain_order="left")
    shares = {}
    for kind, measure in groups.items():
        labels = joined[_KINDS[kind]].to_list()
        order = rising_groups(kind, labels)
        if measure in missing:
            missing[kind] = missing[measure]
        elif not order:
            missing[kind] = "there are no groups"
        else:
            # Shares of the joined samples, not of the whole table: redrawn profiles are cut into
            # groups as large as those that are compared.
            shares[kind] = GroupShares(measure, tuple(labels.count(group) for group in order))
    return (None if wrong is None else Completions(values, shares, wrong)), missing


def _completions_of(
    ids: pl.DataFrame, run: _Run, ends: Mapping[str, Harder]
) -> list[NDArray[np.float64]] | str:
    """(N, G) of each measure, the hard end turned up, and of wrong ones; or why there are none.

    Only samples that have all their completions, scored; NaN after a sample's last one.
    """
    counts = run.table.filter(pl.col("pass_rate").is_not_null()).select("sample_id", "rollouts")
    if counts.is_empty():
        return "there are no scored completions to draw again"
    if int(counts["rollouts"].to_numpy().max()) < 2:
        return "one completion a sample cannot show its luck"
    columns = {
        name: (1.0 if end == "higher" else -1.0) * _OF_A_COMPLETION[name].cast(pl.Float64)
        for name, end in ends.items()
    }
    columns["wrong"] = 1 - pl.col("correct").cast(pl.Float64)
    # A sample that lacks a completion, or the score of one, is left out whole: with fewer than were
    # asked for it would show more luck than the run had.
    written = (
        read_frame(
            run.path / ROLLOUTS_FILE,
            lambda frame: (
                with_image(frame)
                .join(ids.lazy(), on="sample_id", how="semi")
                .select("sample_id", "rollout", **columns)
                .drop_nulls()
            ),
        )
        .join(counts, on="sample_id")
        .filter(pl.len().over("sample_id") == pl.col("rollouts"))
        .sort("sample_id", "rollout")
    )
    if written.is_empty():
        return "no sample has all its completions scored"
    sizes = written.group_by("sample_id", maintain_order=True).len()["len"].to_numpy()
    filled = np.arange(sizes.max()) < sizes[:, None]

    def rectangle(name: str) -> NDArray[np.float64]:
        values = np.full(filled.shape, np.nan)
        values[filled] = written[name].to_numpy()  # row by row
        return values

    return [rectangle(name) for name in columns]


def _named(run: _Run) -> ComparedRun:
    manifest = run.manifest
    return ComparedRun(
        run=run.name,
        model=manifest.model.name,
        dataset=manifest.dataset.name,
        created=manifest.created,
        samples=len(run.table),
    )


def _missing(table: pl.DataFrame) -> list[Missing]:
    counts = table["error"].drop_nulls().value_counts(sort=True).rows()
    return [Missing(reason=reason, samples=count) for reason, count in counts]


# Settings of a profile that say how completions are scored, and nothing of how they are drawn.
_OF_REWARD = ("reward", "reward_args", "tolerance", "coords", "iou", "judge_model")


def _warnings(a: _Run, b: _Run, both: int) -> list[str]:
    """List the settings in which two runs differ beside the policy, with both values."""
    same_completions = _rollouts_of(a, b) == _rollouts_of(b, a)
    said = [
        f"{name.replace('_', ' ')} differs: {_brief(one)} in A, {_brief(other)} in B"
        for name, one, other in _differences(a.manifest, b.manifest)
        if not (same_completions and name in _OF_REWARD)
    ]
    if same_completions:
        one, other = (run.manifest.config.get("reward") for run in (a, b))
        said.append(
            f"both runs have the same completions, scored by {_brief(one)} in A and by "
            f"{_brief(other)} in B: all that differs is the reward's, and nothing is luck"
        )
    elif a.manifest.model.fingerprint == b.manifest.model.fingerprint is not None:
        said.append("both runs are of the same policy: what differs is the luck of the draw")
    for name, run in (("A", a), ("B", b)):
        if both < len(run.table):
            said.append(
                f"{name} has {len(run.table) - both:,} samples that the other lacks; its groups "
                f"were cut over all of its {len(run.table):,}"
            )
    return said


def _rollouts_of(run: _Run, other: _Run) -> str:
    """Tell a run's completions from the other's: by a path, where neither run was rescored."""
    if (rescored := run.manifest.rescored) is not None:
        return rescored.completions
    if other.manifest.rescored is None:
        return str(run.path.resolve())
    return table_fingerprint(run.path, ROLLOUTS_FILE)


def _differences(a: Manifest, b: Manifest) -> list[tuple[str, Any, Any]]:
    pairs: list[tuple[str, Any, Any]] = [("schema", a.schema, b.schema)]
    settings = named(ProfileConfig, "compared")
    pairs += [(key, a.config.get(key), b.config.get(key)) for key in settings]
    pairs.append(("logprobs_mode", a.logprobs_mode, b.logprobs_mode))
    for kind in KINDS:
        one, other = as_json(a.groups.by(kind)), as_json(b.groups.by(kind))
        for key in ("measure", "harder", "percentiles", "bins"):
            pairs.append((f"{kind} {key}", one.get(key), other.get(key)))
    # A run without a policy has no settings of one.
    if None in (a.model.name, b.model.name):
        pairs = [pair for pair in pairs if pair[0] not in (*settings, "logprobs_mode")]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _brief(value: Any) -> str:
    pairs = value is None or isinstance(value, dict)
    text = as_pairs(value) if pairs else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _shelves(ids: pl.DataFrame, sides: tuple[Side, Side], a: _Run, b: _Run) -> list[ChangedShelf]:
    """Samples learned and unlearned, with a completion of either run."""
    learned, unlearned = (places[:MOST_SHOWN] for places in learned_samples(*sides))
    shown = ids["sample_id"].gather([*learned, *unlearned])
    texts = _texts(b.path, shown)
    told = _completions(a.path, shown), _completions(b.path, shown)

    def card(place: int, was_right: bool) -> ChangedCard:
        key = ids["sample_id"][place]
        right = [f"{s.total[place] - s.wrong[place]:.0f} of {s.total[place]:.0f}" for s in sides]
        # The completion that changed: of A's as it was, of B's as it is now.
        wanted = (was_right, not was_right)
        one, other = (text.get((key, right)) for text, right in zip(told, wanted, strict=True))
        row, problem, answer = texts[key]
        return ChangedCard(
            sample_id=key, row=row, problem=problem, answer=answer, a=right[0], b=right[1],
            completion_a=one, completion_b=other, learned=not was_right,
        )  # fmt: skip

    return [
        ChangedShelf(heading="Learned", cards=[card(place, False) for place in learned]),
        ChangedShelf(heading="Unlearned", cards=[card(place, True) for place in unlearned]),
    ]


def _texts(run: Path, shown: pl.Series) -> dict[str, tuple[int, str, str]]:
    """Row, problem and answer of each sample."""
    rows = read_frame(
        run / DIFFICULTY_FILE,
        lambda frame: frame.select("sample_id", "row", *_TEXT).filter(
            pl.col("sample_id").is_in(shown.implode())
        ),
    )
    return {key: (row, problem, answer) for key, row, problem, answer in rows.iter_rows()}


def _completions(run: Path, shown: pl.Series) -> dict[tuple[str, bool], Said | None]:
    """The first right and the first wrong completion of each sample that has one."""
    rows = read_frame(
        run / ROLLOUTS_FILE,
        lambda frame: (
            with_image(frame)
            .select("sample_id", "correct", "completion", "answer", "rollout")
            .filter(pl.col("sample_id").is_in(shown.implode()) & pl.col("correct").is_not_null())
        ),
    ).sort("rollout", descending=True)
    return {(row[0], row[1]): said(row[2], row[3]) for row in rows.iter_rows()}


def _thumbnails(run: Path) -> dict[str, bytes]:
    file = run / THUMBNAILS_FILE
    if not file.exists():
        return {}
    return dict(read_frame(file, lambda frame: frame.select("sample_id", "jpeg")).rows())
