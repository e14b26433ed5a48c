"""A measure of one file, registered: it is a column, a group, a curve, on the page and in help."""

import io
import json
import os
import subprocess
import sys

import polars as pl
import pytest
from PIL import Image

from durian.samples import sample_id

COMMAND = """
from durian.measures import MEASURES
from tests.end_to_end.toy_measure import TOY
MEASURES[TOY.name] = TOY
from durian_cli.app import main
main()
"""
LEVELS = [10 * k for k in range(24)]  # of gray images, from black to nearly white


def durian(*args):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, args)],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def gray(level):
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """Run folder and terminal text of a profile whose perceptual groups stand on the toy.

    The policy is right twice on the bright half, once on the dark half. The last row's image is
    damaged.
    """
    folder = tmp_path_factory.mktemp("toy")
    images = [*map(gray, LEVELS), b"damaged"]
    rows = [
        {"problem": f"What is it in {k}?", "answer": "2", "images": [image]}
        for k, image in enumerate(images)
    ]
    pl.DataFrame(rows).write_parquet(folder / "rows.parquet")
    with (folder / "script.jsonl").open("w") as script:
        for k, row in enumerate(rows):
            key = sample_id(row["problem"], row["answer"], row["images"])
            for number in range(2):
                right = k >= 12 or number == 0
                text = f"<think>so</think> \\boxed{{{2 if right else 3}}}"
                rollout = {"sample_id": key, "rollout": number, "completion": text, "n_tokens": 4,
                           "sum_logprob": -1.0 - k, "finish_reason": "stop"}  # fmt: skip
                script.write(json.dumps(rollout) + "\n")
    said = durian(
        "profile", folder / "rows.parquet", "--out", folder / "run", "--rollouts", 2,
        "--measures", "pixel,toy,confidence", "--perceptual", "brightness",
        "--engine", "scripted", "--model", folder / "script.jsonl", "--bins", 2,
    )  # fmt: skip
    return folder / "run", said


def test_it_is_two_columns_and_the_groups(profiled):
    table = pl.read_parquet(profiled[0] / "difficulty.parquet")
    assert table["brightness"].to_list() == [*map(float, LEVELS), None]
    assert table["tone"].to_list() == ["dark"] * 13 + ["bright"] * 11 + [None]  # from 130 on
    assert table["pixel_entropy"].to_list() == [0.0] * 24 + [None]
    # Dark is hard. Quartiles of 0, 10, ... 230: 57.5 and 172.5, so 6, 12 and 6.
    assert table["perceptual_group"].to_list() == (
        ["hard"] * 6 + ["medium"] * 12 + ["easy"] * 6 + [None]
    )


def test_it_is_a_curve_a_sentence_and_on_the_cards(profiled):
    run, said = profiled
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert len(summary["measures"]["brightness"]["curve"]) > 1
    assert summary["measures"]["brightness"]["harder"] == "lower"
    assert "tone" not in summary["measures"]
    # All of the errors lie at the dark end.
    assert "have low toy brightness (the hard group) it is wrong in 50 %" in " ".join(said.split())
    page = (run / "report" / "index.html").read_text()
    assert "brightness 0 levels" in page and "tone dark" in page
    assert '<th scope="row">toy brightness</th>' in page


def test_it_is_in_the_help_and_in_the_schema():
    assert "toy, how bright the images are" in durian("profile", "--help")
    columns = {row["column"]: row for row in json.loads(durian("schema", "--json"))["difficulty"]}
    assert columns["brightness"]["meaning"] == "mean gray level"
    assert (columns["brightness"]["unit"], columns["tone"]["type"]) == ("levels", "string")
