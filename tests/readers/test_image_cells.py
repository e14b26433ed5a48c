"""Every way in which a cell holds an image, and what is said of those that hold none."""

import base64
import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.image_cells import image_cells, looks_like_image, read_image
from durian.readers.image_files import ImageFiles
from durian.samples import sample_id


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (10, 200, 30)).save(file, kind)
    return file.getvalue()


PNG = encoded("PNG")
BASE64 = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(PNG)
    Path("b.png").write_bytes(encoded("PNG") + b"b")


def images(cell: object) -> list[tuple[bytes, str | None]]:
    files = ImageFiles(Path(), [Path()])
    fields = (read_image(value, files) for value in image_cells(cell))
    return [(field.value, field.error) for field in fields]


@pytest.mark.parametrize(
    "cell",
    [
        PNG, "a.png", URI, URI.encode(), BASE64, BASE64.encode(), f"{BASE64[:76]}\n{BASE64[76:]}",
        list(PNG), {"bytes": PNG, "path": None}, {"bytes": None, "path": "a.png"},
        {"bytes": list(PNG)}, {"bytes": BASE64}, {"path": "a.png"}, {"image": "a.png"},
        {"image": {"bytes": PNG}}, {"url": URI}, {"image_url": {"url": URI}}, [PNG], ["a.png"],
        [list(PNG)], [{"path": "a.png"}], '["a.png"]', "['a.png']", '{"path": "a.png"}',
        json.dumps([URI]),
    ],
    ids=lambda cell: repr(cell)[:40],
)  # fmt: skip
def test_an_image_is_read_in_every_dress(cell):
    assert images(cell) == [(PNG, None)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_base64_of_every_usual_kind_is_known(kind):
    data = encoded(kind)
    assert images(base64.b64encode(data).decode()) == [(data, None)]


@pytest.mark.parametrize(
    "cell", [None, "", "  ", [], {"bytes": None, "path": None}, "[]"], ids=repr
)
def test_an_empty_cell_holds_no_image(cell):
    assert images(cell) == []


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ({"frame": 3, "camera": "x"},
         "image is a dict of camera, frame; it needs bytes, path, image or url"),
        ([{"bytes": None, "path": None}], "image is a dict of bytes, path; it holds nothing"),
        ({"url": "https://example.org/x.png"}, "image is a URL; name its folder with --image-root"),
        ([None], "image is null"),
        ([1.5], "image is of type float, not bytes or a path"),
        (list(range(250, 270)), "image is a list of numbers that are no bytes"),
        ("data:image/png;base64,!!!", "image is a data URI that cannot be decoded"),
        ("iVBORw0KGgo.png", "image not found: iVBORw0KGgo.png"),
        ("[1].png", "image not found: [1].png"),
        ("x" * 5000, f"image cannot be read: {'x' * 97}... (File name too long)"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_holds_no_image_is_said(cell, error):
    assert images(cell) == [(b"", error)]


def test_an_error_is_no_longer_than_300_characters():
    rows = [{"problem": "p", "answer": "1", "images": [f"{'x' * 90}{i}.png" for i in range(99)]}]
    Path("a.jsonl").write_text(json.dumps(rows[0]))
    [sample] = opened("a.jsonl").samples()
    assert sample.error is not None and len(sample.error) == 300


def test_a_list_of_bytes_in_parquet_is_one_image():
    column = pa.array([list(PNG), list(PNG)], pa.list_(pa.uint8()))
    pq.write_table(
        pa.table({"problem": ["p", "q"], "answer": ["1", "2"], "image": column}), "p.parquet"
    )
    assert [sample.images for sample in opened("p.parquet").samples()] == [(PNG,), (PNG,)]


def test_the_id_is_of_the_encoded_bytes_whatever_their_dress():
    rows = [{"problem": "p", "answer": "1", "image": cell} for cell in (URI, BASE64, "a.png")]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ids = {sample.sample_id for sample in opened("a.jsonl").samples()}
    assert ids == {sample_id("p", "1", [PNG])}


def test_only_content_and_no_path_makes_a_column_one_of_images():
    assert all(
        map(looks_like_image, (PNG, URI, BASE64, [PNG], {"bytes": PNG, "path": None}, list(PNG)))
    )
    assert not any(
        map(looks_like_image, ("a.png", "a word", 7, None, {"a": 1}, b"bytes of a blob", [1] * 20))
    )


# Several columns


def opened(name: str, **options) -> SampleReader:
    return open_dataset(DatasetConfig(dataset=name, **options))


def write(name: str, *rows: dict) -> str:
    Path(name).write_text("\n".join(json.dumps({"answer": "1", **row}) for row in rows))
    return name


A, B = PNG, PNG + b"b"


def test_numbered_columns_are_found_and_their_marks_placed():
    name = write(
        "a.jsonl",
        {"problem": "<image 2> or <image 1>?", "image_1": "a.png", "image_2": "b.png"},
        {"problem": "<image1>, then <image_2>; <image 1> again", "image_1": "a.png",
         "image_2": "b.png"},
        {"problem": "only <image 2>", "image_1": "a.png", "image_2": "b.png"},
        {"problem": "none", "image_1": "a.png", "image_2": "b.png"},
        {"problem": "the third: <image 3>", "image_1": "a.png", "image_3": "b.png"},
        {"problem": "one too many: <image 3>", "image_1": "a.png", "image_2": "b.png"},
        {"problem": "<image> and <image 1>", "image_1": "a.png"},
    )  # fmt: skip
    reader = opened(name)
    found = [(s.problem, s.images, s.question_error) for s in reader.samples()]
    assert reader.described["images"] == ["image_1", "image_2", "image_3"]
    assert found == [
        ("<image> or <image>?", (B, A), None),
        ("<image>, then <image>; image 1 again", (A, B), None),
        ("<image>only <image>", (A, B), None),  # the one without a mark comes first
        ("none", (A, B), None),
        ("<image>the third: <image>", (A, B), None),
        ("one too many: <image 3>", (A, B), "the problem marks image 3, and the row has 2 images"),
        ("<image> and <image 1>", (A,), "the problem holds both <image> and numbered marks"),
    ]


def test_marks_that_count_from_0_are_placed():
    name = write(
        "a.jsonl",
        {"problem": "<image_1> beside <image_0>", "images": ["a.png", "b.png"]},
        {"problem": "<image0> alone", "image_0": "a.png", "image_1": "b.png"},
        {"problem": "<image_00>", "image_0": "b.png", "image_1": None},
        {"problem": "<image_0> and <image_2>", "images": ["a.png", "b.png"]},
        {"problem": "<image_2> of two", "images": ["a.png", "b.png"]},
        {"problem": "<image_0> of none"},
    )
    found = [(s.problem, s.images, s.question_error) for s in opened(name).samples()]
    assert found == [
        ("<image> beside <image>", (B, A), None),
        ("<image><image> alone", (B, A), None),  # the one without a mark comes first
        ("<image>", (B,), None),
        ("<image_0> and <image_2>", (A, B), "the problem marks image 2, and the row has 2 images"),
        ("<image><image> of two", (A, B), None),  # no mark of 0: from 1, as MMMU counts
        ("<image_0> of none", (), "the problem marks image 0, and the row has 0 images"),
    ]


def test_an_image_between_tags_in_the_text_is_not_asked_blind():
    name = write("a.jsonl", {"problem": "<img>a.png</img>Which?", "answer": "A"})
    [sample] = opened(name).samples()
    assert sample.question_error == (
        "the problem names an image between <img> and </img>; name it in a column of images"
    )
    name = write("a.jsonl", {"problem": "<img>a.png</img>Which?", "answer": "A", "image": "a.png"})
    [sample] = opened(name).samples()
    assert (sample.question_error, len(sample.images)) == (None, 1)


def test_the_id_does_not_hang_on_where_the_marks_stand():
    name = write(
        "a.jsonl", {"problem": "<image 2> <image 1>", "image_1": "a.png", "image_2": "b.png"}
    )
    [sample] = opened(name).samples()
    assert sample.sample_id == sample_id("<image 2> <image 1>", "1", [A, B])


@pytest.mark.parametrize("named", ["left,right", " left , right ", "left,r*", "[lr]*"])
def test_several_columns_are_named_by_a_list_or_a_pattern(named):
    name = write("a.jsonl", {"problem": "p", "left": "a.png", "right": ["b.png"]})
    [sample] = opened(name, images_column=named).samples()
    assert sample.images == (A, B)


def test_a_pattern_takes_its_columns_by_number():
    row = {f"pic{n}": "b.png" if n == 10 else "a.png" for n in (10, 9)}
    [sample] = opened(write("a.jsonl", {"problem": "p", **row}), images_column="pic*").samples()
    assert sample.images == (A, B)


def test_a_column_of_a_list_that_is_not_there_is_told():
    name = write("a.jsonl", {"problem": "p", "left": "a.png"})
    with pytest.raises(DatasetError, match="no column 'right'"):
        opened(name, images_column="left,right")


def test_a_list_in_a_csv_cell_is_read():
    with open("a.csv", "w", newline="") as file:
        rows = [["problem", "answer", "images"], ["p", "1", '["a.png", "b.png"]'], ["q", "1", ""]]
        csv.writer(file).writerows(rows)
    assert [sample.images for sample in opened("a.csv").samples()] == [(A, B), ()]


# Columns of images that are not read


def test_images_that_would_not_be_read_are_refused_by_the_column_s_name():
    rows = {"problem": ["p"], "answer": ["1"], "scan": [{"bytes": PNG, "path": None}]}
    pq.write_table(pa.table(rows), "a.parquet")
    with pytest.raises(DatasetError) as caught:
        opened("a.parquet")
    assert str(caught.value) == (
        "a.parquet: no column 'images' (found: problem, answer, scan); pass --images-column scan"
    )
    assert [s.images for s in opened("a.parquet", images_column="scan").samples()] == [(PNG,)]
    blind = opened("a.parquet", images_column="")
    assert [s.images for s in blind.samples()] == [()]
    assert blind.said == ["rows: images in scan are not read; --images-column scan reads them too"]


def test_a_column_is_of_images_by_its_type_where_the_first_rows_have_none():
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    empty = pa.array([None], kind)
    table = pa.table({"problem": ["p"], "answer": ["1"], "scan": empty})
    pq.write_table(table, "a.parquet")
    with pytest.raises(DatasetError, match="pass --images-column scan$"):
        opened("a.parquet")
    with pa.OSFile("a.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DatasetError, match="pass --images-column scan$"):
        opened("a.arrow")
    several = pa.array([None], pa.list_(kind))
    pq.write_table(table.append_column("pages", several).append_column("image", empty), "b.parquet")
    assert opened("b.parquet").described["notes"] == [
        "images in scan, pages are not read; --images-column scan,pages reads them too"
    ]


def test_a_group_of_columns_that_another_one_hides_is_said():
    name = write("a.jsonl", {"problem": "p", "image": URI, "image_1": URI})
    assert opened(name).described["notes"] == [
        "images in image_1 are not read; --images-column image,image_1 reads them too"
    ]
    # Each row from the first group that it has: nothing is hidden.
    rows = {"problem": "p", "image": URI, "images": []}, {"problem": "q", "images": [URI]}
    reader = opened(write("b.jsonl", *rows))
    assert reader.described["notes"] == []
    assert [sample.images for sample in reader.samples()] == [(A,), (A,)]


def test_an_image_under_a_key_that_says_nothing_of_it_is_named_with_its_path():
    name = write("a.jsonl", {"problem": "p", "shot": {"src": BASE64}})
    with pytest.raises(DatasetError, match="pass --images-column shot.src$"):
        opened(name)
    assert [s.images for s in opened(name, images_column="shot.src").samples()] == [(A,)]
    name = write("a.jsonl", {"problem": "p", "image": {"src": BASE64}})
    assert opened(name).described["notes"] == [
        "images in image.src are not read; --images-column image.src reads them too"
    ]


def test_further_images_beside_those_that_are_read_are_said():
    name = write("a.jsonl", {"problem": "p", "image": "a.png", "overlay": URI})
    reader = opened(name)
    [sample] = reader.samples()
    assert sample.images == (PNG,) and "overlay" not in sample.cells
    assert reader.said == [
        "rows: images in overlay are not read; --images-column image,overlay reads them too"
    ]
