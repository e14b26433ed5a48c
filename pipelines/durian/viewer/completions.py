"""Find the completions of one sample without a scan of all of them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from durian.run.folder import ROLLOUTS_FILE
from durian.viewer.parquet import ParquetRows


class Completions:
    """The completions of a run, by sample."""

    def __init__(self, run: Path) -> None:
        """Open rollouts.parquet.

        Raises:
            RunFolderError: it is not there, or damaged.
        """
        self._file = ParquetRows(run / ROLLOUTS_FILE)

    def by_sample(self, sample_id: str) -> list[dict[str, Any]]:
        """The rows of one sample's completions, blind ones last.

        Raises:
            RunFolderError: the file is damaged.
        """
        hashes, groups = self.index
        wanted = pl.Series([sample_id]).hash()[0]
        first, end = (np.searchsorted(hashes, wanted, side) for side in ("left", "right"))
        found = [
            self._file.matching(int(group), "sample_id", sample_id) for group in groups[first:end]
        ]
        rows = pl.concat(found).to_dicts() if found else []
        return sorted(rows, key=lambda row: (bool(row.get("blind")), row["rollout"]))

    @cached_property
    def index(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Hashes of sample ids, rising, and the row group in which each has completions."""
        # The footer's least and greatest id tell nothing: ids are hashes, so each row group has
        # some from 0 to f. Twelve bytes a sample do: a million samples are 12 MB.
        hashes, groups = list[NDArray[np.uint64]](), list[NDArray[np.int32]]()
        for group in range(len(self._file.starts) - 1):
            ids = self._file.group(group, ["sample_id"])["sample_id"]
            found = ids.unique().hash().to_numpy()
            hashes.append(found)
            groups.append(np.full(len(found), group, np.int32))
        if not hashes:
            return np.empty(0, np.uint64), np.empty(0, np.int32)
        every, where = np.concatenate(hashes), np.concatenate(groups)
        order = np.argsort(every, kind="stable")
        return every[order], where[order]
