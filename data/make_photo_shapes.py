"""Write the photo-shapes set: questions about shapes drawn over photographs.

    python -m data.make_photo_shapes --rows 600 --seed 2 --out data/photo_shapes/test.parquet

Equal seed, equal rows, byte for byte, as long as Pillow and scikit-image are the same versions.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.parquet_images import Row, write_rows
from data.questions import KINDS, Question, ask
from data.scenes import Scene, draw_scene, encode, render

KIND_SHARES = (0.25, 0.25, 0.2, 0.15, 0.15)  # of KINDS
ITEM_SHARES = (0.4, 0.25, 0.2, 0.15)  # of 1, 2, 3, 4 items


@dataclass(frozen=True)
class PhotoShape:
    """One row before it is drawn: the scene, and the question about it."""

    scene: Scene
    question: Question


def draw_photo_shape(seed: int, row: int) -> PhotoShape:
    """Row `row` of the set with that seed; it depends on nothing else, least of all on the size."""
    rng = np.random.default_rng([seed, row])
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    clutter = round(float(rng.random()), 4)
    while True:
        n_items = 1 + int(rng.choice(4, p=ITEM_SHARES))
        scene = draw_scene(rng, n_items, clutter)
        question = ask(scene, kind, rng)
        if question is not None:
            return PhotoShape(scene, question)


def photo_shape_rows(rows: int, seed: int) -> list[Row]:
    """The first `rows` rows of the set with that seed."""
    return [_row(draw_photo_shape(seed, row), row) for row in range(rows)]


def _row(drawn: PhotoShape, row: int) -> Row:
    return Row(
        problem=f"<image>{drawn.question.problem}",
        answer=drawn.question.answer,
        image=encode(render(drawn.scene)),
        path=f"{row:06d}.jpg",
        extra={"clutter": drawn.scene.clutter, "kind": drawn.question.kind},
    )


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and write one Parquet file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True, help="1 and 2 are the shipped files'")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    rows = photo_shape_rows(args.rows, args.seed)
    write_rows(rows, args.out, {"clutter": pa.float64(), "kind": pa.string()})
    print(f"{args.out}: {len(rows)} rows, {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
