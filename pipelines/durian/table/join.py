"""Read from a profile's run folder what training needs of each sample, by sample id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.config import TrainConfig
from durian.config.train import CURRICULA
from durian.errors import ConfigError, DatasetError, InputError
from durian.groups import KINDS, PERCEPTUAL, perceptual_groups, reasoning_groups
from durian.run.folder import DIFFICULTY_FILE, RunFolder
from durian.run.manifest import Manifest
from durian.table.checked import check_difficulty, check_manifest, read_frame
from durian.table.filter import check_columns, parse_filter, passing
from durian.table.grouping import end_of, read_measures

FILTERED = "filtered out"
UNKNOWN = "not in the table, so that the filter cannot tell"
_GROUPS = ("perceptual_group", "reasoning_group")


@dataclass(frozen=True, kw_only=True)
class TrainingTable:
    """The samples of a run with their groups; arrays, one entry a sample of the table."""

    manifest: Manifest
    number: Mapping[str, int]  # sample id -> its place in the arrays
    perceptual_group: NDArray[np.int64]  # 0 easy, 1 medium, 2 hard; -1 none
    reasoning_group: NDArray[np.int64]  # -1 none
    perceptual: NDArray[np.float64]  # the measure behind the perceptual groups; NaN where missing
    confidence: NDArray[np.float64]  # the measure behind the reasoning groups; NaN where missing
    passes: NDArray[np.bool_]  # the filter
    own: bool  # samples that the table lacks take part, in no group
    filtered: bool  # there is a filter
    order_by: str
    right: NDArray[np.float64] | None  # completions, as `evidence` has them; None where not asked
    wrong: NDArray[np.float64] | None

    def find(self, sample_id: str) -> dict[str, Any] | str:
        """The table's labels of a sample as columns of the training set, or why it takes none."""
        place = self.number.get(sample_id)
        if place is None:
            # With a filter a sample without measures is left out even where it may train in no
            # group: whether it passes is unknown, and unknown is no, as for a NULL in the table.
            if self.filtered:
                return UNKNOWN
            nan = float("nan")
            return {"perceptual_group": -1, "reasoning_group": -1, "perceptual": nan,
                    "confidence": nan}  # fmt: skip
        if not self.passes[place]:
            return FILTERED
        return {
            "perceptual_group": int(self.perceptual_group[place]),
            "reasoning_group": int(self.reasoning_group[place]),
            "perceptual": float(self.perceptual[place]),
            "confidence": float(self.confidence[place]),
        }

    def check_missing(self, ids: Sequence[str]) -> None:
        """Refuse samples that the table lacks, unless they may train in no group.

        Args:
            ids: of all dataset rows, in order.
        Raises:
            InputError: how many are missing, and the first one's row; or all are.
        """
        missing = [row for row, sample_id in enumerate(ids) if sample_id not in self.number]
        if missing and len(missing) == len(ids):  # then it is a mistake, whatever was asked
            raise DatasetError(
                f"the table has none of the {len(ids):,} rows; give the table of this dataset, "
                "with the --id-column of its profile"
            )
        if missing and not self.own:
            raise InputError(
                f"the table lacks {len(missing):,} of {len(ids):,} rows, the first at row "
                f"{missing[0]}; profile this dataset, or pass --missing own"
            )

    def order(self, ids: Sequence[str]) -> list[int]:
        """Positions in the order of training; ties and a shuffle keep the dataset's order."""
        if self.order_by == "shuffle" or self.order_by in CURRICULA:
            return list(range(len(ids)))
        by_reasoning = self.manifest.groups.reasoning
        sign = 1.0 if end_of(by_reasoning) == "higher" else -1.0  # rising: harder
        sign = sign if self.order_by == "easy_first" else -sign
        # NaN sorts last whatever the sign: samples without the measure are trained last in both
        # orders, rather than as the easiest or the hardest.
        keys = [sign * self.confidence[self.number[i]] if i in self.number else np.nan for i in ids]
        return [int(place) for place in np.argsort(np.array(keys, np.float64), kind="stable")]


