"""From the finished parts of a run to the columns that need all samples: near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from durian.duplicates.near import Images, clusters
from durian.duplicates.others import Shown
from durian.measures.duplicates import LENGTH
from durian.run.folder import SIGNATURES, RunFolder
from durian.run.manifest import NearDuplicates
from durian.schema import DIFFICULTY, arrow_array, arrow_type
from durian.table.conflicts import conflicts


def cluster_samples(run: RunFolder) -> Mapping[str, pa.Array]:
    """Name the cluster of each sample's images, over all parts in order.

    A cluster has the digest of one of its images for a name, the first in alphabetical order, so
    that the name does not depend on the order of rows. A sample of several images has their names
    with a space between; one whose images were not read has none.
    """
    signatures, counts = read_signatures(run)
    images, places = Images.of(signatures)
    leaders, names = clusters(images)[places], images.names()
    labels, ends = [], np.cumsum(counts)
    for start, end in zip(ends - counts, ends, strict=True):
        labels.append(" ".join(names[leader] for leader in leaders[start:end]) or None)
    return {"image_cluster": arrow_array(labels, arrow_type(DIFFICULTY["image_cluster"]))}


def shown_by(run: RunFolder) -> Shown:
    """What the samples of a run show, as they are compared with another dataset's."""
    told = run.read_part_columns(["row", "image_id", "n_images", "problem"])
    signatures, counts = read_signatures(run)
    ids = zip(told["image_id"].to_pylist(), told["n_images"].to_pylist(), strict=True)
    return Shown(
        rows=told["row"].to_pylist(),
        image_ids=[image_id if images else "" for image_id, images in ids],
        problems=told["problem"].to_pylist(),
        signatures=signatures,
        counts=counts,
    )


def count_duplicates(run: RunFolder, clusters: pa.Array) -> NearDuplicates:
    """Count the samples that share an image with another, and those whose labels disagree."""
    names = pl.Series(clusters)
    shared = names.drop_nulls().value_counts(name="n").filter(pl.col("n") > 1)["n"]
    table = pl.DataFrame(run.read_part_columns(["problem", "answer", "n_images"]))
    table = table.with_columns(image_cluster=names)
    return NearDuplicates(
        clusters=len(shared), samples=int(shared.sum()), conflicts=int(conflicts(table).sum())
    )


def read_signatures(run: RunFolder) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Read the signatures of all images of a run.

    Returns:
        Shape (n, 216), and how many of them each sample has. (N,)
    """
    parts = run.finished_parts()
    counts = [_counts(run.read_part_columns([SIGNATURES], [number])) for number in parts]
    found = np.empty((sum(int(of_part.sum()) for of_part in counts), LENGTH), np.uint8)
    place = 0
    for number, of_part in zip(parts, counts, strict=True):
        column = run.read_part_columns([SIGNATURES], [number])[SIGNATURES]
        read = b"".join(filter(None, column.to_pylist()))
        found[place : place + int(of_part.sum())].reshape(-1)[:] = np.frombuffer(read, np.uint8)
        place += int(of_part.sum())
    return found, np.concatenate([np.empty(0, np.intp), *counts])


def _counts(part: pa.Table) -> NDArray[np.intp]:
    lengths = pc.fill_null(pc.binary_length(part[SIGNATURES]), 0)
    return np.asarray(lengths.to_numpy() // LENGTH, np.intp)
