"""Near-duplicates, conflicts and leaks of a whole profile: photographs of 32 pixels, no model."""

import io
import json
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.table.conflicts import NEEDED, conflicts
from tests.cli.in_process import durian

pytestmark = pytest.mark.usefixtures("no_figures")

SCHEMA = pa.schema({"problem": pa.string(), "answer": pa.string(), "image": pa.binary()})


def photograph(seed: int) -> Image.Image:
    grid = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((32, 32), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)  # type: ignore[arg-type]
    return file.getvalue()


def frames(*images: Image.Image) -> bytes:
    return encoded(images[0], "GIF", save_all=True, append_images=images[1:], duration=100)


def write(path, rows: list[tuple[str, str, bytes]]):
    table = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(table, schema=SCHEMA), path)
    return path


def see_through(image: Image.Image) -> Image.Image:
    """With a hidden second picture, fully transparent, over the right half's white."""
    shown = image.convert("RGBA")
    shown.paste((0, 0, 0, 0), (16, 0, 32, 32))
    return shown


def over_white(image: Image.Image) -> Image.Image:
    shown = image.copy()
    shown.paste((255, 255, 255), (16, 0, 32, 32))
    return shown


ROWS = [
    # Two files of one photograph, and a smaller one: the second has another answer.
    ("what is it?", "a cat", encoded(photograph(1))),
    ("What is it", "a dog", encoded(photograph(1), "JPEG", quality=80)),
    ("where is it?", "left", encoded(photograph(1).resize((24, 24)))),
    # The first frame counts, and what is transparent is white.
    ("what moves?", "no", frames(photograph(2), photograph(3))),
    ("what moves?", "No.", frames(photograph(2), photograph(4))),
    ("what half?", "left", encoded(see_through(photograph(5)))),
    ("what half?", "left", encoded(over_white(photograph(5)))),
    # Constant images: two nearly alike, one not.
    ("what level?", "1", encoded(Image.new("L", (1, 1), 30))),
    ("what level?", "2", encoded(Image.new("L", (9, 4), 33))),
    ("what level?", "3", encoded(Image.new("L", (16, 16), 220))),
    # A photograph that is turned is another.
    ("what is it?", "a cat", encoded(photograph(1).transpose(Image.Transpose.ROTATE_90))),
    ("what is it?", "a cat", b"no image"),
]
TOGETHER = [{0, 1, 2}, {3, 4}, {5, 6}, {7, 8}, {9}, {10}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("duplicates")
    write(folder / "train.parquet", ROWS)
    held = ("<b>of what kind?</b>", "an animal", encoded(photograph(1), "JPEG", quality=60))
    write(folder / "test.parquet", [("what?", "x", encoded(photograph(8))), held])
    return folder


@pytest.fixture(scope="module")
def run(files):
    out = files / "run"
    against = ("--against", files / "test.parquet", "--against", files / "train.parquet")
    code, _, err = durian(
        "profile", files / "train.parquet", "--measures", "pixel,duplicates", *against, "--out", out
    )
    assert code == 0, err
    return out


def table_of(run) -> pl.DataFrame:
    return pl.read_parquet(run / "difficulty.parquet")


def test_nearly_the_same_images_share_a_cluster_and_no_others(run):
    names = table_of(run)["image_cluster"].to_list()
    assert names[-1] is None
    places = [{n for n, name in enumerate(names) if name == one} for one in dict.fromkeys(names)]
    assert places[:-1] == TOGETHER


def test_another_answer_to_the_same_question_is_a_conflict(run):
    # Rows 0 and 1; 3 and 4 mean the same; 7 and 8 are levels 30 and 33, which no one can tell.
    found = conflicts(table_of(run).select(NEEDED))
    assert np.flatnonzero(found).tolist() == [0, 1, 7, 8]
    told = json.loads((run / "manifest.json").read_text())["duplicates"]
    assert told == {"clusters": 4, "samples": 9, "conflicts": 4}


def test_names_do_not_depend_on_the_order_of_rows_or_on_parts(files, run, tmp_path):
    back = write(tmp_path / "back.parquet", ROWS[::-1])
    out = tmp_path / "run"
    told = ("--measures", "duplicates", "--part-size", "5", "--out", out)
    assert durian("profile", back, *told)[0] == 0
    one, other = (
        dict(table_of(of).select("sample_id", "image_cluster").iter_rows()) for of in (run, out)
    )
    assert one == other


def test_samples_that_stand_in_another_set_are_named_with_both_pictures(run, files):
    name = files.name
    held = table_of(run)["also_in"].to_list()
    assert [one.split("; ")[0] for one in held[:3]] == [f"{name}/test.parquet: near"] * 3
    assert held[4] == f"{name}/train.parquet: bytes, words"
    sets = json.loads((run / "manifest.json").read_text())["against"]
    assert [(one["held"], one["by"]["near"], one["by"]["bytes"]) for one in sets] == [
        (3, 3, 0), (12, 0, 12),
    ]  # fmt: skip
    page = (run / "report" / "index.html").read_text()
    section = page[page.index('<section id="duplicates">') :].partition("</section>")[0]
    cards = re.findall(r"<article>.*?</article>", section, re.S)
    assert len(cards) == 3 + 12
    assert all(card.count("data:image/jpeg") == 2 for card in cards[:3])
    assert all("&lt;b&gt;of what kind?" in card for card in cards[:3])
    # Again from the tables alone, though the datasets are gone.
    (files / "test.parquet").rename(files / "gone.parquet")
    try:
        assert durian("report", run)[0] == 0
    finally:
        (files / "gone.parquet").rename(files / "test.parquet")
    assert (run / "report" / "index.html").read_text() == page


def test_another_set_that_has_changed_is_named_and_nothing_is_written(run, files):
    before = (run / "manifest.json").read_bytes()
    kept = (files / "test.parquet").read_bytes()
    write(files / "test.parquet", [("other", "y", encoded(photograph(9)))])
    against = ("--against", files / "test.parquet", "--against", files / "train.parquet")
    code, _, err = durian(
        "profile", files / "train.parquet", "--measures", "pixel,duplicates", *against, "--out", run
    )
    (files / "test.parquet").write_bytes(kept)
    assert code == 2
    assert "test.parquet" in err and "whose content is another now" in err
    assert (run / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "x"], "against is for duplicates: add that to --measures"),
        (["--measures", "duplicates", "--against", ""], "against is empty"),
        (["--measures", "duplicates", "--against", "x", "--against", "x"], "one dataset twice"),
        (["--measures", "duplicates", "--against", "/no/such.parquet"], "no such file"),
    ],
)
def test_a_set_that_cannot_be_compared_is_refused(files, tmp_path, options, said):
    if "--measures" not in options:
        options = ["--measures", "pixel", *options]
    code, _, err = durian("profile", files / "train.parquet", *options, "--out", tmp_path / "run")
    assert code == 2 and said in err
    assert not (tmp_path / "run").exists()


def test_a_split_of_a_folder_is_named_behind_it(files, tmp_path):
    options = ("--measures", "duplicates", "--against", f"{files}@test")
    code, _, err = durian("profile", files / "train.parquet", *options, "--out", tmp_path / "run")
    assert code == 0, err
    (told,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["against"]
    assert (told["split"], told["rows"], told["held"]) == ("test", 2, 3)
