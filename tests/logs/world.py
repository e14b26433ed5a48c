"""Six questions about five images, to be logged by whichever program, and the command."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from durian.samples import sample_id
from tests.cli.in_process import durian

# Rows 2 and 3 ask the same of two images; their references differ. Row 5 is row 0 again.
ASKED = [
    ("<image>What is 1 + 1, as the image has it?", "2"),
    ("<image>Name the shape.\nOne word.", "circle"),
    ("<image>What color is it?", "red"),
    ("<image>What color is it?", "blue"),
    ("<image>What color is it, and what is 1 + 1?", "red, 2"),
    ("<image>What is 1 + 1, as the image has it?", "2"),
]


def picture(levels: int) -> bytes:
    """A PNG of so many gray levels, each as often: log2 of them bits."""
    file = io.BytesIO()
    gray = (np.arange(840) % levels).astype(np.uint8).reshape(20, 42)
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(levels) for levels in (1, 2, 3, 4, 5, 1)]
IDS = [sample_id(*asked, [image]) for asked, image in zip(ASKED, PICTURES, strict=True)]


def write_dataset(folder: Path) -> Path:
    """The six rows, five samples, in a Parquet file with a column `name`."""
    path = folder / "data.parquet"
    problems, answers = zip(*ASKED, strict=True)
    names = [f"n{row}" for row in range(len(ASKED))]
    rows = {"problem": problems, "answer": answers, "images": [[p] for p in PICTURES]}
    pl.DataFrame({**rows, "name": names}).write_parquet(path)
    return path


def prompt(row: int) -> str:
    """A problem as verl logs its prompt: special tokens gone, the template's words left."""
    problem = ASKED[row][0].replace("<image>", "")
    return f"system\nYou are helpful.\nuser\n{problem}\nassistant\n"


def said(answer: str) -> str:
    """A completion in the asked format: 0.1 of the reward is for that."""
    return f"<think>so</think> \\boxed{{{answer}}}"


def write_lines(path: Path, lines: list[dict]) -> Path:
    """Lines of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def imported(logs: Path, form: str, dataset: Path, out: Path, *args: object) -> tuple[int, str]:
    """Exit code of `durian import`, and what it said on either stream."""
    code, stdout, stderr = durian(
        "import", logs, "--from", form, "--dataset", dataset, "--out", out, *args
    )
    return code, stdout + stderr


def table(run: Path) -> pl.DataFrame:
    """The difficulty table of a run."""
    return pl.read_parquet(run / "difficulty.parquet")


def manifest(run: Path) -> dict:
    """The manifest of a run."""
    return json.loads((run / "manifest.json").read_text())
