"""The right and the wrong completions of a run that fine-tuning or preferences take.

Completions are most of a run's bytes. Which are taken is settled by their numbers alone, and only
the texts of those are then set down on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.config import ExportConfig
from durian.errors import ConfigError
from durian.exporting.pool import Bools, Pool
from durian.exporting.spool import Spool
from durian.run.folder import ROLLOUTS_FILE, unreadable
from durian.table.checked import DAMAGE, read_frame, with_image

_BATCH = 1024  # completions in memory
_MOST = 1 << 20  # rollouts of a sample that a key can tell apart
_NUMBERS = ("sample_id", "rollout", "correct", "n_tokens", "sum_logprob", "finish_reason")

Keys = NDArray[np.int64]


class Picked:
    """The completions of each sample that were picked, on the disk."""

    def __init__(self, found: pl.DataFrame, samples: int, spool: Spool) -> None:
        """Begin without texts.

        Args:
            found: `key` (place and rollout) rising, `right`, and `rank` from 0, the best first.
        """
        self.keys: Keys = found["key"].to_numpy()
        self._right, self._rank = found["right"].to_numpy(), found["rank"].to_numpy()
        self._number = np.full(len(found), -1, np.int64)  # in the spool
        self._samples, self._spool = samples, spool

    def add(self, key: int, text: str) -> None:
        """Keep the text of a completion, where it was picked."""
        at = int(np.searchsorted(self.keys, key))
        if at < len(self.keys) and self.keys[at] == key:
            self._number[at] = self._spool.add(text)

    def of(self, place: int) -> tuple[list[str], list[str]]:
        """The right and the wrong completions of a sample, the best first."""
        start, end = np.searchsorted(self.keys, (place * _MOST, (place + 1) * _MOST))
        order = start + np.argsort(self._rank[start:end], kind="stable")
        right = [self._spool[int(self._number[at])] for at in order if self._right[at]]
        return right, [self._spool[int(self._number[at])] for at in order if not self._right[at]]

    def usable(self, *, wrong_too: bool) -> Bools:
        """Mark the samples that have a right completion (and a wrong one). (N,)"""
        places = self.keys // _MOST
        right = np.bincount(places[self._right], minlength=self._samples) > 0
        wrong = np.bincount(places[~self._right], minlength=self._samples) > 0
        return right & wrong if wrong_too else right


def pick(config: ExportConfig, pool: Pool, spool: Spool, *, wrong_too: bool) -> Picked:
    """Pick completions of every sample: shortest, likely or random, the best first.

    Only completions that came to their end are taken, and none that was drawn without the image.
    Of imported ones whose log does not tell, all are, and the shortest are those of fewest
    characters.

    Raises:
        ConfigError: no run has any.
        RunFolderError: they cannot be read.
    """
    numbers = pl.DataFrame({"sample_id": pool.ids, "run": pool.run}).with_row_index("place")
    found = pl.concat(
        [
            _best(
                config, Path(run), numbers.filter(run=number), wrong_too,
                logged=pool.manifests[number].logs is not None,
            )
            for number, run in enumerate(config.runs)
        ]
    )  # fmt: skip
    picked = Picked(found.sort("key"), len(pool), spool)
    if not picked.usable(wrong_too=wrong_too).any():
        raise ConfigError(
            f"to is {config.to}, and no sample has a right {'and a wrong ' if wrong_too else ''}"
            "completion that came to its end"
            + (", with its log-probability" if config.pick == "likely" else "")
            + "; profile with a --model first"
        )
    place_of = {sample_id: place for place, sample_id in enumerate(pool.ids)}
    for number, run in enumerate(config.runs):
        for batch in _batches(Path(run) / ROLLOUTS_FILE):
            for sample_id, rollout, text in zip(*batch, strict=True):
                place = place_of.get(sample_id)
                if place is not None and pool.run[place] == number:
                    picked.add(place * _MOST + rollout, text)
    return picked


def _best(
    config: ExportConfig, run: Path, places: pl.DataFrame, wrong_too: bool, *, logged: bool
) -> pl.DataFrame:
    """The best completions of each sample of one run, by their numbers: key, right, rank."""
    names = _names(run / ROLLOUTS_FILE)
    length = pl.col("n_tokens")
    if logged:
        length = pl.coalesce(length, pl.col("completion").str.len_chars())
    by = {
        "shortest": length.cast(pl.Float64),
        "likely": -pl.col("sum_logprob") / pl.col("n_tokens"),
        "random": pl.struct("sample_id", "rollout").hash(seed=config.seed).cast(pl.Float64),
    }[config.pick]
    ended = pl.col("finish_reason").fill_null("stop" if logged else "length") == "stop"
    if not wrong_too:
        ended &= pl.col("correct")
    return read_frame(
        run / ROLLOUTS_FILE,
        lambda frame: (
            with_image(frame)
            .filter(ended)
            .select(*(name for name in _NUMBERS if name in names), by.alias("by"))
            .join(places.lazy(), on="sample_id", how="inner")
            .with_columns(
                key=pl.col("place").cast(pl.Int64) * _MOST + pl.col("rollout"),
                right=pl.col("correct"),
                rank=pl.col("by").rank("ordinal").over("place", "correct").cast(pl.Int64) - 1,
            )
            .filter(pl.col("rank") < config.per_sample)
            .select("key", "right", "rank")
            .drop_nulls()
        ),
    )


def _names(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except DAMAGE as error:
        raise unreadable(file, error) from error


def _batches(file: Path) -> Iterator[tuple[list[str], list[int], list[str]]]:
    try:
        with pq.ParquetFile(file) as rollouts:
            for batch in rollouts.iter_batches(
                _BATCH, columns=["sample_id", "rollout", "completion"], use_threads=False
            ):
                ids, numbers, texts = (batch[name].to_pylist() for name in batch.schema.names)
                yield ids, numbers, texts
    except DAMAGE as error:
        raise unreadable(file, error) from error
