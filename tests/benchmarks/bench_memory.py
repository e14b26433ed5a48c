"""Peak memory of a pixel profile: 100,000 rows against 10,000."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from skimage import data

FEW, MANY = 10_000, 100_000
SIDE = 96


def write_dataset(path: Path, rows: int) -> None:
    """Distinct crops of a photograph as JPEGs, about 3 KB each, 500 rows a row group."""
    photo, rng = data.astronaut(), np.random.default_rng(0)
    writer = None
    for start in range(0, rows, 500):
        images = []
        for number in range(start, min(start + 500, rows)):
            y, x = rng.integers(0, 512 - SIDE, 2)
            crop = photo[y : y + SIDE, x : x + SIDE].copy()
            crop[0, :4, 0] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
            file = io.BytesIO()
            Image.fromarray(crop).save(file, "JPEG", quality=90)
            images.append([file.getvalue()])
        n = len(images)
        table = pa.table(
            {
                "problem": [f"Question {start + k}?" for k in range(n)],
                "answer": [str(k) for k in range(n)],
                "images": images,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


# A process's peak counts what its parent held when it was forked, so the parent must be small.
_SMALL_PARENT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(dataset: Path, out: Path, *further: str) -> int:
    """Largest resident memory of one profile, in bytes, by the kernel's account."""
    return peak_of("profile", str(dataset), "--measures", "pixel", "--out", str(out), *further)


def peak_of(*words: str) -> int:
    """Largest resident memory of one command, in bytes."""
    command = [sys.executable, "-m", "durian_cli", *words, "--quiet"]
    told = subprocess.run(
        [sys.executable, "-S", "-c", _SMALL_PARENT, *command],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(told.stdout) * 1024


def run() -> list[dict[str, Any]]:
    """Ratio of peak memory, many rows to few."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for rows in (FEW, MANY):
            dataset = Path(folder) / f"{rows}.parquet"
            write_dataset(dataset, rows)
            peaks.append(peak(dataset, Path(folder) / f"run-{rows}"))
    few, many = peaks
    return [
        {
            "what": f"peak memory: {MANY:,} rows against {FEW:,}",
            "value": many / few,
            "aim": "<= 1.1",
            "detail": f"{few / 2**20:.0f} and {many / 2**20:.0f} MiB",
        }
    ]
