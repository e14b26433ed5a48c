"""A view of the samples: conditions, a search and an order, as an address holds it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from durian.errors import ConfigError, one_line
from durian.table.filter import LONGEST_FILTER

MOST_CLAUSES = 50
MOST_VALUES = 200
LONGEST_SEARCH = 500  # characters


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A condition on one column: a range of numbers, or some values of a text; None is missing."""

    column: str
    low: float | None = None  # the least
    high: float | None = None  # the most
    below: float | None = None  # less than this
    values: tuple[str | None, ...] | None = None

    @property
    def sql(self) -> str:
        """The condition as `--filter` takes it."""
        name = '"' + self.column.replace('"', '""') + '"'
        if self.values is None:
            bounds = ((">=", self.low), ("<=", self.high), ("<", self.below))
            parts = [f"{name} {sign} {bound!r}" for sign, bound in bounds if bound is not None]
            return " AND ".join(parts)
        texts = ["'" + value.replace("'", "''") + "'" for value in self.values if value is not None]
        parts = [f"{name} IN ({', '.join(texts)})"] if texts else []
        parts += [f"{name} IS NULL"] if None in self.values else []
        return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]

    @property
    def as_json(self) -> dict[str, Any]:
        """The clause as an address holds it."""
        bounds = {"low": self.low, "high": self.high, "below": self.below}
        kept: dict[str, Any] = {key: held for key, held in bounds.items() if held is not None}
        if self.values is not None:
            kept["values"] = list(self.values)
        return {"column": self.column, **kept}


@dataclass(frozen=True, kw_only=True)
class View:
    """Which samples, in which order."""

    where: tuple[Clause, ...] = ()  # all of them hold
    sql: str | None = None  # a condition as `--filter` takes it
    search: str | None = None  # stands in problem, answer or a completion; letters of either case
    sort: str | None = None  # a column; None: the dataset's order
    down: bool = False  # the largest first

    @property
    def as_json(self) -> dict[str, Any]:
        """The view as an address holds it; what is not set is left out."""
        kept = {"sql": self.sql, "search": self.search, "sort": self.sort, "down": self.down}
        where = [clause.as_json for clause in self.where]
        return {**({"where": where} if where else {}), **{k: v for k, v in kept.items() if v}}

    def but(self, column: str) -> View:
        """The view without its conditions on one column, and without an order."""
        kept = tuple(clause for clause in self.where if clause.column != column)
        return replace(self, where=kept, sort=None, down=False)


def read_view(text: str | None) -> View:
    """The view in an address.

    Raises:
        ConfigError: it is none.
    """
    try:
        return View() if not text else _view(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"the address holds no view ({one_line(error, longest=80)})") from error


def _view(held: Any) -> View:
    where = [_clause(clause) for clause in held.get("where") or ()]
    if len(where) > MOST_CLAUSES:
        raise ValueError(f"more than {MOST_CLAUSES} conditions")
    return View(
        where=tuple(where),
        sql=_text(held.get("sql"), LONGEST_FILTER),
        search=_text(held.get("search"), LONGEST_SEARCH),
        sort=_text(held.get("sort"), 1_000),
        down=held.get("down") is True,
    )


def _clause(held: Mapping[str, Any]) -> Clause:
    column, values = held["column"], held.get("values")
    if not isinstance(column, str):
        raise ValueError("a column's name is no text")
    if values is not None:
        if not values or len(values) > MOST_VALUES:
            raise ValueError(f"a condition has no values, or more than {MOST_VALUES}")
        if not all(value is None or isinstance(value, str) for value in values):
            raise ValueError("a value is no text")
        return Clause(column=column, values=tuple(values))
    low, high, below = (_number(held.get(key)) for key in ("low", "high", "below"))
    if low is None and high is None and below is None:
        raise ValueError("a condition has neither values nor a bound")
    return Clause(column=column, low=low, high=high, below=below)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a bound is no number")
    return float(value)


def _text(value: Any, longest: int) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"no text of {longest:,} characters or fewer")
    return value
