"""Write a part of easy-VQA (Victor Zhou, MIT) as Parquet with embedded images.

    python -m data.make_easy_vqa --split test --rows 400 --seed 1 --out data/easy_vqa/test.parquet

Equal seed, equal rows.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import numpy as np

from data.parquet_images import Row, write_rows

# The shipped rows come from the last images of the training part, so that a policy taught on the
# first ones has seen none of them.
FIRST_SHIPPED_IMAGE = {"train": 3200, "test": 0}


def questions_by_image(split: str) -> dict[int, list[tuple[str, str]]]:
    """(question, answer) pairs of every image of one part of easy-VQA, `train` or `test`."""
    text = (files("easy_vqa") / "data" / split / "questions.json").read_text("utf-8")
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for question, answer, image in json.loads(text):
        found[image].append((question, answer))
    return dict(found)


def image_bytes(split: str, image: int) -> bytes:
    """The PNG file of one image."""
    return (files("easy_vqa") / "data" / split / "images" / f"{image}.png").read_bytes()


def easy_vqa_rows(split: str, rows: int, seed: int) -> list[Row]:
    """`rows` different questions, drawn by lot.

    Raises:
        ValueError: more rows than there are questions.
    """
    first = FIRST_SHIPPED_IMAGE[split]
    # Several questions of an image can read alike; each is kept once.
    pairs = [
        (image, question, answer)
        for image, asked in sorted(questions_by_image(split).items())
        if image >= first
        for question, answer in dict.fromkeys(asked)
    ]
    if rows > len(pairs):
        raise ValueError(f"rows is {rows}; easy-VQA {split} has {len(pairs)} to draw from")
    order = np.random.default_rng(seed).permutation(len(pairs))[:rows]
    return [
        Row(f"<image>{question}", answer, image_bytes(split, image), f"{image}.png")
        for image, question, answer in (pairs[index] for index in order)
    ]


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and write one Parquet file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=sorted(FIRST_SHIPPED_IMAGE), required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    rows = easy_vqa_rows(args.split, args.rows, args.seed)
    write_rows(rows, args.out)
    print(f"{args.out}: {len(rows)} rows, {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
