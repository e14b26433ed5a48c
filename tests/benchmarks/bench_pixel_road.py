"""The road of a pixel profile on small PNGs, against reading, decoding and entropy alone."""

import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from durian.config import ProfileConfig
from durian.images.decode import DecodedImage, decode
from durian.manifest import run_identity
from durian.measures.pixel_entropy import pixel_entropy
from durian.profile import Work, measure_samples
from durian.readers.dataset import open_dataset
from durian.readers.scan import scan
from durian.run.opening import hold_run
from durian.run.progress import Silent, Stopwatch
from durian.samples import Sample
from tests.benchmarks.timing import interleaved, ratio

WIDTH, HEIGHT, IMAGES, ROUNDS = 300, 200, 500, 15


def drawn_table(rng: np.random.Generator) -> bytes:
    """A table of numbers in coloured cells, as PNG."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for place in range(30):
        left, top = place % 5 * 60, place // 5 * 33
        color = tuple(int(level) for level in rng.integers(180, 256, 3))
        draw.rectangle((left, top, left + 60, top + 33), fill=color, outline="black")
        draw.text((left + 8, top + 8), str(rng.integers(10_000)), fill="black")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def make_dataset(path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"The sum of row {n}?", str(n), [drawn_table(rng)]) for n in range(IMAGES)]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(path)


def gray_levels(samples: list[Sample]) -> list[DecodedImage]:
    decoded = []
    for sample in samples:
        image = decode(sample.images[0], pixel_limit=10**8, keep=False)
        assert isinstance(image, DecodedImage)
        decoded.append(image)
    return decoded


def run() -> list[dict[str, Any]]:
    """Ratios of processor time, of all threads; what is imported at first use does not count."""
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder) / "tables.parquet")
        config = ProfileConfig(
            dataset=f"{folder}/tables.parquet",
            out=f"{folder}/run",
            measures=("pixel",),
            part_size=IMAGES // 2,
        )
        reader = open_dataset(config.source)
        samples = list(reader.samples())
        decoded = gray_levels(samples)

        def road() -> None:
            index = scan(reader.samples(), Silent(), own_ids=False)
            identity = {**run_identity(config), "dataset": index.fingerprint}
            with hold_run(Path(config.out), identity, fresh=True) as opened:
                work = Work(
                    config=config, reader=reader, index=index, identity=identity,
                    drawn=np.ones(len(index.rows), np.bool_), watch=Stopwatch(),
                )  # fmt: skip
                measure_samples(work, opened, Silent())
            shutil.rmtree(config.out)

        seconds = interleaved(
            {
                "road": road,
                "scan": lambda: scan(reader.samples(), Silent(), own_ids=False),
                "read": lambda: list(reader.samples()),
                "decode": lambda: gray_levels(samples),
                "entropy": lambda: [pixel_entropy(image.gray_histogram) for image in decoded],
            },
            ROUNDS,
            time.process_time,
        )
    three = (seconds[name] for name in ("read", "decode", "entropy"))
    parts = [sum(round_) for round_ in zip(*three, strict=True)]
    each = {name: 1e3 * float(np.median(times)) / IMAGES for name, times in seconds.items()}
    detail = ", ".join(f"{name} {each[name]:.3f}" for name in each)
    of = f"ms a row: {detail}; {IMAGES} PNGs, {WIDTH} x {HEIGHT}, {ROUNDS} rounds"
    return [
        {
            "what": "pixel road: processor time against its parts",
            "value": ratio(parts, seconds["road"]),
            "aim": "<= 1.2",
            "detail": of,
        },
        {
            "what": "pixel road: share of the scan",
            "value": ratio(seconds["road"], seconds["scan"]),
            "aim": "-",
            "detail": "reads all rows for their ids, before the first is measured",
        },
    ]
