"""The samples of a run as a view asks for them: which pass, in which order, and how many of a kind.

Of a million samples little is held: a byte each for a condition or the bins of a column, four for
an order, of the last few that were asked for. Texts are read for the rows that are shown, and
searched as they stream by.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
from numpy.typing import NDArray

from durian.errors import ConfigError, RunFolderError, one_line
from durian.run.folder import DIFFICULTY_FILE, ROLLOUTS_FILE, unreadable
from durian.schema import DIFFICULTY
from durian.table.checked import DAMAGE, check_difficulty
from durian.table.columns import COLUMNS_FILE
from durian.table.filter import check_columns, parse_filter, passing
from durian.viewer.columns import (
    CHANGE,
    MOST_CHOICES,
    MOVED,
    SECOND,
    TEXTS,
    VERDICT,
    Kind,
    ViewColumn,
)
from durian.viewer.marks import Marks
from durian.viewer.parquet import ParquetRows
from durian.viewer.view import Clause, View

Bools = NDArray[np.bool_]
Places = NDArray[np.int32]
T = TypeVar("T")

_NOT_MEASURED = ("row", "copies", "n_images", "width", "height", "rollouts", "reasoning_group")
BINS = 24  # of a number with more values than that; else a bar a value
MISSING = 255  # the code of a sample without a value
RIGHT = 0.5  # a sample is mostly right above this pass rate, as `durian compare` has it
MOVES = ("to a less confident bin", "to a more confident bin", "same bin", "in one run only")
CHANGES = ("learned", "unlearned", "right in both", "wrong in both", "in one run only")
_KEPT = {
    "mask": 48,
    "bins": 64,
    "ranks": 64,
    "order": 6,
    "places": 6,
    "values": 2,
}  # of the last asked for


@dataclass(frozen=True)
class Bins:
    """How the samples fall into the bars of a column."""

    edges: Sequence[float] | None  # B + 1 edges of B bars; a bar holds its lower edge
    values: Sequence[float | str] | None  # or a bar a value
    codes: NDArray[np.uint8]  # (N,), the bar of each sample; MISSING where it has no value

    @property
    def bars(self) -> int:
        """Count the bars."""
        return len(self.edges) - 1 if self.edges is not None else len(self.values or ())

    def counts(self, mask: Bools | None = None) -> tuple[list[int], int]:
        """Samples of each bar, and those without a value; of all, or of those in a mask."""
        codes = self.codes if mask is None else self.codes[mask]
        found = np.bincount(codes, minlength=MISSING + 1)
        return found[: self.bars].tolist(), int(found[MISSING])


@dataclass(frozen=True)
class Ranks:
    """A column of numbers by rank; two samples next to each other have like values."""

    quantiles: NDArray[np.float64]  # MISSING of the samples' values, rising, or all of fewer
    codes: NDArray[np.uint8]  # (N,), from 0 to MISSING - 1; MISSING where it has no value

    def shares(self, value: float) -> tuple[float, float]:
        """The shares of samples below and above a value; of many, to about half a per cent."""
        below, upto = (np.searchsorted(self.quantiles, value, side) for side in ("left", "right"))
        return float(below) / len(self.quantiles), 1 - float(upto) / len(self.quantiles)


class SampleTable:
    """The difficulty table of a run with the dataset's columns, the marks, and a second run."""

    def __init__(self, run: Path, marks: Marks | None = None, second: Path | None = None) -> None:
        """Open the files, and see which columns hold anything.

        Raises:
            RunFolderError: a file is damaged, or columns.parquet is of another table.
        """
        check_difficulty(run, ("sample_id", "row", "copies", "n_images"))
        self.run, self.marks = run, marks or Marks()
        self.table = ParquetRows(run / DIFFICULTY_FILE)
        has_further = (run / COLUMNS_FILE).exists()
        self.further = ParquetRows(run / COLUMNS_FILE) if has_further else None
        self._kept: dict[str, dict[Hashable, Any]] = {kind: {} for kind in _KEPT}
        self._lock = Lock()
        if self.further is not None:
            self._check_same_samples(self.further)
        self.second = None if second is None else SampleTable(second)
        self.second_places = None if self.second is None else self._places_in(self.second)
        self.columns = {column.name: column for column in self._columns()}

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.table)

    @property
    def measured(self) -> list[str]:
        """The table's own columns of numbers that say something of a sample's difficulty."""
        return [
            column.name
            for column in self.columns.values()
            if column.whose == "table"
            and column.kind == "number"
            and column.name not in _NOT_MEASURED
        ]

    def values(self, name: str) -> pl.Series:
        """All values of a column, one a sample.

        Raises:
            ConfigError: no such column.
        """
        return self._keep("values", name, lambda: self._values(self._column(name)))

    def bins(self, name: str) -> Bins:
        """The bars of a column of numbers or choices.

        Raises:
            ConfigError: no such column, or one of many texts.
        """
        column = self._column(name)
        if column.kind == "text":
            raise ConfigError(f"the column '{one_line(name, longest=80)}' has too many values")
        if column.whose == "marks":
            return self._verdicts()
        return self._keep("bins", name, lambda: _bins(self.values(name), column.kind))

    def ranks(self, name: str) -> Ranks:
        """Where each sample stands among all by a column of numbers.

        Raises:
            ConfigError: no such column.
        """
        self._column(name)
        return self._keep("ranks", name, lambda: _ranks(_numbers(self.values(name))))

    def mask(self, view: View) -> Bools:
        """Mark the samples that pass a view. (N,)

        Raises:
            ConfigError: a condition over no column, or that is none.
        """
        passes = np.ones(len(self), np.bool_)
        for clause in view.where:
            passes &= self._clause(clause)
        if view.sql is not None:
            passes &= self._keep("mask", ("sql", view.sql), lambda: self._sql(view.sql or ""))
        if view.search is not None:
            found = lambda: self._search(view.search or "")  # noqa: E731
            passes &= self._keep("mask", ("search", view.search), found)
        return passes

    def places(self, view: View) -> Places:
        """The places in the table of the samples that pass a view, in its order.

        Raises:
            ConfigError: as `mask`.
        """
        marked = any(clause.column == VERDICT for clause in view.where)
        key = (view, self.marks.version if marked else None)
        return self._keep("places", key, lambda: self._places(view))

    def place_of(self, sample_id: str) -> int | None:
        """The place of a sample in the table; None where it is not there."""
        found = self._places_of([sample_id])
        return int(found[0]) if len(found) else None

    def place_of_row(self, row: int) -> int | None:
        """The place of the sample that stands first at a row of the dataset; None where none is."""
        found = np.flatnonzero(self.table.column("row").to_numpy() == row)
        return int(found[0]) if len(found) else None

    def rows(self, places: Sequence[int] | Places, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of some samples, in the order of `places`.

        Raises:
            ConfigError: no such column.
        """
        columns = [self._column(name) for name in names]
        held = [{} for _ in places] if not names else [dict.fromkeys(names) for _ in places]
        at = np.asarray(places, np.int64)
        for whose, file in (("table", self.table), ("dataset", self.further)):
            own = [column.name for column in columns if column.whose == whose]
            if own and file is not None and len(at):
                for row, values in zip(held, file.rows(at, own).iter_rows(named=True), strict=True):
                    row.update(values)
        if self.second is not None and self.second_places is not None:
            theirs = [c.name.removeprefix(SECOND) for c in columns if c.whose == "second"]
            there = [k for k, place in enumerate(at) if self.second_places[place] >= 0]
            if theirs and there:
                found = self.second.table.rows(self.second_places[at[there]], theirs)
                for k, values in zip(there, found.iter_rows(named=True), strict=True):
                    held[k].update({SECOND + name: value for name, value in values.items()})
        for column in columns:
            if column.whose == "both":
                for row, value in zip(held, self.values(column.name)[at.tolist()], strict=True):
                    row[column.name] = value
        return held

    def ids(self, places: Sequence[int] | Places) -> list[str]:
        """The ids of some samples."""
        if len(places) * 2 > len(self):
            found = self.table.column("sample_id")[np.asarray(places).tolist()]
        else:
            found = self.table.rows(places, ["sample_id"])["sample_id"]
        return list(found)

    def _columns(self) -> list[ViewColumn]:
        found = [
            ViewColumn(
                name=name,
                kind=kind,
                whose="table",
                unit=DIFFICULTY[name].unit if name in DIFFICULTY else "",
                meaning=DIFFICULTY[name].meaning if name in DIFFICULTY else "",
                harder=DIFFICULTY[name].harder if name in DIFFICULTY else None,
            )
            for name, kind in _kinds(self.table)
        ]
        known = {column.name for column in found}
        if self.further is not None:
            found += [
                ViewColumn(name=name, kind=kind, whose="dataset", meaning="of the dataset")
                for name, kind in _kinds(self.further)
                if name not in known and name != "sample_id"
            ]
        if self.second is not None:
            for name, meaning in (
                (CHANGE, "from this run to the second: mostly right is a pass rate above 0.5"),
                (MOVED, "reasoning bin in the second run, against that in this one"),
            ):
                found.append(ViewColumn(name=name, kind="choice", whose="both", meaning=meaning))
            found += [
                replace(column, name=SECOND + column.name, whose="second")
                for column in self.second.columns.values()
                if column.whose == "table"
                and (column.kind == "number" or column.name in ("perceptual_group", "why"))
                and column.name not in ("row", "copies", "n_images", "width", "height")
            ]
        found.append(
            ViewColumn(name=VERDICT, kind="choice", whose="marks", meaning="what you said of it")
        )
        return found

    def _column(self, name: str) -> ViewColumn:
        if name not in self.columns:
            check_columns([name], list(self.columns))  # raises, and names one of a like name
        return self.columns[name]

    def _values(self, column: ViewColumn) -> pl.Series:
        if column.whose == "second":
            assert self.second is not None and self.second_places is not None
            theirs = self.second.table.column(column.name.removeprefix(SECOND))
            places = pl.Series(self.second_places, dtype=pl.Int64)
            return theirs.gather(pl.select(pl.when(places >= 0).then(places)).to_series())
        if column.whose == "both":
            return self._changes() if column.name == CHANGE else self._moves()
        if column.whose == "marks":
            verdicts = {place: mark.verdict for place, mark in self._marked().items()}
            return pl.Series([verdicts.get(place) for place in range(len(self))], dtype=pl.String)
        file = self.table if column.whose == "table" else self.further
        assert file is not None
        return file.column(column.name)

    def _changes(self) -> pl.Series:
        a, b = self._both("pass_rate")
        before, after = a > RIGHT, b > RIGHT
        known = ~np.isnan(a) & ~np.isnan(b)
        cases = [~known, after & ~before, before & ~after, before & after]
        codes = np.select(cases, [4, 0, 1, 2], 3)
        return pl.Series(np.array(CHANGES)[codes])

    def _moves(self) -> pl.Series:
        a, b = self._both("reasoning_group")
        cases = [np.isnan(a) | np.isnan(b), b < a, b > a]
        return pl.Series(np.array(MOVES)[np.select(cases, [3, 0, 1], 2)])

    def _both(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A column of numbers in this run and in the second; NaN where it has none."""
        a, b = (
            _numbers(self.values(one)) if one in self.columns else np.full(len(self), np.nan)
            for one in (name, SECOND + name)
        )
        return a, b

    def _marked(self) -> dict[int, Any]:
        """Marks by place, of those samples that this run has."""
        marks = self.marks.items()
        return self._keep("mask", ("marks", self.marks.version), lambda: self._at_places(marks))

    def _at_places(self, marks: Any) -> dict[int, Any]:
        ids = list(marks)
        places = self._places_of(ids)
        named = self.ids(places) if len(places) else []
        return {int(place): marks[id] for place, id in zip(places, named, strict=True)}

    def _verdicts(self) -> Bins:
        marks = self._marked()
        names = list(dict.fromkeys(mark.verdict for mark in marks.values()))[: MISSING - 1]
        codes = np.full(len(self), MISSING, np.uint8)
        for place, mark in marks.items():
            codes[place] = names.index(mark.verdict) if mark.verdict in names else MISSING
        return Bins(None, names, codes)

    def _clause(self, clause: Clause) -> Bools:
        column = self._column(clause.column)
        if column.whose == "marks":
            return _among(self._verdicts(), clause)
        return self._keep("mask", clause, lambda: self._holds(column, clause))

    def _holds(self, column: ViewColumn, clause: Clause) -> Bools:
        shown = one_line(column.name, longest=80)
        if clause.values is not None:
            if column.kind == "number":
                if clause.values != (None,):
                    raise ConfigError(f"the column '{shown}' holds numbers; give a range")
                return self.values(column.name).is_null().to_numpy()
            texts = self.values(column.name).cast(pl.String)
            named = [value for value in clause.values if value is not None]
            found = texts.is_in(pl.Series(named, dtype=pl.String).implode()).fill_null(False)
            if None in clause.values:
                found = found | texts.is_null()
            return found.to_numpy()
        if column.kind != "number":
            raise ConfigError(f"the column '{shown}' holds texts; give some of its values")
        values = _numbers(self.values(column.name))
        holds = ~np.isnan(values)
        if clause.low is not None:
            holds &= values >= clause.low
        if clause.high is not None:
            holds &= values <= clause.high
        if clause.below is not None:
            holds &= values < clause.below
        return holds

    def _sql(self, text: str) -> Bools:
        condition = parse_filter(text)
        assert condition is not None
        asked = list(dict.fromkeys(condition.meta.root_names()))
        own = [name for name, column in self.columns.items() if column.whose == "dataset"]
        known = self.table.schema.names
        check_columns(asked, [*known, *own])
        held = [
            (self.table if name in known else self.further or self.table).column(name)
            for name in asked
        ]
        frame = pl.DataFrame(held) if held else pl.DataFrame({"row": self.table.column("row")})
        return passing(frame, condition, text)

    def _search(self, text: str) -> Bools:
        """Samples in whose problem, answer or completions a text stands, in letters of any case."""
        pattern = f"(?i){pl.escape_regex(text)}"
        found = np.zeros(len(self), np.bool_)
        try:
            for name in ("problem", "answer"):
                column = self.table.scan().select(cs.by_name(name).str.contains(pattern))
                found |= column.collect().to_series().fill_null(False).to_numpy()
            said = pl.scan_parquet(self.run / ROLLOUTS_FILE, glob=False)
            ids = (
                said.filter(pl.col("completion").str.contains(pattern))
                .select(pl.col("sample_id").unique())
                .collect(engine="streaming")["sample_id"]
            )
        except DAMAGE as error:
            raise unreadable(self.run / ROLLOUTS_FILE, error) from error
        if len(ids):
            found |= self.table.column("sample_id").is_in(ids.implode()).to_numpy()
        return found

    def _places(self, view: View) -> Places:
        passes = self.mask(view)
        if view.sort is None:
            return np.flatnonzero(passes).astype(np.int32)
        order = self._order(view.sort, view.down)
        return order[passes[order]]

    def _order(self, name: str, down: bool) -> Places:
        # Not kept where it changes: marks are few, and their order is made at once.
        if self._column(name).whose == "marks":
            return self._sorted(name, down)
        return self._keep("order", (name, down), lambda: self._sorted(name, down))

    def _sorted(self, name: str, down: bool) -> Places:
        """All places by a column's values; missing ones last, equal ones as they stand."""
        values = self._values(self._column(name))
        if self._column(name).kind != "number":
            values = values.cast(pl.String).rank("dense")
        keys = _numbers(values)
        keys = np.where(np.isnan(keys), np.inf, -keys if down else keys)
        return np.argsort(keys, kind="stable").astype(np.int32)

    def _places_of(self, ids: Sequence[str]) -> Places:
        if not ids:
            return np.empty(0, np.int32)
        named = pl.Series(list(ids), dtype=pl.String)
        found = self.table.column("sample_id").is_in(named.implode()).to_numpy()
        return np.flatnonzero(found).astype(np.int32)

    def _places_in(self, other: SampleTable) -> Places:
        """The place of each sample in another run; -1 where it is not there."""
        theirs = other.table.scan().select("sample_id").with_row_index("there")
        both = self.table.scan().select("sample_id").join(theirs, "sample_id", "left",
                                                          maintain_order="left")  # fmt: skip
        found = both.collect()["there"].cast(pl.Int32).fill_null(-1).to_numpy()
        if not (found >= 0).any():
            raise ConfigError(f"{other.run}: has none of the samples of {self.run}; name another")
        return np.asarray(found, np.int32)

    def _check_same_samples(self, further: ParquetRows) -> None:
        # They are joined by their place: in another order each sample would have another's columns.
        if len(further) != len(self.table) or not further.column("sample_id").equals(
            self.table.column("sample_id")
        ):
            raise RunFolderError(
                f"{further.path}: has other samples than {DIFFICULTY_FILE}, or another order; "
                "profile again"
            )

    def _keep(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for a key, made now where it is not among the last few of its kind."""
        kept = self._kept[kind]
        with self._lock:
            if key in kept:
                kept[key] = kept.pop(key)  # now the last one asked for
                found: T = kept[key]
                return found
        made = make()
        with self._lock:
            kept[key] = made
            while len(kept) > _KEPT[kind]:
                del kept[next(iter(kept))]
        return made


def _kinds(file: ParquetRows) -> list[tuple[str, Kind]]:
    """The columns of a file that hold anything, and of what kind."""
    held = [name for name in file.schema.names if file.has_values(name)]
    texts = [name for name in held if _is_text(file.schema.field(name).type) and name not in TEXTS]
    few = set()
    if texts:
        counts = file.scan().select(cs.by_name(*texts).n_unique()).collect().row(0, named=True)
        few = {name for name, count in counts.items() if count <= MOST_CHOICES}
    kinds = list[tuple[str, Kind]]()
    for name in held:
        kind = file.schema.field(name).type
        if _is_text(kind):
            kinds.append((name, "choice" if name in few else "text"))
        elif pa.types.is_boolean(kind):
            kinds.append((name, "choice"))
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            kinds.append((name, "number"))
    return kinds


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _bins(series: pl.Series, kind: Kind) -> Bins:
    codes = np.full(len(series), MISSING, np.uint8)
    if kind == "choice":
        texts = series.cast(pl.String)
        counts = texts.drop_nulls().value_counts(sort=True)
        names = counts[counts.columns[0]].to_list()[: MISSING - 1]
        number = texts.replace_strict(names, range(len(names)), default=None, return_dtype=pl.UInt8)
        return Bins(None, names, number.fill_null(MISSING).to_numpy())
    values = _numbers(series)
    known = np.flatnonzero(~np.isnan(values))
    distinct = np.unique(values[known])
    if len(distinct) <= BINS:
        codes[known] = np.searchsorted(distinct, values[known])
        return Bins(None, distinct.tolist(), codes)
    edges = np.linspace(distinct[0], distinct[-1], BINS + 1)
    codes[known] = np.clip(np.searchsorted(edges, values[known], side="right") - 1, 0, BINS - 1)
    return Bins(edges.tolist(), None, codes)


def _ranks(values: NDArray[np.float64]) -> Ranks:
    codes = np.full(len(values), MISSING, np.uint8)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return Ranks(np.empty(0), codes)
    quantiles = np.sort(values[known])
    if len(quantiles) > MISSING:
        quantiles = quantiles[np.linspace(0, len(known) - 1, MISSING).round().astype(np.int64)]
    found = np.searchsorted(quantiles, values[known])
    codes[known] = np.clip(found, 0, MISSING - 1)
    return Ranks(quantiles, codes)


def _among(bins: Bins, clause: Clause) -> Bools:
    wanted = [k for k, value in enumerate(bins.values or ()) if value in (clause.values or ())]
    holds = np.isin(bins.codes, wanted)
    return holds | (bins.codes == MISSING) if None in (clause.values or ()) else holds
