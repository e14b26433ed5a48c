"""columns.parquet: images shared, and the dataset's own columns beside the table's."""

import polars as pl
import pytest

from durian.config import ProfileConfig
from durian.profile import profile_dataset
from durian.table.columns import read_columns


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def profiled(dataset: str, **options) -> pl.DataFrame:
        config = ProfileConfig(
            dataset=dataset, measures=("pixel",), out="run", part_size=2, **options
        )
        profile_dataset(config)
        columns = read_columns(tmp_path / "run")
        assert columns is not None
        table = pl.read_parquet("run/difficulty.parquet")
        ids = pl.read_parquet("run/columns.parquet", columns=["sample_id"])
        assert ids["sample_id"].to_list() == table["sample_id"].to_list()
        return columns

    return profiled


def test_a_dataset_s_further_columns_come_along_with_their_types(profile, png, tmp_path):
    other = png[:-1] + b"\0"  # other bytes are another image, broken or not
    images = [[png], [png], [other], [png, other], []]
    pl.DataFrame(
        {
            "problem": [f"p{n}" for n in range(5)],
            "answer": ["a"] * 5,
            "images": images,
            "level": [3, 1, None, 2, 5],
            "flag": [True, False, True, None, False],
            "mixed_nan": [0.5, float("nan"), float("inf"), 1.0, 2.0],
            "kind": ["shape", "count", "shape", None, "x" * 101],  # the last is no label but a text
            "tags": [["a"], [], ["b"], [], []],
            "sample_id": ["theirs"] * 5,
        }
    ).write_parquet("data.parquet")
    columns = profile("data.parquet")
    assert columns.columns == ["image_id", "level", "flag", "mixed_nan", "kind", "source_file"]
    assert set(columns["source_file"]) == {"data.parquet"}
    assert columns.schema["level"] == columns.schema["flag"] == pl.Float64
    assert columns["level"].to_list() == [3, 1, None, 2, 5]
    assert columns["flag"].to_list() == [1, 0, 1, None, 0]
    assert columns["mixed_nan"].to_list() == [0.5, None, None, 1.0, 2.0]
    assert columns["kind"].to_list() == ["shape", "count", "shape", None, None]
    ids = columns["image_id"].to_list()
    assert ids[0] == ids[1]  # one image, two questions
    assert len(set(ids)) == 4
    own = pl.read_parquet("run/columns.parquet")["sample_id"]
    assert ids[4] == own[4]  # no image: a cluster of its own


def test_numbers_that_csv_holds_as_text_are_numbers_unless_one_is_not(profile):
    with open("data.csv", "w", encoding="utf-8") as file:
        file.write("problem,answer,level,grade,note\np1,a,3,1,\np2,a,,B,x\np3,a,nan,2,y\n")
    columns = profile("data.csv")
    assert columns["level"].to_list() == [3.0, None, None]
    # 'B' comes in another part than '1' and '2': what is read of one part alone does not decide.
    assert columns["grade"].to_list() == ["1", "B", "2"]
    assert columns["note"].to_list() == [None, "x", "y"]


def test_json_rows_need_not_have_the_same_keys_or_kinds(profile):
    with open("data.jsonl", "w", encoding="utf-8") as file:
        file.write('{"problem": "p1", "answer": "a", "level": 3, "huge": 1' + "0" * 400 + "}\n")
        file.write('{"problem": "p2", "answer": "a", "level": "hard", "nested": {"a": 1}}\n')
        file.write('{"problem": "p3", "answer": "a", "broken": "\\ud800"}\n')
        file.write("not JSON\n")
    columns = profile("data.jsonl")
    assert columns.columns == ["image_id", "level", "broken", "source_file"]
    assert columns["level"].to_list() == ["3", "hard", None, None]
    assert columns["broken"].to_list() == [None, None, "\ufffd", None]
