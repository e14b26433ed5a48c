"""Find samples that go together: questions about one image are right or wrong partly by it.

The one home of clustering. A cluster is a sample, or all samples that share an image, directly or
through others: if one shows images 1 and 2, another 2 and 3, all that show any of them are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from durian.analysis.statistics.estimate import DrawnTogether, plural

FEWEST = 10  # clusters behind an interval: with fewer, how they vary cannot be known

# A sample's own id, which stands for the image of one without, may hold spaces, too.
_SEVERAL = r"^[0-9a-f]{32}( [0-9a-f]{32})+$"

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The cluster of each of N samples."""

    codes: Ints  # (N,), from 0 without gaps
    of: Literal["sample", "image"] = "image"

    @classmethod
    def apart(cls, n: int, of: Literal["sample", "image"] = "sample") -> Clusters:
        """Each sample by itself; or, of images, each by itself, where they stand for samples."""
        return cls(np.arange(n), of)

    def __len__(self) -> int:
        """Count the clusters."""
        return int(self.codes.max(initial=-1)) + 1

    @property
    def described(self) -> DrawnTogether:
        """The kind and number of the clusters, as a summary tells them."""
        return DrawnTogether(of=self.of, n=len(self))

    def sums(self, values: Floats) -> Floats:
        """Add up each cluster's values, (N,) to (m,)."""
        summed = np.bincount(self.codes, weights=values, minlength=len(self))
        return np.asarray(summed, np.float64)

    def table(self, labels: Ints, values: Floats, count: int) -> Floats:
        """Add up values by cluster and label, (N,) to (m, `count`); a label below 0 is left out."""
        kept = labels >= 0
        cells = self.codes[kept] * count + labels[kept]
        summed = np.bincount(cells, weights=values[kept], minlength=len(self) * count)
        return np.asarray(summed, np.float64).reshape(len(self), count)

    def counted(self, member: NDArray[np.bool_]) -> int:
        """Count the clusters that have something of `member`, (N,)."""
        return len(np.unique(self.codes[member]))

    def among(self, member: NDArray[np.bool_]) -> Clusters:
        """The clusters of some of the samples, (N,), numbered again."""
        codes = np.unique(self.codes[member], return_inverse=True)[1]
        return Clusters(codes.astype(np.intp), self.of)

    def few(self, count: int, have: str = "") -> str | None:
        """Say why so many clusters are too few for an interval; None where they are not."""
        if count >= FEWEST:
            return None
        are = "is" if count == 1 else "are"
        if have:
            verb = "has" if count == 1 else "have"
            return f"only {count} {plural(count, self.of)} {verb} {have}"
        return f"{count} {plural(count, self.of)} {are} too few for an interval"


def clusters_of(image_ids: pl.Series) -> Clusters:
    """Cluster samples by their images.

    Args:
        image_ids: (N,), the ids of a sample's images with a space between; null for a sample that
            goes with no other.
    """
    n = len(image_ids)
    several = image_ids.str.contains(_SEVERAL)
    if not several.any() and image_ids.drop_nulls().is_unique().all():
        return Clusters.apart(n)
    each = pl.when(several).then(image_ids.str.split(" ")).otherwise(pl.concat_list(image_ids))
    images = (
        pl.DataFrame({"sample": pl.int_range(n, eager=True)})
        .with_columns(image=each)
        .explode("image")
        .drop_nulls()
        .with_columns(pl.col("image").rank("dense") - 1)
    )
    samples, image = images["sample"].to_numpy(), images["image"].to_numpy().astype(np.intp)
    # Samples and images are the points of one graph, the images numbered on from the samples, with
    # a line where a sample shows an image. What hangs together is one cluster: samples that share
    # no image may be one through a third that shares one with each.
    size = n + int(image.max(initial=-1)) + 1
    links = coo_array((np.ones(len(samples), bool), (samples, n + image)), shape=(size, size))
    codes = connected_components(links, directed=False)[1][:n]
    codes = np.unique(codes, return_inverse=True)[1].astype(np.intp)
    return Clusters(codes) if codes.max() + 1 < n else Clusters.apart(n)


def image_clusters(table: pl.DataFrame, columns: pl.DataFrame | None) -> Clusters:
    """The clusters of a table's samples.

    Args:
        table: a difficulty table's rows; a sample whose `n_images` is 0 goes with no other.
        columns: columns.parquet, row by row with the table, for its `image_id`; None, or without
            it: nothing is known of images, and each sample goes by itself.
    """
    if columns is None or "image_id" not in columns.columns:
        return Clusters.apart(len(table))
    ids = columns["image_id"]
    if "n_images" in table.columns:
        alone = table["n_images"].fill_null(0) == 0
        ids = pl.select(pl.when(~alone).then(ids)).to_series()
    return clusters_of(ids)
