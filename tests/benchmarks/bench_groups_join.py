"""Groups of a million samples, and their join by sample id: ours against bare polars."""

import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from durian.config import TrainConfig
from durian.groups import perceptual_groups, reasoning_groups
from durian.run.folder import RunFolder
from durian.schema import DIFFICULTY, arrow_schema
from durian.table.join import open_table
from tests.benchmarks.timing import interleaved, ratio
from tests.manifests import manifest

ROWS, ROUNDS, BINS = 1_000_000, 3, 10


def run() -> list[dict[str, Any]]:
    """Ratios of speed, ours to polars; both give the same groups."""
    rng = np.random.default_rng(0)
    entropy, confidence = rng.normal(6, 1, ROWS), -rng.exponential(0.3, ROWS)

    def ours() -> tuple[list[Any], list[Any]]:
        return perceptual_groups(entropy).labels, reasoning_groups(confidence, BINS).labels

    def bare() -> pl.DataFrame:
        frame = pl.DataFrame({"seen": entropy, "thought": confidence})
        seen, thought = pl.col("seen"), pl.col("thought")
        low, high = (frame["seen"].quantile(q, "linear") for q in (0.25, 0.75))
        edges = [frame["thought"].quantile(k / BINS, "linear") for k in range(1, BINS)]
        group = pl.when(seen <= low).then(pl.lit("easy")).when(seen >= high)
        return frame.with_columns(
            group.then(pl.lit("hard")).otherwise(pl.lit("medium")).alias("perceptual"),
            thought.cut(edges, left_closed=True).to_physical().alias("reasoning"),
        )

    labels, frame = ours(), bare()
    assert labels[0] == frame["perceptual"].to_list()
    assert labels[1] == frame["reasoning"].to_list()
    grouping = interleaved({"ours": ours, "polars": bare}, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        joining = _join(Path(folder), entropy, confidence, labels)
    return [
        {
            "what": "groups of 1 M rows: speed against bare polars",
            "value": ratio(grouping["ours"], grouping["polars"]),
            "aim": "none set",
            "detail": _seconds(grouping),
        },
        {
            "what": "join of 1 M rows by id: speed against bare polars",
            "value": ratio(joining["ours"], joining["polars"]),
            "aim": "none set",
            "detail": f"{_seconds(joining)}; ours gives each row as a training sample has it",
        },
    ]


def _join(folder: Path, entropy: Any, confidence: Any, labels: Any) -> dict[str, list[float]]:
    ids = [blake2b(k.to_bytes(8, "little"), digest_size=16).hexdigest() for k in range(ROWS)]
    known = {
        "sample_id": ids, "row": np.arange(ROWS), "pixel_entropy": entropy,
        "mean_logprob": confidence, "perceptual_group": labels[0],
        "reasoning_group": pl.Series(labels[1], dtype=pl.Int32),
    }  # fmt: skip
    schema = arrow_schema(DIFFICULTY)
    nulls = {f.name: pl.Series([None] * ROWS, dtype=pl.Float64) for f in schema}
    table = pl.DataFrame(nulls | known).to_arrow().select(schema.names).cast(schema)

    pq.write_table(table, folder / "difficulty.parquet", compression="zstd")
    RunFolder(folder).write_manifest(manifest())
    asked = [ids[k] for k in np.random.default_rng(1).permutation(ROWS)]
    config = TrainConfig(dataset="d", table=str(folder), model="m", out="o")

    def ours() -> list[Any]:
        joined = open_table(config)
        return [joined.find(sample_id) for sample_id in asked]

    columns = ["sample_id", "perceptual_group", "reasoning_group", "pixel_entropy", "mean_logprob"]

    def bare() -> list[Any]:
        joined = pl.read_parquet(folder / "difficulty.parquet", columns=columns)
        rows = pl.DataFrame({"sample_id": asked}).join(joined, on="sample_id", how="left")
        return rows.to_dicts()

    return interleaved({"ours": ours, "polars": bare}, ROUNDS)


def _seconds(of: dict[str, list[float]]) -> str:
    return ", ".join(f"{way} {min(seconds):.2f} s" for way, seconds in of.items())
