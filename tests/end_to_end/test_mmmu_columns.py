"""300 rows in MMMU's columns (two images and options a row) through the shipped policy."""

import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from durian_cli.app import app

ROWS = 300
COLOURS = ["red", "green", "blue", "yellow"]


@pytest.fixture
def dataset(tmp_path):
    images = pq.read_table("data/photo_shapes/test.parquet", columns=["images"])["images"]
    encoded = [images[n][0]["bytes"].as_py() for n in range(ROWS)]
    rows = [
        {
            "id": f"own_{n}",
            "question": f"{n}: what color is the circle, in <image 1> or in <image 2>?",
            "options": str(COLOURS),  # as MMMU spells a list
            "answer": "ABCD"[n % 4],
            "image_1": {"bytes": encoded[n], "path": None},
            "image_2": {"bytes": encoded[(n + 1) % ROWS], "path": None},
            "image_3": None,
        }
        for n in range(ROWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mmmu.parquet")
    return tmp_path / "mmmu.parquet"


def test_every_row_is_asked_with_both_images_and_its_options(dataset, tmp_path):
    run = tmp_path / "run"
    shown = CliRunner().invoke(
        app,
        ["profile", str(dataset), "--problem-column", "question", "--options-column", "options",
         "--model", "data/tiny_policy", "--engine", "transformers", "--rollouts", "1",
         "--max-tokens", "4", "--out", str(run), "--json"],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)
    assert result["counts"]["failed"] == 0
    assert result["dataset"]["read"]["images"] == ["image_1", "image_2", "image_3"]
    table = pl.read_parquet(run / "difficulty.parquet")
    assert len(table) == ROWS and set(table["n_images"]) == {2}
    assert table["problem"][0] == (
        "0: what color is the circle, in <image> or in <image>?\n"
        "A. red\nB. green\nC. blue\nD. yellow"
    )
    assert table["pixel_entropy"].null_count() == table["mean_logprob"].null_count() == 0
