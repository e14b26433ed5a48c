import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image
from scipy import ndimage

from data.make_photo_shapes import draw_photo_shape, main, photo_shape_rows
from data.questions import KINDS, Question, ask, place
from data.scenes import COLORS, Item, Scene, background, draw_scene, render
from durian.samples import sample_id

SHIPPED = Path(__file__).parents[2] / "data" / "photo_shapes"


def item(shape: str, color: str, x: float, y: float) -> Item:
    return Item(shape, color, COLORS[color], x, y, 0.15, 0.15)


def scene(*items: Item, clutter: float = 0.0) -> Scene:
    return Scene(96, clutter, "gravel", (0.5, 0.5), (220, 220, 220), items)


def test_an_equal_seed_gives_equal_bytes_whatever_the_number_of_rows():
    assert photo_shape_rows(12, seed=5)[:6] == photo_shape_rows(6, seed=5)


def test_another_seed_gives_other_images():
    one, other = photo_shape_rows(6, seed=5), photo_shape_rows(6, seed=6)
    assert not {row.image for row in one} & {row.image for row in other}


@pytest.mark.parametrize("seed", range(5))
def test_background_contrast_and_fineness_rise_with_the_planted_clutter(seed):
    # Measured on the image, by standard deviation and mean step between neighbours, not read off
    # the recipe; the average of nine photographs at one place each.
    rng = np.random.default_rng(seed)
    places = {photo: tuple(rng.random(2)) for photo in ("brick", "grass", "gravel", "chelsea")}
    contrast, fineness = [], []
    for clutter in (0.0, 0.25, 0.5, 0.75, 1.0):
        grays = [
            np.asarray(background(replace(scene(clutter=clutter), photo=p, crop=c)).convert("L"))
            for p, c in places.items()
        ]
        contrast.append(np.mean([gray.std() for gray in grays]))
        fineness.append(np.mean([np.abs(np.diff(gray.astype(float))).mean() for gray in grays]))
    assert contrast == sorted(contrast) and contrast[0] == 0
    assert fineness == sorted(fineness)


