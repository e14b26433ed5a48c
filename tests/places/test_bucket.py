"""A dataset in a bucket is read as one on the disk, by ranges, and never whole for a few rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from durian.config import DatasetConfig, ProfileConfig
from durian.profile import profile_dataset
from durian.readers.dataset import open_dataset

TABLES = ("difficulty.parquet", "rollouts.parquet", "columns.parquet", "thumbnails.parquet")


@pytest.fixture
def rows(photo_shapes: Path) -> pl.DataFrame:
    return pl.read_parquet(photo_shapes).head(24)


def profiled(dataset: str | Path, out: Path, **options: object) -> list[bytes]:
    """The bytes of the tables that a profile by pixels writes."""
    config = ProfileConfig(
        dataset=str(dataset),
        measures=("pixel",),
        out=str(out),
        **options,  # type: ignore[arg-type]
    )
    profile_dataset(config)
    return [(out / name).read_bytes() for name in TABLES]


def test_a_folder_in_a_bucket_gives_the_bytes_of_one_on_the_disk(bucket, rows, tmp_path):
    local = tmp_path / "shapes"
    local.mkdir()
    rows.head(16).write_parquet(local / "a.parquet", row_group_size=4)
    rows.tail(8).write_parquet(local / "b.parquet")
    there = bucket.put(local)
    remote = profiled(there, tmp_path / "remote", part_size=10)
    assert remote == profiled(local, tmp_path / "local", part_size=10)


def test_ten_rows_of_a_long_file_cost_a_small_part_of_it(bucket, rows, tmp_path):
    # 64 row groups of 256 KiB each that no codec makes smaller: 16 MiB.
    noise = np.random.default_rng(0).bytes(16 << 20)
    images = [noise[n : n + (32 << 10)] for n in range(0, len(noise), 32 << 10)]
    frame = pl.DataFrame({"problem": "what?", "answer": "1", "image": images})
    frame.write_parquet(tmp_path / "long.parquet", row_group_size=8)
    there = bucket.put(tmp_path / "long.parquet")
    config = DatasetConfig(dataset=there, images_column="image", limit=10)
    assert len(list(open_dataset(config).samples())) == 10
    requests, read = bucket.between.counted()
    assert read < 5 << 20 and requests < 24
