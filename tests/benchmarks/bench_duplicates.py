"""Near-duplicates among 100,000 images of 64 x 64: seconds to hash and to cluster, and memory.

Two kinds of set: smooth noise in colour, as photographs are to a hash, and one shape on a plain
ground, whose hashes crowd. One image in twenty is another one recompressed, resized or cropped.
Comparing each with each is timed on a part and scaled by the square.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from durian.duplicates.near import Images, clusters
from durian.measures.duplicates import LENGTH, sign

FEW, MANY, PART, SIDE = 20_000, 100_000, 2_000, 64


def photographs(seed: int) -> Iterator[Image.Image]:
    """Smooth noise in colour, without end."""
    rng = np.random.default_rng(seed)
    while True:
        grid = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        yield Image.fromarray(grid).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def drawings(seed: int) -> Iterator[Image.Image]:
    """A shape on a plain light ground, without end."""
    rng = np.random.default_rng(seed)
    while True:
        image = Image.new("RGB", (SIDE, SIDE), tuple(map(int, rng.integers(200, 256, 3))))
        x, y = rng.integers(0, SIDE // 2, 2)
        width, height = rng.integers(12, SIDE // 2, 2)
        box = (int(x), int(y), int(x + width), int(y + height))
        colour = tuple(map(int, rng.integers(0, 200, 3)))
        draw = ImageDraw.Draw(image)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
        yield image


def changed(image: Image.Image, number: int) -> Image.Image:
    """Recompressed, resized or cropped by 2 %."""
    if number % 3 == 0:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=75)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    if number % 3 == 1:
        return image.resize((48, 48), Image.Resampling.BILINEAR)
    return image.crop((1, 1, SIDE, SIDE))


def with_copies(images: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Each twentieth image is the one before, changed."""
    last = next(images)
    for number in range(sys.maxsize):
        last = changed(last, number // 20) if number % 20 == 19 else next(images)
        yield last


def measure(kind: str, count: int) -> dict[str, float]:
    """Seconds of a core and peak memory of one set, in this process."""
    made = with_copies({"photographs": photographs, "drawings": drawings}[kind](0))
    found, hashing = np.empty((count, LENGTH), np.uint8), 0.0
    for number, image in enumerate(islice(made, count)):
        begun = time.process_time()
        found[number] = np.frombuffer(sign(image), np.uint8)
        hashing += time.process_time() - begun
    begun = time.process_time()
    images, places = Images.of(found)
    names = clusters(images)[places]
    clustering = time.process_time() - begun
    copies = np.arange(19, count, 20)
    begun = time.process_time()
    one, other = np.triu_indices(PART, 1)
    for start in range(0, len(one), 1 << 16):
        images.near(one[start : start + (1 << 16)], other[start : start + (1 << 16)])
    naive = (time.process_time() - begun) * (count / PART) ** 2
    # Not of `getrusage`: that counts what the parent held, too.
    status = Path("/proc/self/status").read_text()
    return {
        "hashing": hashing,
        "clustering": clustering,
        "naive": naive,
        "recall": float((names[copies] == names[copies - 1]).mean()),
        "clusters": len(np.unique(names)),
        "peak": int(status.partition("VmHWM:")[2].split()[0]) / 1024,
    }


def run() -> list[dict[str, Any]]:
    """Clustering against comparing each with each, and how memory grows, a fresh process each."""
    rows: list[dict[str, Any]] = []
    for kind in ("photographs", "drawings"):
        few, many = (_apart(kind, count) for count in (FEW, MANY))
        detail = (
            f"{MANY:,} {kind}: {many['hashing']:.0f} s to hash, {many['clustering']:.0f} s to "
            f"cluster ({FEW:,}: {few['clustering']:.1f} s); {many['naive']:.0f} s each with each; "
            f"{many['recall']:.1%} of the copies found, {many['clusters']:,.0f} clusters"
        )
        grown = (many["peak"] - few["peak"]) * 2**20 / (MANY - FEW)
        rows += [
            {
                "what": f"duplicates, {kind}: each with each / ours",
                "value": many["naive"] / many["clustering"],
                "aim": "> 1",
                "detail": detail,
            },
            {
                "what": f"duplicates, {kind}: bytes of memory an image",
                "value": grown,
                "aim": "< 1000",
                "detail": f"{few['peak']:.0f} and {many['peak']:.0f} MiB",
            },
        ]
    return rows


def _apart(kind: str, count: int) -> dict[str, float]:
    code = (
        "import json; from tests.benchmarks.bench_duplicates import measure; "
        f"print(json.dumps(measure({kind!r}, {count})))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(told.stdout)
    return found
