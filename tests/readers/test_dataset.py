"""What is refused when a dataset is opened, and which rows come as errors."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.readers.dataset import open_dataset
from durian.samples import Sample, sample_id


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that messages hold the short paths that a user types


def read(dataset: str, **options) -> list[Sample]:
    return list(open_dataset(DatasetConfig(dataset=dataset, **options)).samples())


def write_jsonl(name: str, *rows: object) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    Path(name).write_bytes(b"\n".join(lines))


def write_parquet(name: str, **columns: list) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), name)


def row(number: int, **columns: object) -> dict:
    return {"problem": f"p{number}", "answer": str(number)} | columns


# Opening


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (("problem", "images", "solution"), {},
         "no column 'answer' (found: problem, images, solution); pass --answer-column solution"),
        (("question", "answer"), {},
         "no column 'problem' (found: question, answer); pass --problem-column question"),
        (("problem", "answer"), {"answer_column": "anser"},
         "no column 'anser' (found: problem, answer); pass --answer-column answer"),
        (("problem", "answer", "q"), {"id_column": "uuid"},
         "no column 'uuid' (found: problem, answer, q); pass --id-column COLUMN"),
        (("problem", "answer", "image"), {"images_column": "pics"},
         "no column 'pics' (found: problem, answer, image); pass --images-column image"),
        (("problem", "answer", "decoded_image"), {},
         "no column 'images' (found: problem, answer, decoded_image); "
         "pass --images-column decoded_image"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_missing_column_is_named_with_its_option_and_the_likely_one(
    columns, options, message, kind
):
    Path("data").mkdir()
    name = f"data/geometry.{kind}"
    if kind == "parquet":
        write_parquet(name, **{column: ["x"] for column in columns})
    elif kind == "csv":
        with open(name, "w", newline="") as file:
            csv.writer(file).writerows([columns, ["x"] * len(columns)])
    else:
        write_jsonl(name, dict.fromkeys(columns, "x"))
    with pytest.raises(DatasetError) as caught:
        open_dataset(DatasetConfig(dataset=name, **options))
    assert str(caught.value) == f"{name}: {message}"


def test_a_column_that_only_the_second_file_lacks_is_refused_too():
    write_parquet("data/a.parquet", problem=["p"], answer=["1"])
    write_parquet("data/b.parquet", problem=["p"])
    with pytest.raises(DatasetError, match=r"^data/b\.parquet: no column 'answer'"):
        open_dataset(DatasetConfig(dataset="data"))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("nowhere.parquet", "nowhere.parquet: no such file or folder; check the path"),
        ("/nowhere/at/all", "/nowhere/at/all: no such file or folder; check the path"),
        ("*.parquet", "*.parquet: no file matches; check the pattern"),
        ("notes.txt", "notes.txt: not a kind of file that can be read; "
         "pass .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files"),
        ("empty", "empty: no .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files in this "
         "folder; pass one that holds some"),
        ("mixed", "mixed: files of several kinds (.csv, .jsonl); "
         "pass a glob for those to read, such as 'mixed/**/*.jsonl'"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_said_in_one_line(dataset, message):
    Path("notes.txt").write_text("x")
    Path("empty").mkdir()
    write_jsonl("mixed/a.jsonl", row(0))
    Path("mixed/b.csv").write_text("problem,answer\n")
    with pytest.raises(DatasetError) as caught:
        open_dataset(DatasetConfig(dataset=dataset))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "kind"), [("a.parquet", "Parquet"), ("a.arrow", "Arrow"), ("a.tar", "tar")]
)
def test_a_damaged_file_is_named(name, kind):
    Path(name).write_bytes(b"ARROW1 this is not what the name says" * 40)
    with pytest.raises(DatasetError, match=rf"^{name}: cannot be read as {kind}: .+") as caught:
        read(name)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_that_is_damaged_inside_is_named():
    write_parquet("a.parquet", problem=[f"p{i}" * 50 for i in range(500)], answer=["1"] * 500)
    data = bytearray(Path("a.parquet").read_bytes())
    data[4:400] = b"\xff" * 396  # the first pages; the footer stays whole
    Path("a.parquet").write_bytes(data)
    with pytest.raises(DatasetError, match=r"^a\.parquet: cannot be read as Parquet: "):
        read("a.parquet")


def test_text_that_is_no_json_at_all_is_refused():
    Path("a.jsonl").write_text("problem,answer\n1,2\n")
    with pytest.raises(DatasetError, match=r"^a\.jsonl: neither one JSON object a line nor"):
        open_dataset(DatasetConfig(dataset="a.jsonl"))


def test_a_slice_of_a_split_is_refused_for_the_option_that_does_it():
    with pytest.raises(DatasetError) as caught:
        open_dataset(DatasetConfig(dataset="org/geo", split="train[:9]"))
    assert str(caught.value) == (
        "org/geo: split 'train[:9]' is a slice; pass a whole split and --limit"
    )


def test_the_name_is_what_a_person_calls_the_dataset(tmp_path):
    write_jsonl("data/geometry.jsonl", row(0))
    names = {
        dataset: open_dataset(DatasetConfig(dataset=dataset)).name
        for dataset in ("data", f"{tmp_path}/data/", "data/geometry.jsonl", "data/*.jsonl")
    }
    assert list(names.values()) == ["data", "data", "data/geometry.jsonl", "data/*.jsonl"]


# Splits


def test_a_glob_takes_its_files_in_sorted_order_whatever_their_split():
    for name in ("b_test", "a_train", "c"):
        write_jsonl(f"data/{name}.jsonl", row(0, problem=name))
    assert [s.problem for s in read("data/*.jsonl")] == ["a_train", "b_test", "c"]
    assert [s.row for s in read("data/*.jsonl")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("files", "split", "expected"),
    [
        (["train/a", "train/b", "test/a"], "train", ["train/a", "train/b"]),
        (["train/a", "dev/a"], "validation", ["dev/a"]),
        (["x_train", "x-test-01", "latest"], "test", ["x-test-01"]),
        (["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"], "train",
         ["train-00000-of-00002", "train-00001-of-00002"]),
        (["data/mini-00000-of-00001", "data/full-00000-of-00001"], "mini",
         ["data/mini-00000-of-00001"]),
        (["b", "a", "contest", "tests"], "train", ["a", "b", "contest", "tests"]),  # no word "test"
        (["mini/a", "train/a"], "mini", ["mini/a"]),
        (["train/a_test", "test/a_train"], "train", ["train/a_test"]),  # folders come first
        ([".hidden/train", "__cache__/train", "train"], "train", ["train"]),
    ],
)  # fmt: skip
def test_a_split_is_found_by_folder_or_file_name(files, split, expected):
    for name in files:
        write_jsonl(f"set/{name}.jsonl", row(0, problem=name))
    assert [sample.problem for sample in read("set", split=split)] == expected


def test_a_missing_split_says_which_there_are():
    for name in ("test/a", "val/a"):
        write_jsonl(f"set/{name}.jsonl", row(0))
    with pytest.raises(DatasetError) as caught:
        open_dataset(DatasetConfig(dataset="set"))
    assert str(caught.value) == (
        "set: no split 'train' (found: test, validation); pass --split test"
    )


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        ("set", "a.jsonl, b.jsonl"),
        ("set/a.jsonl", "a.jsonl"),
        ("set/*.jsonl", "a.jsonl, b.jsonl"),
        ("lines.json", "lines.json"),
        ("array.json", "array.json"),
        ("key.json", "key.json"),
        ("saved", "data-00000-of-00001.arrow"),
        ("rows_train.jsonl", "rows_train.jsonl"),
    ],
)
def test_a_split_of_what_has_none_is_refused(dataset, found):
    for name in ("set/a.jsonl", "set/b.jsonl", "lines.json", "rows_train.jsonl"):
        write_jsonl(name, row(0), row(1))
    Path("array.json").write_text(json.dumps([row(0)]))
    Path("key.json").write_text(json.dumps({"data": [row(0)]}))
    Path("saved").mkdir()
    table = pa.table({"problem": ["p"], "answer": ["1"]})
    with pa.ipc.new_stream("saved/data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    Path("saved/state.json").write_text(
        json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
    )
    assert read(dataset)  # all there is
    with pytest.raises(DatasetError) as caught:
        read(dataset, split="validation")
    assert str(caught.value) == (
        f"{dataset}: no split 'validation' (found: {found}, of no split or another); leave --split "
        "out, or pass the files of that split"
    )


@pytest.mark.parametrize(
    ("dataset", "split"),
    [
        ("rows_dev.jsonl", "validation"),
        ("test/rows.jsonl", "test"),
        ("test", "test"),
        ("t*/*.jsonl", "test"),
        ("mini-00000-of-00001.jsonl", "mini"),
        ("two.json", "val"),
        ("one.json", "val"),
    ],
)
def test_a_file_that_is_named_for_the_split_is_of_it(dataset, split):
    for name in ("rows_dev.jsonl", "test/rows.jsonl", "mini-00000-of-00001.jsonl"):
        write_jsonl(name, row(0))
    Path("two.json").write_text(json.dumps({"train": [row(1)], "val": [row(0)]}))
    Path("one.json").write_text(json.dumps({"val": [row(0)]}))
    assert [sample.problem for sample in read(dataset, split=split)] == ["p0"]


def test_a_split_that_a_json_object_lacks_is_told_with_those_it_has():
    Path("two.json").write_text(json.dumps({"train": [row(1)], "val": [row(0)]}))
    with pytest.raises(DatasetError) as caught:
        read("two.json", split="test")
    assert str(caught.value) == (
        "two.json: no split 'test' (found: train, val); pass --split train"
    )


# Rows


def test_a_null_or_a_list_in_place_of_text_is_an_error_of_that_row_alone():
    write_jsonl(
        "a.jsonl",
        row(0),
        row(1, problem=None),
        row(2, answer=None),
        row(3, problem=["p"]),
        {"problem": "p4"},
    )
    samples = read("a.jsonl")
    assert all(s.error is None for s in samples)  # what is wrong with a question spoils no image
    assert [(s.row, s.problem, s.answer, s.question_error) for s in samples] == [
        (0, "p0", "0", None),
        (1, "", "1", "problem is null"),
        (2, "p2", "", "answer is null"),
        (3, "", "3", "problem is of type list, not text"),
        (4, "p4", "", "answer is null"),
    ]


def test_rows_that_differ_are_never_taken_for_one():
    write_jsonl(
        "a.jsonl",
        row(0, answer=None), row(0, answer=""), row(0, answer="null"), row(0, answer="None"),
        row(0, answer=["a"]), row(0, answer=["b"]),
        row(0, images=["absent-1.png"]), row(0, images=["absent-2.png"]),
        b"{damaged 1", b"{damaged 2",
    )  # fmt: skip
    assert len({sample.sample_id for sample in read("a.jsonl")}) == 10


def test_numbers_are_taken_as_their_text():
    write_jsonl("a.jsonl", row(0, answer=7), row(1, answer=2.5), row(2, answer=True))
    samples = read("a.jsonl")
    assert [s.answer for s in samples] == ["7", "2.5", "True"]
    assert samples[0].sample_id == sample_id("p0", "7", [])


def test_a_class_label_is_taken_by_its_name():
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"problem": datasets.Value("string"), "answer": datasets.ClassLabel(names=["cat", "dog"])}
    )
    made = datasets.Dataset.from_dict({"problem": ["a", "b"], "answer": [1, 0]}, features=features)
    made.save_to_disk("saved")
    made.to_parquet("a.parquet")
    for name in ("saved", "a.parquet"):
        assert [sample.answer for sample in read(name)] == ["dog", "cat"]


def test_an_image_that_cannot_be_read_is_an_error_of_that_row_alone():
    Path("set/here.png").parent.mkdir()
    Path("set/here.png").write_bytes(b"pixels")
    write_jsonl(
        "set/a.jsonl",
        row(0, images=["here.png"]),
        row(1, images=["here.png", "gone.png"]),
        row(2, images=["https://example.org/x.png"]),
        row(3, images=[None]),
        row(4, images=[7]),
        row(5, images=["bad\0name.png"]),
        row(6, images=[{"bytes": None, "path": "here.png"}]),
    )
    samples = read("set/a.jsonl")
    assert [(s.images, s.error) for s in samples] == [
        ((b"pixels",), None),
        ((b"pixels", b""), "image not found: gone.png"),
        ((b"",), "image is a URL; name its folder with --image-root"),
        ((b"",), "image is null"),
        ((b"",), "image is of type int, not bytes or a path"),
        ((b"",), "image not found: bad\0name.png"),
        ((b"pixels",), None),
    ]
    assert samples[1].sample_id == sample_id("p1", "1", [b"pixels", b"gone.png"])


@pytest.mark.parametrize("image", [None, "", [], {"bytes": None, "path": None}])
def test_no_image_is_no_error(image):
    write_jsonl("a.jsonl", row(0, images=image))
    [sample] = read("a.jsonl")
    assert (sample.images, sample.error) == ((), None)


def test_text_alone_is_a_dataset():
    write_parquet("a.parquet", problem=["p"], answer=["1"])
    [sample] = read("a.parquet")
    assert sample.images == () and sample.error is None


def test_images_that_only_later_rows_have_are_found():
    Path("x.png").write_bytes(b"pixels")
    write_jsonl("a.jsonl", *(row(i) for i in range(150)), row(150, image="x.png"))
    assert read("a.jsonl")[150].images == (b"pixels",)


def test_a_damaged_line_is_a_row_with_an_error():
    write_jsonl(
        "a.jsonl", row(0), b"", b'{"problem": "p1", "ans', b"[1, 2]", b'{"a": "\xff"}', row(4)
    )
    samples = read("a.jsonl")
    assert [(s.row, s.error) for s in samples] == [
        (0, None),
        (1, "line 3 is not JSON"),
        (2, "line 4 is not a JSON object"),
        (3, "line 5 is not UTF-8"),
        (4, None),
    ]


def test_a_broken_escape_is_an_error_and_its_text_can_be_written():
    write_jsonl("a.jsonl", row(0, problem="a\ud800b"))
    [sample] = read("a.jsonl")
    assert (sample.problem, sample.question_error) == ("a\ufffdb", "problem is not valid Unicode")
    assert sample.sample_id == sample_id("a\ud800b", "0", [])


def test_a_long_text_is_no_kind_of_sample():
    rows = [{"problem": "p", "answer": "1", "kind": "k" * 100, "notes": "n" * 101}]
    Path("long.jsonl").write_text(json.dumps(rows[0]))
    [sample] = open_dataset(DatasetConfig(dataset="long.jsonl")).samples()
    assert sample.columns == {"kind": "k" * 100}


def test_ids_come_from_their_column_when_it_is_named():
    write_jsonl("a.jsonl", row(0, uid="x-1"), row(1, uid=2), row(2, uid=None))
    samples = read("a.jsonl", id_column="uid")
    assert [(s.sample_id, s.error) for s in samples] == [
        ("x-1", None),
        ("2", None),
        (sample_id("p2", "2", []), "id is null"),
    ]


def test_a_csv_line_that_is_too_short_has_nulls_and_a_long_field_is_read_whole():
    Path("a.csv").write_text(f"problem,answer\n{'x' * 200_000},1\nshort\n")
    samples = read("a.csv")
    assert (len(samples[0].problem), samples[0].question_error) == (200_000, None)
    assert (samples[1].problem, samples[1].question_error) == ("short", "answer is null")
