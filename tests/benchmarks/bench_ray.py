"""Images alone: one thread, all cores' threads, processes and Ray; and the memory of the last.

The processes stand here alone: a chunk's images go to them and its numbers come back, as with
Ray, without its cluster. Quote these ratios from a machine with nothing else to do: on a busy one
more processes are given more of its cores.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from durian.config import ProfileConfig
from durian.measures.pixel_entropy import PIXEL
from durian.measuring.decoding import decoded
from durian.measuring.measuring import measure_here
from durian.measuring.ray_pool import cut_chunks
from durian.readers.dataset import open_dataset
from durian.readers.scan import DatasetIndex, distinct, scan
from durian.run.progress import Silent
from tests.benchmarks.bench_memory import FEW, MANY, peak, write_dataset
from tests.benchmarks.timing import interleaved, ratio

PART, ROUNDS = 250, 1
STORE = 256 * 1024**2  # bytes of Ray's object store


@contextmanager
def ray_cluster() -> Iterator[str]:
    """The address of a cluster with all cores of this machine, in two nodes."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cores = os.cpu_count() or 1
    shares = [cores - cores // 2, cores // 2]
    cluster = Cluster()
    for share in filter(None, shares):
        cluster.add_node(num_cpus=share, object_store_memory=STORE)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def numbers(chunks: Iterator[Any]) -> list[float]:
    """The pixel entropy of every sample."""
    return [row["pixel_entropy"] for measured in chunks for row in measured.difficulty]


def by_processes(
    pool: ProcessPoolExecutor, config: ProfileConfig, index: DatasetIndex
) -> list[float]:
    reader, parts = open_dataset(config.source), list(enumerate(index.parts(PART)))
    chunks = cut_chunks(distinct(reader.samples(), index, 0), parts, keep=False)
    measured = pool.map(partial(_entropies, pixel_limit=config.pixel_limit), chunks)
    return [entropy for chunk in measured for entropy in chunk]


def _entropies(chunk: Any, *, pixel_limit: int) -> list[float | None]:
    found = decoded(
        chunk.samples, keep=False, pixel_limit=pixel_limit, workers=1, progress=Silent()
    )
    return [PIXEL.take(seen.decoded)["pixel_entropy"] for _, seen in found]


def run() -> list[dict[str, Any]]:
    """Ratios of speed, and of the driver's peak memory, many rows to few."""
    with tempfile.TemporaryDirectory() as folder, ray_cluster() as address:
        datasets = {rows: Path(folder) / f"{rows}.parquet" for rows in (FEW, MANY)}
        for rows, path in datasets.items():
            write_dataset(path, rows)
        ray = ("--distributed", "ray", "--ray-address", address, "--part-size", str(PART))
        peaks = [peak(path, Path(folder) / f"run-{rows}", *ray) for rows, path in datasets.items()]
        few_s, many_s = (_seconds(path, address) for path in datasets.values())
    few, many = peaks
    # The start of actors and processes is in both, and falls out of the difference.
    seconds = {
        name: [m - f for f, m in zip(few_s[name], many_s[name], strict=True)] for name in few_s
    }
    start = few_s["Ray"][0] - seconds["Ray"][0] * FEW / (MANY - FEW)
    of = f"{MANY - FEW:,} JPEG images, {os.cpu_count()} cores, once started"
    started = {"Ray": f"; its start {start:.1f} s"}
    return [
        *(
            {
                "what": f"images alone: speed of {name} against one thread",
                "value": ratio(seconds[name], seconds["one thread"]),
                "aim": "-",
                "detail": of + started.get(name, ""),
            }
            for name in ("threads", "processes", "Ray")
        ),
        {
            "what": f"peak memory on Ray, driver: {MANY:,} rows against {FEW:,}",
            "value": many / few,
            "aim": "<= 1.15",
            "detail": f"{few / 2**20:.0f} and {many / 2**20:.0f} MiB",
        },
    ]


def _seconds(dataset: Path, address: str) -> dict[str, list[float]]:
    import ray

    out = dataset.with_suffix(".run")
    (out / "parts").mkdir(parents=True)
    config = ProfileConfig(dataset=str(dataset), out=str(out), measures=("pixel",), part_size=PART)
    one = replace(config, workers=1)
    index = scan(open_dataset(config.source).samples(), Silent(), own_ids=False)

    def measured(measure: Any, config: ProfileConfig) -> list[float]:
        samples = distinct(open_dataset(config.source).samples(), index, 0)
        parts = list(enumerate(index.parts(PART)))
        return numbers(measure(config, samples, parts, index, Silent()))

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        return _interleaved(measured, config, one, index)
    finally:
        ray.shutdown()


def _interleaved(
    measured: Any, config: ProfileConfig, one: ProfileConfig, index: DatasetIndex
) -> dict[str, list[float]]:
    from durian.measuring.ray_pool import measure_on_ray

    with ProcessPoolExecutor() as pool:
        ways = {
            "one thread": lambda: measured(measure_here, one),
            "threads": lambda: measured(measure_here, config),
            "processes": lambda: by_processes(pool, config, index),
            "Ray": lambda: measured(measure_on_ray, config),
        }
        first, *others = (way() for way in ways.values())
        assert all(other == first for other in others)
        return interleaved(ways, ROUNDS)
