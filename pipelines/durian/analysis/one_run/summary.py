"""The numbers of a report, all of one table's: what report/summary.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.analysis.one_run.against_error import (
    AgainstError,
    AurocDifference,
    Predictor,
    auroc_differences,
)
from durian.analysis.one_run.causes import Causes, analyse_causes
from durian.analysis.one_run.columns import Candidate, candidates, numbers, slice_columns
from durian.analysis.one_run.distribution import Distribution, distribution
from durian.analysis.one_run.gain_curve import gain_against_error
from durian.analysis.one_run.gradient import GradientShares, gradient_shares
from durian.analysis.one_run.learning import Learning, learning
from durian.analysis.one_run.reliability import (
    Reliability,
    group_reliability,
    pass_rate_reliability,
    redraws_for,
)
from durian.analysis.one_run.rollouts import rollout_arrays
from durian.analysis.one_run.split_half import SplitHalves, split_halves
from durian.analysis.reasons import grouped
from durian.analysis.statistics.clusters import Clusters, image_clusters
from durian.analysis.statistics.error_share import (
    ErrorsOfGroup,
    contrast,
    error_rate,
    errors_by_group,
)
from durian.analysis.statistics.estimate import DrawnTogether, Estimate, Label, plural
from durian.analysis.statistics.pass_rates import PassRates, pass_rate_shares
from durian.causes.rules import Evidence
from durian.groups import KINDS, PERCEPTUAL, GroupCuts, Harder, Kind
from durian.records import JsonObject, from_json, left_out, merged

NO_GROUP = "no group"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Quartiles:
    """The range of a measure; None, but for `n`, where no sample has it."""

    n: int  # samples that have it
    least: float | None = left_out()
    quartile_1: float | None = left_out()
    median: float | None = left_out()
    quartile_3: float | None = left_out()
    most: float | None = left_out()


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Number of samples that lack a measure for one reason."""

    reason: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class JointCell:
    """The samples of one perceptual group and one reasoning bin together."""

    perceptual: str
    reasoning: int
    samples: int
    error_rate: Estimate


