"""A run folder of as many samples as wanted, its numbers drawn at random, to make reports of."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from skimage import data

from durian.groups import perceptual_groups, reasoning_groups
from durian.rendering.shown import sample_ids, shelves
from durian.report import PICTURE_SIDE, thumbnail
from durian.run.manifest import Manifest, manifest_of
from durian.schema import DIFFICULTY, ROLLOUTS, Column, arrow_schema

G = 8
PART = 1_000
ASKED = "which shapes are there in this picture"


def write_run(
    folder: Path,
    n: int,
    *,
    text: str = "",
    column: str = "clutter",
    pictures: bool = True,
    seed: int = 0,
) -> Manifest:
    """Write a run's tables; gives its manifest, for `render_run`.

    Args:
        n: samples, of 8 rollouts each.
        text: stands in every text that a dataset or model brings: problem, answer, completion,
            value, reason, names of dataset and model.
        column: name of a numeric column of the dataset; `<column> kind` is a text one. The
            perceptual groups stand on the numeric one.
        pictures: keep thumbnails of photographs.
    """
    rng = np.random.default_rng(seed)
    clutter, kind = rng.random(n), rng.integers(4, size=n)
    hard = rng.normal(size=n) + 1.5 * clutter + 0.5 * kind - 1.2
    right = rng.binomial(G, 1 / (1 + np.exp(hard)))
    confidence = -np.exp(hard / 2 + rng.normal(size=n) / 2) / 5
    seen, thought = perceptual_groups(clutter), reasoning_groups(confidence)
    ids, numbers = [f"{k:032x}" for k in range(n)], np.arange(n)
    table = _filled(
        DIFFICULTY, n,
        sample_id=ids, row=numbers, problem=[f"<image>{ASKED} ({k})? {text}" for k in range(n)],
        answer=[f"red circle {text}"] * n, copies=[1] * n, n_images=[1] * n, width=[64] * n,
        height=[64] * n, pixel_entropy=4 + 3 * clutter, mean_logprob=confidence,
        sum_logprob=12 * confidence, answer_entropy=right * (G - right) / 16.0, rollouts=[G] * n,
        pass_rate=right / G, format_rate=[1.0] * n, mean_tokens=10.0 + numbers % 7,
        truncated=[0.0] * n, perceptual_group=seen.labels, reasoning_group=thought.labels,
        error=[f"no image {text}" if k % 50 == 49 else None for k in range(n)],
    )  # fmt: skip
    each = np.tile(np.arange(G), n)
    correct = each < np.repeat(right, G)
    said = _filled(
        ROLLOUTS, n * G,
        sample_id=np.repeat(ids, G), rollout=each, completion=[f"I see {g}. {text}" for g in each],
        answer=["red circle"] * n * G, n_tokens=[12] * n * G, correct=correct,
        sum_logprob=12 * np.repeat(confidence, G) - each / 9, reward=correct * 1.0,
        formatted=[True] * n * G, finish_reason=["stop"] * n * G,
    )  # fmt: skip
    folder.mkdir(parents=True)
    # Row groups of a part each, as a profile writes them.
    pq.write_table(table, folder / "difficulty.parquet", row_group_size=PART)
    pq.write_table(said, folder / "rollouts.parquet", row_group_size=PART * G)
    further = {
        "sample_id": ids,
        "image_id": [str(k // 2) for k in range(n)],
        column: clutter,
        f"{column} kind": [f"{'abcd'[number]} {text}" for number in kind],
    }
    pq.write_table(pa.table(further), folder / "columns.parquet")
    shown = sample_ids(shelves(pl.DataFrame(pl.from_arrow(table)))) if pictures else []
    _write_thumbnails(folder, shown, rng)
    made = {
        "schema": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "config": {},
        "dataset": {"name": f"shapes {text}", "split": "test", "fingerprint": "0"},
        "model": {"name": f"tiny {text}", "fingerprint": "0"},
        "counts": {"samples": n, "rows": n},
        "groups": {
            "perceptual": {
                "measure": column, "percentiles": [25.0, 75.0], "edges": list(seen.edges),
                "sizes": dict(seen.sizes),
            },
            "reasoning": {
                "measure": "mean_logprob", "bins": 10, "edges": list(thought.edges),
                "sizes": {str(label): size for label, size in thought.sizes.items()},
            },
        },
    }  # fmt: skip
    return manifest_of(made)


def _filled(columns: dict[str, Column], rows: int, **values: Any) -> pa.Table:
    """A table by the schema; what is not given is null."""
    schema = arrow_schema(columns)
    arrays = [pa.array(values.get(f.name, [None] * rows), f.type) for f in schema]
    return pa.table(arrays, schema=schema)


def _write_thumbnails(folder: Path, shown: list[str], rng: np.random.Generator) -> None:
    """Cuts of photographs, each another one, as large as a profile keeps."""
    photographs = [Image.fromarray(data.astronaut()), Image.fromarray(data.coffee())]
    kept: dict[str, list[Any]] = {"sample_id": shown, "jpeg": [], "entropy": []}
    for place in range(len(shown)):
        left, top = rng.integers(20, size=2)
        cut = photographs[place % 2].crop((left, top, left + 490, top + 380))
        jpeg, entropy = thumbnail(cut.resize((PICTURE_SIDE, 400)))
        kept["jpeg"].append(jpeg)
        kept["entropy"].append(entropy)
    kinds = [("sample_id", pa.string()), ("jpeg", pa.binary()), ("entropy", pa.binary())]
    pq.write_table(pa.table(kept, schema=pa.schema(kinds)), folder / "thumbnails.parquet")
