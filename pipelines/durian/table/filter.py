"""A condition on samples, as `--filter` takes it: SQL over the table's columns, run by polars."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.errors import ConfigError, one_line

EXAMPLE = "'pass_rate > 0 AND pass_rate < 1'"
LONGEST_FILTER = 10_000  # characters; polars parses by recursion, and dies of very long chains


def parse_filter(condition: str | None) -> pl.Expr | None:
    """A condition as an expression, which nothing has judged yet.

    Raises:
        ConfigError: it is none.
    """
    if condition is None:
        return None
    if len(condition) > LONGEST_FILTER:
        raise ConfigError(
            f"filter: has {len(condition):,} characters; it must have {LONGEST_FILTER:,} or fewer"
        )
    # A subquery could read other files; it has no place in a condition on one sample.
    if re.search(r"\bselect\b", re.sub(r"'[^']*'|\"[^\"]*\"", "", condition), re.IGNORECASE):
        raise ConfigError(
            f"filter: {_shown(condition)} is a query; give the condition alone, like {EXAMPLE}"
        )
    try:
        parsed = pl.sql_expr(condition)
    except (Exception, pl.exceptions.PanicException) as error:  # polars raises many kinds
        raise _unreadable(condition, error) from error
    if parsed.meta.has_multiple_outputs():  # a pattern of columns
        raise _no_condition(condition)
    return parsed


def check_columns(asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a condition over columns that are not there.

    Raises:
        ConfigError: names the first such column, and one of a like name.
    """
    unknown = next((name for name in asked if name not in known), None)
    if unknown is None:
        return
    near = difflib.get_close_matches(unknown.lower(), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"
    raise ConfigError(
        f"filter: no column {_shown(unknown)} in the table; {hint} (text stands in single quotes)"
    )


def passing(table: pl.DataFrame, condition: pl.Expr | None, text: str | None) -> NDArray[np.bool_]:
    """Mark the samples that a condition holds for; unknown (NULL) is no. (N,)"""
    if condition is None or text is None:
        return np.ones(len(table), np.bool_)
    try:
        holds = table.select(holds=condition)["holds"]
    except (Exception, pl.exceptions.PanicException) as error:
        raise _unreadable(text, error) from error
    if holds.dtype != pl.Boolean or len(holds) != len(table):
        raise _no_condition(text)
    passes = holds.fill_null(False).to_numpy()
    if not passes.any():
        raise ConfigError(f"filter: no sample of {len(table):,} passes {_shown(text)}; loosen it")
    return passes


def _no_condition(condition: str) -> ConfigError:
    return ConfigError(
        f"filter: {_shown(condition)} is no condition on a sample; write one like {EXAMPLE}"
    )


def _unreadable(condition: str, error: BaseException) -> ConfigError:
    gist = one_line(str(error).split("\n\n")[0])
    return ConfigError(
        f"filter: {_shown(condition)} is no SQL condition ({gist}); write one like {EXAMPLE}"
    )


def _shown(text: str) -> str:
    return f"'{one_line(text, longest=80)}'"
