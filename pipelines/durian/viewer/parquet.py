"""Read some columns, or some rows, of a Parquet file: never all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from durian.run.folder import unreadable
from durian.table.checked import DAMAGE

_BATCH = 8_192  # rows


class ParquetRows:
    """An open file whose row groups are read as they are asked for; from any thread."""

    def __init__(self, path: Path) -> None:
        """Read the footer.

        Raises:
            RunFolderError: the file is not there, or damaged.
        """
        self.path, self._lock = path, Lock()
        try:
            self._file = pq.ParquetFile(path)
        except DAMAGE as error:
            raise unreadable(path, error) from error
        self.schema = self._file.schema_arrow
        footer = self._file.metadata
        sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # (groups + 1,)

    def __len__(self) -> int:
        """Count the rows."""
        return int(self.starts[-1])

    def scan(self) -> pl.LazyFrame:
        """The file, to be read as a query needs it."""
        return pl.scan_parquet(self.path, glob=False)

    def column(self, name: str) -> pl.Series:
        """One column, all of its rows.

        Raises:
            RunFolderError: the file is damaged.
        """
        # By a selector: `col` would take a name like "^.*$" for a pattern of columns.
        try:
            return self.scan().select(cs.by_name(name)).collect().to_series()
        except DAMAGE as error:
            raise unreadable(self.path, error) from error

    def rows(
        self, places: Sequence[int] | NDArray[np.integer], names: Sequence[str]
    ) -> pl.DataFrame:
        """Some columns of the rows at `places`, in their order; the other row groups stay unread.

        Raises:
            RunFolderError: the file is damaged.
        """
        asked = np.asarray(places, np.int64)
        group_of = np.searchsorted(self.starts, asked, side="right") - 1
        found, order = list[pl.DataFrame](), list[NDArray[np.intp]]()
        for group in np.unique(group_of):
            here = np.flatnonzero(group_of == group)
            found.append(self._group(int(group), names)[asked[here] - self.starts[group]])
            order.append(here)
        if not found:
            return self._group(0, names).clear() if len(self) else pl.DataFrame()
        return pl.concat(found)[np.argsort(np.concatenate(order), kind="stable")]

    def group(self, group: int, names: Sequence[str]) -> pl.DataFrame:
        """Some columns of one row group.

        Raises:
            RunFolderError: the file is damaged.
        """
        return self._group(group, names)

    def matching(self, group: int, name: str, value: str) -> pl.DataFrame:
        """The rows of one row group whose `name` is `value`; a few thousand are held at once.

        Raises:
            RunFolderError: the file is damaged.
        """
        # A batch at a time: another program may have written all completions as one row group.
        found = list[pl.DataFrame]()
        try:
            with self._lock:
                for batch in self._file.iter_batches(_BATCH, row_groups=[group]):
                    frame = pl.from_arrow(batch)
                    assert isinstance(frame, pl.DataFrame)
                    found.append(frame.filter(pl.col(name) == value))
        except DAMAGE as error:
            raise unreadable(self.path, error) from error
        return pl.concat(found)

    def has_values(self, name: str) -> bool:
        """Whether any row has a value in a column, as far as the footer tells."""
        place, footer = self.schema.names.index(name), self._file.metadata
        for group in range(footer.num_row_groups):
            chunk = footer.row_group(group).column(place)
            if not chunk.is_stats_set or chunk.statistics.null_count < chunk.num_values:
                return True
        return False

    def _group(self, group: int, names: Sequence[str]) -> pl.DataFrame:
        try:
            with self._lock:
                table = self._file.read_row_group(group, columns=list(names))
            frame = pl.from_arrow(table.select(list(names)))
        except DAMAGE as error:
            raise unreadable(self.path, error) from error
        assert isinstance(frame, pl.DataFrame)
        return frame
