"""Replays completions that were written before: to score a finished run anew, and for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.config import SamplingConfig
from pipelines.engines.protocol import Finished
from pipelines.errors import ConfigError
from pipelines.samples import Failed, Prompt, Rollout

COLUMNS = ("sample_id", "rollout", "completion", "n_tokens", "sum_logprob", "finish_reason")


class ScriptedEngine:
    """A policy that says what a rollouts table holds (`rollouts.parquet`, or .jsonl of it)."""

    def __init__(self, config: SamplingConfig) -> None:
        path = Path(config.model)
        if not path.is_file():
            raise ConfigError(f"model: {path}: no such rollouts table; the scripted engine reads "
                              "a rollouts.parquet or .jsonl")  # fmt: skip
        try:
            script = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path)
            found = script.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ConfigError(f"model: {path} cannot be read as a rollouts table") from error
        missing = [name for name in COLUMNS if name not in found]
        if missing:
            raise ConfigError(f"model: {path} has no column '{missing[0]}'; it needs "
                              f"{', '.join(COLUMNS)}")  # fmt: skip
        self._script = script.select(COLUMNS)
        self._rollouts = config.rollouts

    def generate(
        self, prompts: Sequence[Prompt], *, seed: int, finished: Finished
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`; the first `rollouts` of each sample, whatever the seed."""
        asked = pl.col("sample_id").is_in([prompt.sample_id for prompt in prompts])
        written: dict[str, list[Rollout]] = defaultdict(list)
        for row in self._script.filter(asked).sort("rollout").collect().iter_rows(named=True):
            written[row["sample_id"]].append(
                Rollout(
                    completion=row["completion"],
                    n_tokens=row["n_tokens"],
                    sum_logprob=row["sum_logprob"],
                    finish_reason=row["finish_reason"],
                )
            )
        finished(len(prompts))
        return [self._of(written.get(prompt.sample_id, [])) for prompt in prompts]

    def close(self) -> None:
        """Nothing to give back."""

    def _of(self, rollouts: list[Rollout]) -> list[Rollout] | Failed:
        if len(rollouts) < self._rollouts:
            return Failed(f"the script has {len(rollouts)} of {self._rollouts} rollouts")
        return rollouts[: self._rollouts]
