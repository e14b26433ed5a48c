"""Replays completions that were written before: to score a finished run anew, and for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from glob import escape
from pathlib import Path

import polars as pl

from durian.config import SamplingConfig
from durian.engines.base import Answer, Request, Room
from durian.engines.chat import finite
from durian.errors import ConfigError, RunError, one_line
from durian.samples import Failed, Rollout

COLUMNS = {
    "sample_id": pl.String,
    "rollout": pl.Int32,
    "completion": pl.String,
    "n_tokens": pl.Int32,
    "sum_logprob": pl.Float64,
    "finish_reason": pl.String,
}

TOGETHER = 500  # requests, for one scan of the table
DAMAGE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


class ScriptedEngine:
    """A policy that says what a rollouts table holds for each sample, whatever the seed.

    The table is scanned for some hundreds of requests at a time: only their rows are held.
    """

    told = ""

    def __init__(self, config: SamplingConfig) -> None:
        """Open the table `config.model`: `rollouts.parquet`, or the same fields as .jsonl.

        Raises:
            ConfigError: no such file, another format, a column is not there, or one holds what no
                rollout can have.
        """
        self._rollouts = config.rollouts
        self._path = config.model
        try:
            found = _scan(self._path).collect_schema().names()
        except DAMAGE as error:
            raise ConfigError(f"model '{self._path}': {one_line(error)}") from error
        missing = [name for name in COLUMNS if name not in found]
        if missing:
            raise ConfigError(
                f"model '{self._path}': no column '{missing[0]}' (found: {', '.join(found)}); "
                "the scripted engine replays a rollouts table"
            )
        self._check_values()
        self._opened = self._opens_thinking()

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """See `RolloutEngine.stream`; gives the first `rollouts` of each sample (greedy: one).

        A sample's completions are taken in the order of their `rollout`: those that `blind` marks,
        where the table has that column, for a blind request, and the others else.
        """
        room, asked = Room(), list[Request]()
        for request in requests:
            if len(asked) == TOGETHER or not room.free:
                yield from self._answer(asked)
                room, asked = Room(), []
            room.take(request)
            asked.append(request)
        yield from self._answer(asked)

    def _answer(self, requests: Sequence[Request]) -> Iterator[Answer]:
        ids = {r.prompt.sample_id for r in requests if not isinstance(r.prompt, Failed)}
        written = self._written(ids) if ids else {}
        for request in requests:
            if isinstance(request.prompt, Failed):
                yield request.key, request.prompt
                continue
            rollouts = written.get((request.prompt.sample_id, request.blind), [])
            kind = "blind rollouts" if request.blind else "rollouts"
            yield request.key, _first(rollouts, request.completions(self._rollouts), kind)

    def _written(self, ids: Set[str]) -> dict[tuple[str, bool], list[Rollout]]:
        asked = pl.Series(sorted(ids), dtype=pl.String)
        try:
            rows = (
                _typed(self._path)
                .filter(pl.col("sample_id").is_in(asked.implode()))
                .sort("rollout")
                .collect(engine="streaming")
            )
        except DAMAGE as error:
            raise RunError(f"model '{self._path}': {one_line(error)}") from error
        written: dict[tuple[str, bool], list[Rollout]] = defaultdict(list)
        for sample_id, _, completion, n_tokens, logprob, reason, blind in rows.iter_rows():
            written[sample_id, blind].append(
                Rollout(
                    completion=completion,
                    n_tokens=n_tokens,
                    sum_logprob=logprob,
                    finish_reason=reason,
                    opened=self._opened,
                )
            )
        return written

    def _opens_thinking(self) -> bool:
        """Whether the template wrote the opening tag: no completion has it, and most close it."""
        text = pl.col("completion").str
        try:
            closed, opened = (
                _typed(self._path)
                .select(
                    text.contains(r"</\s?think\s?>").mean(),
                    text.contains(r"<\s?think\s?>").any().alias("opened"),
                )
                .collect(engine="streaming")
                .row(0)
            )
        except DAMAGE as error:
            raise ConfigError(f"model '{self._path}': {one_line(error)}") from error
        return not opened and closed is not None and closed > 0.5

    def _check_values(self) -> None:
        table, keys = _typed(self._path), ("sample_id", "rollout")
        try:
            found = (
                table.select(
                    *(pl.col(name).is_null().any() for name in COLUMNS),
                    short=(pl.col("n_tokens") < 1).any(),
                )
                .collect(engine="streaming")
                .row(0, named=True)
            )
            # A pair twice means two tables in one. The first `rollouts` of a sample would then be
            # of both, mixed by the sort, and nothing later could tell.
            again = (
                table.group_by(keys[0], "blind")
                .agg(again=pl.len() - pl.col(keys[1]).n_unique())
                .select(pl.col("again").sum())
                .collect(engine="streaming")
                .item()
            )
        except DAMAGE as error:
            raise ConfigError(f"model '{self._path}': {one_line(error)}") from error
        faults = {name: f"column '{name}' has nulls" for name in COLUMNS}
        faults["short"] = "column 'n_tokens' has numbers below 1"
        fault = next((faults[name] for name, there in found.items() if there), None)
        if again and fault is None:
            fault = f"has {again:,} repeated pairs of 'sample_id' and 'rollout'"
        if fault is not None:
            raise ConfigError(f"model '{self._path}': {fault}; mend it, or give another table")

    def close(self) -> None:
        """Do nothing, since no file is held open."""


def _first(rollouts: list[Rollout], count: int, kind: str) -> list[Rollout] | Failed:
    if not rollouts:
        return Failed(f"no scripted {kind} for this sample")
    if len(rollouts) < count:
        return Failed(f"{len(rollouts)} scripted {kind} for this sample, not {count}")
    return finite(rollouts[:count])


def _typed(path: str) -> pl.LazyFrame:
    """`COLUMNS`, and `blind`: false where the table does not say, as one of before."""
    table = _scan(path)
    known = "blind" in table.collect_schema().names()
    blind = pl.col("blind").cast(pl.Boolean).fill_null(False) if known else pl.lit(False)
    return table.select(
        *(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()), blind.alias("blind")
    )


def _scan(path: str) -> pl.LazyFrame:
    if not Path(path).is_file():
        raise FileNotFoundError("no such rollouts table")
    name = escape(path)  # polars would take brackets in it for a pattern
    match Path(path).suffix:
        case ".parquet":
            return pl.scan_parquet(name)
        case ".jsonl":
            return pl.scan_ndjson(name, infer_schema_length=None)
        case _:
            raise OSError("a rollouts table is a .parquet or .jsonl file")