@dataclass(frozen=True, kw_only=True)
class JointView:
    """Both groupings crossed; cells without samples are left out."""

    rows: list[str]
    columns: list[int]
    cells: list[JointCell]


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A piece of advice in words, with the option or setting that follows it.

    `do` may be two lines: the command line, then the same in a config file.
    """

    say: str
    do: str
    examples: list[str] = field(default_factory=list)  # completions that it rests on


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """Counts of the things held against error, of which the one that stands out is named."""

    measures: int
    columns: int
    slices: int  # values of text columns


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The numbers that need scored completions.

    A plain column's hard end is the one that fits better, so its AUROC leans above 0.5: an interval
    that reaches 0.5 says nothing.
    """

    completions: int
    clusters: DrawnTogether
    error_rate: Estimate
    perceptual: list[ErrorsOfGroup]  # from easy to hard
    reasoning: list[ErrorsOfGroup]  # from bin 0
    contrast: dict[Kind, Estimate]  # error rate of the hardest group less that of the easiest
    slices: dict[str, list[ErrorsOfGroup]]  # by answer_kind and the dataset's text columns
    measures: dict[str, Predictor]
    differences: list[AurocDifference]
    reliability: Reliability
    pass_rates: PassRates
    looked_at: LookedAt | None = left_out()
    looped: int | None = left_out()  # completions that an engine ended for repeating themselves
    cut: int | None = left_out()  # completions cut by max-tokens, where any are looped
    format_rate: float | None = left_out()  # where the reward judges the format
    ungrouped: dict[Kind, ErrorsOfGroup] | None = left_out()  # in no group, where others are
    joint: JointView | None = left_out()  # where both groupings have groups
    split_half: dict[str, SplitHalves] | None = left_out()  # where the rollouts were at hand
    image_gain: Predictor | None = left_out()  # where samples were asked without the image, too
    learning: Learning | None = left_out()  # where the rollouts are of several training steps
    gradient: GradientShares | None = left_out()  # where a sample has several rollouts

    def groups(self, kind: Kind) -> list[ErrorsOfGroup]:
        """Errors by group of one grouping, and at the end those of the samples in no group."""
        groups = self.perceptual if kind == "perceptual" else self.reasoning
        without = (self.ungrouped or {}).get(kind)
        return groups if without is None else [*groups, without]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of a report, with what they say in words."""

    samples: int
    seed: int
    spread: dict[str, Quartiles]  # of each measure
    missing: list[Missing]
    measured: int  # samples with scored completions
    grouping: GroupCuts | None = left_out()
    causes: Causes | None = left_out()  # why samples are hard, where the table tells
    alone: dict[str, Distribution] | None = left_out()  # of each measure, where nothing was scored
    scored: Scored | None = merged()  # None where no completion was scored
    sentences: list[str] = field(default_factory=list)
    advice: list[Advice] = field(default_factory=list)


def read_summary(value: JsonObject) -> Summary:
    """The summary in a JSON object.

    Raises:
        ValueError: it is none; names the key.
    """
    scored = from_json(Scored, value) if "error_rate" in value else None
    return replace(from_json(Summary, value), scored=scored)


def analyse(
    table: pl.DataFrame,
    measures: Mapping[str, Harder],
    *,
    columns: pl.DataFrame | None = None,
    rollouts: pl.DataFrame | None = None,
    grouping: GroupCuts | None = None,
    evidence: Evidence | None = None,
    seed: int = 0,
) -> Summary:
    """Analyse a difficulty table; sentences and advice are for others to add.

    Args:
        table: difficulty.parquet, its texts not needed.
        measures: columns to hold against error, and which end of each is the hard one.
        columns: columns.parquet, row by row with the table: `image_id`, and the dataset's own
            further columns, numbers and texts.
        rollouts: of the table's samples: `sample_id`, `rollout`, `n_tokens`, `sum_logprob`,
            `correct`, `finish_reason`, and `step` where it is known. The table then has
            `sample_id` and `row`.
        grouping: how the table's groups were cut.
        evidence: what the table's causes rest on; None: they are not told.
        seed: of the splits and the redraws.
    Raises:
        ValueError: `columns` has not one row a row of the table.
    """
    if columns is not None and len(columns) != len(table):
        raise ValueError(f"columns has {len(columns)} rows, the table {len(table)}")
    is_scored = table["pass_rate"].is_not_null() & (table["rollouts"].fill_null(0) > 0)
    scored, scored_columns = table, columns
    if not is_scored.all():  # of a large table a copy that says the same is not made
        scored = table.filter(is_scored)
        scored_columns = None if columns is None else columns.filter(is_scored)
    return Summary(
        samples=len(table),
        seed=seed,
        spread={name: _quartiles(numbers(table[name])) for name in measures},
        missing=[
            Missing(reason=reason, samples=count)
            for reason, count in grouped(table["error"].drop_nulls()).items()
        ],
        measured=int(is_scored.sum()),
        grouping=grouping,
        causes=None
        if evidence is None
        else _causes(table, evidence, columns, {*table.columns, *measures}, grouping),
        alone=None if is_scored.any() else _distributions(table, measures, columns),
        scored=_analyse_scored(scored, measures, scored_columns, rollouts, grouping, seed)
        if is_scored.any()
        else None,
    )


def _analyse_scored(
    table: pl.DataFrame,
    measures: Mapping[str, Harder],
    columns: pl.DataFrame | None,
    rollouts: pl.DataFrame | None,
    grouping: GroupCuts | None,
    seed: int,
) -> Scored:
    total = table["rollouts"].to_numpy().astype(np.float64)
    wrong = np.round((1 - table["pass_rate"].to_numpy()) * total)
    clusters = image_clusters(table, columns)
    now = None if grouping is None else grouping.perceptual.measure
    # Before the rollouts are laid out: both are large, and neither needs the other.
    held, differences = _against_error(
        candidates(table, measures, columns), wrong, total, clusters, now
    )
    arrays = None if rollouts is None else rollout_arrays(rollouts, table["sample_id"])
    labels = {kind: table[f"{kind}_group"].to_list() for kind in KINDS}
    orders: dict[Kind, Sequence[Label]] = {
        "perceptual": PERCEPTUAL,
        "reasoning": sorted({label for label in labels["reasoning"] if label is not None}),
    }
    groups = {kind: _by_group(labels[kind], orders[kind], wrong, total, clusters) for kind in KINDS}
    slices = {
        name: errors_by_group(values, _texts(values), wrong, total, clusters)
        for name, values in slice_columns(table, columns, {*table.columns, *measures}).items()
    }
    ended = None if rollouts is None else rollouts.get_column("finish_reason", default=None)
    ends = {} if ended is None else dict(ended.value_counts().rows())
    looped = ends.get("repetition")
    return Scored(
        completions=int(total.sum()),
        looped=looped,
        cut=looped and ends.get("length", 0),
        clusters=clusters.described,
        error_rate=error_rate(wrong, total, clusters),
        perceptual=[row for row in groups["perceptual"] if row.group != NO_GROUP],
        reasoning=[row for row in groups["reasoning"] if row.group != NO_GROUP],
        ungrouped={kind: row for kind in KINDS for row in groups[kind] if row.group == NO_GROUP}
        or None,
        contrast={
            kind: _contrast(kind, labels[kind], orders[kind], wrong, total, clusters)
            for kind in KINDS
        },
        slices=slices,
        measures=held,
        differences=differences,
        reliability=Reliability(
            rollouts=int(np.bincount(total.astype(np.intp)).argmax()),
            fewest_rollouts=int(total.min()),
            most_rollouts=int(total.max()),
            resamples=redraws_for(len(table)),
            pass_rate=pass_rate_reliability(wrong, total),
            **group_reliability(grouping, measures, arrays, labels, seed=seed),
        ),
        pass_rates=pass_rate_shares(
            wrong,
            total,
            numbers(table["reward_std"]) if "reward_std" in table.columns else None,
        ),
        looked_at=LookedAt(
            measures=sum(one.kind == "measure" for one in held.values()),
            columns=sum(one.kind == "column" for one in held.values()),
            slices=sum(map(len, slices.values())),
        ),
        format_rate=_mean(table["format_rate"]) if "format_rate" in table.columns else None,
        joint=_joint(labels, orders["reasoning"], wrong, total, clusters),
        image_gain=None
        if arrays is None or "blind_pass_rate" not in table.columns
        else gain_against_error(arrays, numbers(table["blind_pass_rate"]), clusters, seed=seed),
        split_half=None if arrays is None else split_halves(measures, arrays, clusters, seed=seed),
        learning=None
        if rollouts is None or "step" not in rollouts.columns
        else learning(rollouts, table, orders, clusters),
        gradient=gradient_shares(total - wrong, total, labels, orders),
    )


def _against_error(
    columns: Mapping[str, Candidate],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
    now: str | None,
) -> tuple[dict[str, Predictor], list[AurocDifference]]:
    """Each measure and column against error, and against each other."""
    found = {
        name: AgainstError(candidate, wrong, total, clusters) for name, candidate in columns.items()
    }
    described = {name: held.described() for name, held in found.items()}
    return described, auroc_differences(found, wrong, total, clusters, now=now)


def _causes(
    table: pl.DataFrame,
    evidence: Evidence,
    columns: pl.DataFrame | None,
    taken: set[str],
    grouping: GroupCuts | None,
) -> Causes | None:
    labels: dict[str, tuple[Sequence[Label | None], Sequence[Label]]] = {
        "perceptual": (table["perceptual_group"].to_list(), PERCEPTUAL),
        "reasoning": (
            table["reasoning_group"].to_list(),
            sorted(table["reasoning_group"].drop_nulls().unique().to_list()),
        ),
    }
    for name, values in slice_columns(table, columns, taken).items():
        labels[name] = values, _texts(values)
    return analyse_causes(
        table,
        evidence,
        image_clusters(table, columns),
        labels,
        None if grouping is None else grouping.why,
    )


def _by_group(
    labels: Sequence[Label | None],
    order: Sequence[Label],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> list[ErrorsOfGroup]:
    """Errors by group, and at the end of the samples in no group, where others are in one."""
    if None in labels and any(label is not None for label in labels):
        labels = [NO_GROUP if label is None else label for label in labels]
        order = [*order, NO_GROUP]
    return errors_by_group(labels, order, wrong, total, clusters)


def _mean(column: pl.Series) -> float | None:
    known = column.drop_nulls().to_numpy()
    return float(known.mean()) if len(known) else None


def _texts(values: Sequence[str | None]) -> list[str]:
    return sorted({text for text in values if text is not None})


def _joint(
    labels: Mapping[Kind, Sequence[Label | None]],
    bins: Sequence[Label],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> JointView | None:
    """The cells where both groupings meet; None where none has samples."""
    crossed = list(zip(labels["perceptual"], labels["reasoning"], strict=True))
    filled = set(crossed)
    cells = [(p, r) for p in PERCEPTUAL for r in bins if (p, r) in filled]
    if not cells:
        return None
    # They are numbered: a group has one label.
    numbered: dict[object, int] = {cell: number for number, cell in enumerate(cells)}
    members = [numbered.get(cell) for cell in crossed]
    rows = errors_by_group(members, range(len(cells)), wrong, total, clusters)
    return JointView(
        rows=list(PERCEPTUAL),
        columns=[int(number) for number in bins],
        cells=[
            JointCell(
                perceptual=perceptual, reasoning=int(reasoning), samples=row.samples,
                error_rate=row.error_rate,
            )
            for (perceptual, reasoning), row in zip(cells, rows, strict=True)
        ],
    )  # fmt: skip


def _contrast(
    kind: Kind,
    labels: Sequence[Label | None],
    order: Sequence[Label],
    wrong: Floats,
    total: Floats,
    clusters: Clusters,
) -> Estimate:
    """Error rate of the hardest group less that of the easiest."""
    if len(order) < 2:
        are = "is" if len(order) == 1 else "are"
        reason = f"there {are} {len(order)} {kind} {plural(len(order), 'group')}"
        return Estimate(value=None, reason=reason)
    hard, easy = (order[-1], order[0]) if kind == "perceptual" else (order[0], order[-1])
    return contrast(labels, hard, easy, wrong, total, clusters)


def _distributions(
    table: pl.DataFrame, measures: Mapping[str, Harder], columns: pl.DataFrame | None
) -> dict[str, Distribution]:
    texts = slice_columns(table, columns, {*table.columns, *measures})
    found = {name: distribution(numbers(table[name]), texts) for name in measures}
    return {name: spread for name, spread in found.items() if spread is not None}


def _quartiles(values: Floats) -> Quartiles:
    known = values[~np.isnan(values)]
    if not len(known):
        return Quartiles(n=0)
    least, quartile_1, median, quartile_3, most = np.percentile(known, [0, 25, 50, 75, 100])
    return Quartiles(
        n=len(known), least=float(least), quartile_1=float(quartile_1), median=float(median),
        quartile_3=float(quartile_3), most=float(most),
    )  # fmt: skip