def test_shapes_fade_with_the_planted_clutter():
    # Opacity is 1 - 0.75 c: how far the centre of a black square is from its background.
    def shown(clutter: float) -> float:
        drawn = scene(item("rectangle", "black", 0.5, 0.5), clutter=clutter)
        ink = np.asarray(render(drawn), float)[48, 48]
        paper = np.asarray(background(drawn), float)[48, 48]
        return float(np.mean((paper - ink) / (paper - 20)))

    for clutter in (0.0, 0.4, 1.0):
        assert shown(clutter) == pytest.approx(1 - 0.75 * clutter, abs=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_the_picture_alone_gives_number_and_colours_of_the_shapes(seed):
    # On a flat background the items are the connected regions that differ from it.
    rng = np.random.default_rng(seed)
    drawn = draw_scene(rng, 1 + seed % 4, clutter=0.0)
    pixels = np.asarray(render(drawn), float)
    regions, count = ndimage.label(np.abs(pixels - drawn.flat).sum(axis=2) > 60)
    assert count == len(drawn.items)
    names = list(COLORS)
    seen = set()
    for region in range(1, count + 1):
        ink = np.median(pixels[regions == region], axis=0)
        seen.add(names[int(np.argmin([np.abs(ink - COLORS[name]).sum() for name in names]))])
    assert seen == {one.color for one in drawn.items}


@pytest.mark.parametrize(
    ("shape", "share"), [("circle", np.pi / 4), ("rectangle", 1.0), ("triangle", 0.5)]
)
def test_a_shape_fills_its_share_of_its_box(shape, share):
    pixels = np.asarray(render(scene(item(shape, "black", 0.5, 0.5))).convert("L"))
    side = 0.3 * 96  # twice the half width
    assert (pixels < 120).sum() / side**2 == pytest.approx(share, abs=0.07)


def answer_from_scene(drawn: Scene, question: Question) -> str:
    """The right answer, worked out anew from the question's words."""
    words = question.problem.rstrip("?").split()
    named = [one for one in drawn.items if one.color in words or one.shape in words]
    if question.kind == "count":
        return str(len(drawn.items))
    if question.kind == "yes_no":
        return "yes" if named else "no"
    if question.kind == "position":
        one, other = (
            next(i for i in drawn.items if i.color == word) for word in words if word in COLORS
        )
        across, down = one.x - other.x, one.y - other.y
        if abs(across) > abs(down):
            return "right" if across > 0 else "left"
        return "below" if down > 0 else "above"
    (one,) = named or drawn.items  # a question means one item only
    return one.shape if question.kind == "shape" else one.color


def test_every_answer_follows_from_the_scene():
    seen = set()
    for row in range(300):
        drawn = draw_photo_shape(seed=9, row=row)
        question = drawn.question
        assert question.answer == answer_from_scene(drawn.scene, question), question
        assert question.answer in question.thoughts
        seen.add(question.kind)
    assert seen == set(KINDS)


def test_a_thought_about_a_count_names_as_many_items_as_it_answers():
    drawn = scene(item("circle", "red", 0.7, 0.5), item("triangle", "blue", 0.2, 0.5))
    question = ask(drawn, "count", np.random.default_rng(0))
    assert question is not None
    assert question.thoughts["2"] == "Left to right: blue triangle, red circle."
    assert [thought.count(",") + 1 for thought in question.thoughts.values()] == [1, 2, 3, 4]


def test_a_place_between_two_directions_is_not_asked_for():
    # Across 0.3, down 0.2: neither is twice the other.
    one, other = item("circle", "red", 0.2, 0.2), item("circle", "blue", 0.5, 0.4)
    assert place(one, other) is None
    assert ask(scene(one, other), "position", np.random.default_rng(0)) is None


def test_the_colour_of_a_shape_that_stands_twice_is_not_asked_for():
    drawn = scene(item("circle", "red", 0.2, 0.2), item("circle", "blue", 0.7, 0.7))
    assert ask(drawn, "colour", np.random.default_rng(0)) is None


def test_the_command_writes_what_datasets_decodes(tmp_path):
    out = tmp_path / "rows.parquet"
    main(["--rows", "3", "--seed", "4", "--out", str(out)])
    loaded = load_dataset(
        "parquet", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.column_names == ["problem", "answer", "images", "clutter", "kind"]
    assert isinstance(loaded[0]["images"][0], Image.Image)
    assert loaded[2]["problem"] == photo_shape_rows(3, seed=4)[2].problem


def shipped_ids(name: str) -> list[str]:
    rows = pq.read_table(SHIPPED / name).to_pylist()
    return [
        sample_id(row["problem"], row["answer"], [image["bytes"] for image in row["images"]])
        for row in rows
    ]


def test_shipped_test_and_train_share_no_sample():
    train, test = shipped_ids("train.parquet"), shipped_ids("test.parquet")
    assert (len(train), len(test)) == (1200, 600)
    assert len({*train, *test}) == 1800


@pytest.mark.parametrize(("name", "seed"), [("train.parquet", 1), ("test.parquet", 2)])
def test_shipped_rows_are_what_the_command_makes(name, seed):
    # Pixels within 2 levels: another libjpeg may round otherwise.
    shipped = pq.read_table(SHIPPED / name).slice(0, 20).to_pylist()
    for row, made in zip(shipped, photo_shape_rows(20, seed), strict=True):
        assert (row["problem"], row["answer"]) == (made.problem, made.answer)
        assert {"clutter": row["clutter"], "kind": row["kind"]} == made.extra
        one, other = (
            np.asarray(Image.open(io.BytesIO(data)), int)
            for data in (row["images"][0]["bytes"], made.image)
        )
        assert np.abs(one - other).max() <= 2