def open_table(config: TrainConfig) -> TrainingTable:
    """Read a run's table, cut its groups anew where the config says so, and apply the filter.

    Groups are cut over the whole table, whatever the filter leaves of it.

    Raises:
        RunFolderError: no complete run, or a table that cannot be read or is of a newer Durian.
        ConfigError: a filter that is no condition over the columns, or that nothing passes; an
            order by a measure that no sample has.
    """
    run = Path(config.table)
    manifest = check_manifest(run)
    groups = manifest.groups
    by_perceptual, by_reasoning = (groups.by(kind).measure for kind in KINDS)
    measures, condition = [by_perceptual, by_reasoning], parse_filter(config.filter)
    table = _read_columns(RunFolder(run), condition)
    seen, thought = read_measures(run, measures)
    if config.percentiles is not None:
        end = end_of(groups.perceptual)
        labels = perceptual_groups(seen, config.percentiles, harder=end).labels
        table = table.with_columns(pl.Series("perceptual_group", labels, pl.String))
    if config.bins is not None:
        bins = reasoning_groups(thought, config.bins, harder=end_of(groups.reasoning)).labels
        table = table.with_columns(pl.Series("reasoning_group", bins, pl.Int32))
    # After the cuts, which are over the whole table: were they over what passes, a sample's group
    # would change with the filter, and the std of groups with it.
    passes = passing(table, condition, config.filter)
    right = wrong = None
    if config.order in CURRICULA:
        right, wrong = evidence(run, passes, config.order)
    elif config.order != "shuffle" and not np.isfinite(thought[passes]).any():
        raise ConfigError(
            f"order is '{config.order}', by {by_reasoning}, which no sample of the table has; "
            "profile with a --model, or pass --order shuffle"
        )
    numbers = {label: number for number, label in enumerate(PERCEPTUAL)}
    return TrainingTable(
        manifest=manifest,
        number={sample_id: place for place, sample_id in enumerate(table["sample_id"])},
        perceptual_group=np.array(
            [numbers.get(label, -1) for label in table["perceptual_group"]], np.int64
        ),
        reasoning_group=table["reasoning_group"].fill_null(-1).cast(pl.Int64).to_numpy(),
        perceptual=seen,
        confidence=thought,
        passes=passes,
        own=config.missing == "own",
        filtered=config.filter is not None,
        order_by=config.order,
        right=right,
        wrong=wrong,
    )


def evidence(
    run: Path, passes: NDArray[np.bool_], order: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many completions of each sample were right, and how many wrong; 0 and 0 where unknown.

    Where a table has an estimate and no completions, they are as many as would leave its standard
    deviation: of m(1 - m)/(n + 1), the variance of a Beta of n completions and mean m.

    Raises:
        ConfigError: the table has neither.
    """
    names = ("rollouts", "pass_rate", "difficulty", "difficulty_sd")
    held = [name for name in names if name in RunFolder(run).check_table().schema.names]
    frame = read_frame(run / DIFFICULTY_FILE, lambda frame: frame.select(held))
    columns = {
        name: frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        if name in held
        else np.full(len(frame), np.nan)
        for name in names
    }
    drawn, rate = columns["rollouts"], columns["pass_rate"]
    mean, sd = 1 - columns["difficulty"], columns["difficulty_sd"]
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = mean * (1 - mean) / sd**2 - 1
    estimated = np.isnan(rate) & np.isfinite(worth) & (worth > 0)
    rate, drawn = np.where(estimated, mean, rate), np.where(estimated, worth, drawn)
    known = np.isfinite(rate) & np.isfinite(drawn) & (drawn > 0)
    if not known[passes].any():
        raise ConfigError(
            f"order is '{order}', by the pass rate, which no sample of the table has; "
            "profile with a --model, or pass --order shuffle"
        )
    rate, drawn = np.where(known, rate, 0), np.where(known, drawn, 0)
    return rate * drawn, (1 - rate) * drawn


def _read_columns(run: RunFolder, condition: pl.Expr | None) -> pl.DataFrame:
    """The columns of a table that are needed; problems and answers only where the filter asks."""
    # Only the columns that are needed are read: problems and answers are most of a table's bytes.
    asked = [] if condition is None else condition.meta.root_names()
    names, path = run.check_table().schema.names, run.path / DIFFICULTY_FILE
    needed = ("sample_id", *_GROUPS)
    check_difficulty(run.path, needed)
    check_columns(asked, names)
    columns = dict.fromkeys((*needed, *asked))
    return read_frame(path, lambda frame: frame.select(list(columns)))


def table_warnings(
    manifest: Manifest, *, dataset: str, fingerprint: str, model: str, model_print: str
) -> list[str]:
    """A line for each way in which the table was made from other things than the training."""
    made_of, made_by = manifest.dataset, manifest.model
    lines = []
    if made_of.fingerprint != fingerprint:
        same = made_of.name == dataset
        made = f"{'other rows of ' if same else ''}{made_of.name}"
        these = "these" if same else f"these rows of {dataset}"
        lines.append(
            f"the table was made from {made}, not from {these}; samples are joined by their content"
        )
    for kind in KINDS:
        cuts = manifest.groups.by(kind)
        samples = manifest.counts.samples
        without = samples - sum(cuts.sizes.values())
        if not any(cuts.sizes.values()):
            lines.append(
                f"no sample of the table has a {kind} group ({cuts.measure} was not "
                f"measured): the {kind} term will be each sample's own"
            )
        elif without > 0:
            have, they = ("has", "it has") if without == 1 else ("have", "they have")
            lines.append(
                f"{without:,} of the table's {samples:,} samples {have} no {kind} group ({they} "
                f"no {cuts.measure}): the {kind} term of each will be its own"
            )
    if made_by.fingerprint not in (None, model_print):
        same = made_by.name == model
        lines.append(
            f"the table was made by {'other weights of ' if same else ''}{made_by.name}, not by "
            f"{'these' if same else model}; its reasoning groups are of another policy"
        )
    return lines
