"""Export of synthetic rows in another order: memory and seconds, 100,000 against 10,000."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from durian.records import as_json
from tests.benchmarks.bench_memory import FEW, MANY, peak_of
from tests.benchmarks.synthetic_run import write_run

IMAGE_BYTES = 20_000
_KINDS = pa.schema(
    [
        ("id", pa.string()), ("problem", pa.string()), ("answer", pa.string()),
        ("images", pa.list_(pa.binary())), ("level", pa.int64()),
    ]
)  # fmt: skip


def write_both(folder: Path, rows: int) -> Path:
    """A dataset of images of 20 KB and its run, joined by an id column; gives the run."""
    manifest = as_json(write_run(folder / "run", rows, pictures=False))
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(folder / "data.parquet", _KINDS) as writer:
        for start in range(0, rows, 500):
            made = [
                {
                    "id": f"{k:032x}", "problem": f"<image>how many ({k})?", "answer": str(k),
                    "images": [b"\x89PNG\r\n\x1a\n" + rng.bytes(IMAGE_BYTES)], "level": k % 7,
                }
                for k in range(start, min(start + 500, rows))
            ]  # fmt: skip
            writer.write_table(pa.Table.from_pylist(made, _KINDS))
    manifest["config"] = {"dataset": str(folder / "data.parquet"), "id_column": "id"}
    (folder / "run" / "manifest.json").write_text(json.dumps(manifest))
    return folder / "run"


def run() -> list[dict[str, Any]]:
    """Ratios of memory and time, many rows to few."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        runs = {rows: write_both(Path(folder) / str(rows), rows) for rows in (FEW, MANY)}
        for form in ("verl", "sft"):
            asked = ("--to", form, "--order", "easy_first", "--out", f"{folder}/out")
            peaks, seconds = [], []
            for made in runs.values():
                begun = time.perf_counter()
                peaks.append(peak_of("export", str(made), *asked))
                seconds.append(time.perf_counter() - begun)
            sizes = f"{MANY:,} rows against {FEW:,}"
            results += [
                {
                    "what": f"export to {form}, peak memory: {sizes}",
                    "value": peaks[1] / peaks[0],
                    "aim": "<= 1.5",
                    "detail": f"{peaks[0] / 2**20:.0f} and {peaks[1] / 2**20:.0f} MiB",
                },
                {
                    "what": f"export to {form}, seconds: {sizes}",
                    "value": seconds[1] / seconds[0],
                    "aim": "<= 12",
                    "detail": f"{seconds[0]:.1f} and {seconds[1]:.1f} s",
                },
            ]
    return results
