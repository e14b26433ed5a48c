"""A dataset of six samples and its run, every number written by hand."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from durian.samples import sample_id
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_schema
from tests.manifests import manifest

RED, BLUE, GREEN = "#d02020", "#2030d0", "#20a040"
# colour of the image, problem, answer, completions: (answer, right), blind ones: right or not
SAMPLES: list[tuple[str, str, str, list[tuple[str | None, bool]], list[bool]]] = [
    (RED, "<image>What is $x$ where $x^2 = 4$?", "2", [("2", True)] * 4, [True, False]),
    (RED, "<image>Which colour?", "blue", [("red", False)] * 3 + [("blue", True)], [False, False]),
    (BLUE, "<image>Which shape?", "circle", [("square", False)] * 4, []),
    (GREEN, "<image>How many?", "3", [("1", False), ("2", False), ("4", False), (None, False)], []),
    (BLUE, "<image>Half of 1?", "\\frac{1}{2}", [("0.5", True)] * 2 + [("1", False)] * 2, []),
    (GREEN, "<image>Who is it?", "nobody", [("nobody", True)] * 3 + [("x", False)], []),
]
IDS = ["" for _ in SAMPLES]


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (400, 300), colour).save(file, "PNG")
    return file.getvalue()


def write_planted(folder: Path, *, model: str = "judge", improved: bool = False) -> Path:
    """Write rows.parquet and run/; `improved` answers all of samples 1 and 3 rightly, 0 wrongly."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [picture(colour) for colour, *_ in SAMPLES]
    pl.DataFrame(
        {
            "problem": [problem for _, problem, *_ in SAMPLES],
            "answer": [answer for _, _, answer, *_ in SAMPLES],
            "images": [[{"bytes": image, "path": None}] for image in images],
            "level": [1.0, 2.0, 3.0, 4.0, 5.0, None],
            "topic": ["sums", "looks", "looks", "sums", "sums", "looks"],
        }
    ).write_parquet(folder / "rows.parquet")
    run = folder / "run"
    run.mkdir()
    rows, said = list[dict[str, Any]](), list[dict[str, Any]]()
    for k, (_, problem, answer, given, blind) in enumerate(SAMPLES):
        IDS[k] = sample_id(problem, answer, [images[k]])
        if improved:
            given = {0: [("7", False)] * 4, 1: [("blue", True)] * 4, 3: [("3", True)] * 4}.get(
                k, given
            )
            blind = []
        right = [correct for _, correct in given]
        why = ("solved", "doubtful_label", "steady_wrong", "scattered", "mixed", "mixed")[k]
        rows.append(
            {
                "sample_id": IDS[k], "row": k, "copies": 1, "problem": problem, "answer": answer,
                "n_images": 1, "width": 400, "height": 300, "pixel_entropy": float(k),
                "mean_logprob": -0.1 * (k + 1), "rollouts": 4, "pass_rate": sum(right) / 4,
                "why": why, "label_doubt": 0.5 if k == 1 else 0.0,
                "perceptual_group": ("easy", "easy", "medium", "medium", "hard", "hard")[k],
                "reasoning_group": 5 - k if k < 5 else None,
            }
        )  # fmt: skip
        for number, (found, correct) in enumerate([*given, *(("2", b) for b in blind)]):
            said.append(
                {
                    "sample_id": IDS[k], "rollout": number % len(given), "answer": found,
                    "completion": f"<think>Sample {k}, draw {number}.</think> "
                    + ("" if found is None else f"\\boxed{{{found}}}") + " and so on" * 60,
                    "n_tokens": 10, "sum_logprob": -2.5, "reward": float(correct),
                    "correct": correct, "formatted": True, "blind": number >= len(given),
                    "finish_reason": "length" if found is None else "stop",
                }
            )  # fmt: skip
    for name, columns, held in (("difficulty", DIFFICULTY, rows), ("rollouts", ROLLOUTS, said)):
        schema = arrow_schema(columns)
        arrays = [pa.array([row.get(f.name) for row in held], f.type) for f in schema]
        # Two samples a row group, as parts of two.
        size = 2 if name == "difficulty" else 8
        pq.write_table(
            pa.table(arrays, schema=schema), run / f"{name}.parquet", row_group_size=size
        )
    further = {
        "sample_id": IDS, "image_id": [colour for colour, *_ in SAMPLES],
        "level": [1.0, 2.0, 3.0, 4.0, 5.0, None],
        "topic": ["sums", "looks", "looks", "sums", "sums", "looks"],
    }  # fmt: skip
    pq.write_table(pa.table(further), run / "columns.parquet", row_group_size=2)
    pl.DataFrame(schema={"sample_id": pl.String, "jpeg": pl.Binary}).write_parquet(
        run / "thumbnails.parquet"
    )
    made = manifest(config={"dataset": str(folder / "rows.parquet")},
                    model={"name": model, "fingerprint": "0"})  # fmt: skip
    (run / "manifest.json").write_text(json.dumps(made))
    return run
