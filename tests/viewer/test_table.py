"""Which samples pass a view, in which order; bars, columns and rows. Six planted samples."""

import json

import numpy as np
import polars as pl
import pytest

from durian.errors import ConfigError, RunFolderError
from durian.table.filter import parse_filter, passing
from durian.viewer.columns import VERDICT
from durian.viewer.marks import Mark, Marks
from durian.viewer.table import SampleTable
from durian.viewer.view import read_view


@pytest.fixture(scope="module")
def table(planted):
    return SampleTable(planted)


def places(table, **view):
    return table.places(read_view(json.dumps(view))).tolist()


def test_columns_are_those_that_hold_something_and_their_kinds_follow_their_values(table):
    kinds = {name: column.kind for name, column in table.columns.items()}
    assert kinds["pass_rate"] == kinds["level"] == "number"
    assert kinds["why"] == kinds["topic"] == kinds["answer"] == "choice"
    assert kinds["problem"] == kinds["sample_id"] == "text"
    assert "spectral_entropy" not in kinds and "error" not in kinds  # null in every row
    assert table.columns["pass_rate"].harder == "lower" and table.columns["level"].unit == ""


def test_sorting_puts_missing_values_last_either_way_and_keeps_the_order_of_equal_ones(table):
    # Pass rates: 1, 1/4, 0, 0, 1/2, 3/4.
    assert places(table, sort="pass_rate") == [2, 3, 1, 4, 5, 0]
    assert places(table, sort="pass_rate", down=True) == [0, 5, 4, 1, 2, 3]
    assert places(table, sort="level", down=True) == [4, 3, 2, 1, 0, 5]
    assert places(table, sort="level") == [0, 1, 2, 3, 4, 5]
    assert places(table, sort="topic") == [1, 2, 5, 0, 3, 4]
    assert places(table) == [0, 1, 2, 3, 4, 5]


def test_ranges_choices_sql_and_search_all_have_to_hold(table):
    half = {"column": "pass_rate", "low": 0.25, "high": 0.75}
    assert places(table, where=[half]) == [1, 4, 5]
    assert places(table, where=[{"column": "pass_rate", "low": 0.25, "below": 0.75}]) == [1, 4]
    assert places(table, where=[half, {"column": "topic", "values": ["sums"]}]) == [4]
    assert places(table, where=[half], sql="level >= 2 AND topic = 'looks'") == [1]
    assert places(table, where=[{"column": "level", "values": [None]}]) == [5]
    assert places(table, where=[{"column": "why", "values": ["solved", "mixed"]}]) == [0, 4, 5]


def test_a_search_finds_problem_answer_and_completion_in_letters_of_either_case(table):
    assert places(table, search="WHICH") == [1, 2]
    assert places(table, search="\\frac") == [4]
    assert places(table, search="sample 3, draw 2") == [3]
    assert places(table, search=".*") == []  # no pattern


def test_bars_hold_each_sample_once_and_know_what_is_missing(table):
    rates = table.bins("pass_rate")
    assert list(rates.values) == [0, 0.25, 0.5, 0.75, 1] and rates.edges is None
    assert rates.counts() == ([2, 1, 1, 1, 1], 0)
    mask = table.mask(read_view('{"where": [{"column": "topic", "values": ["looks"]}]}'))
    assert rates.counts(mask) == ([1, 1, 0, 1, 0], 0)
    assert table.bins("level").counts()[1] == 1


def test_many_values_become_bars_whose_edges_pick_the_samples_they_count(planted, tmp_path):
    values = np.concatenate([np.linspace(-1, 3, 200) ** 3, [np.nan]])
    n = len(values)
    frame = pl.read_parquet(planted / "difficulty.parquet")
    frame = pl.concat([frame] * (n // 6 + 1)).head(n).with_columns(
        sample_id=pl.Series([f"{k:032x}" for k in range(n)]),
        pixel_entropy=pl.Series(values).fill_nan(None),
    )  # fmt: skip
    frame.write_parquet(tmp_path / "difficulty.parquet", metadata={"durian.schema": "2"})
    table = SampleTable(tmp_path)
    bins = table.bins("pixel_entropy")
    counts, missing = bins.counts()
    assert missing == 1 and sum(counts) == 200 and len(counts) == 24
    for k, count in enumerate(counts):
        upper = "high" if k == 23 else "below"
        clause = {"column": "pixel_entropy", "low": bins.edges[k], upper: bins.edges[k + 1]}
        assert len(places(table, where=[clause])) == count


VIEWS = [
    {"where": [{"column": "pass_rate", "low": 0.25, "below": 0.75}]},
    {"where": [{"column": "why", "values": ["mixed", None]}, {"column": "level", "low": 5}]},
    {"where": [{"column": "level", "values": [None]}]},
    {"where": [{"column": "topic", "values": ["looks"]}], "sql": "pass_rate = 0 OR level = 2"},
    {"sql": "label_doubt > 0"},
]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_a_view_written_as_a_filter_passes_the_same_samples(planted, table, view):
    read = read_view(json.dumps(view))
    parts = [clause.sql for clause in read.where] + ([f"({read.sql})"] if read.sql else [])
    condition = " AND ".join(parts)
    frame = pl.read_parquet(planted / "difficulty.parquet").hstack(
        pl.read_parquet(planted / "columns.parquet").select("level", "topic")
    )
    held = passing(frame, parse_filter(condition), condition)
    assert np.flatnonzero(held).tolist() == places(table, **view)


@pytest.mark.parametrize(
    ("view", "says"),
    [
        ({"where": [{"column": "pas_rate", "low": 0}]}, "did you mean 'pass_rate'"),
        ({"where": [{"column": "why", "low": 0}]}, "holds texts"),
        ({"where": [{"column": "level", "values": ["1"]}]}, "holds numbers"),
        ({"sort": "nothing"}, "no column 'nothing'"),
        ({"sql": "SELECT * FROM read_csv('/etc/passwd')"}, "is a query"),
        ({"sql": "pass_rate >"}, "no SQL condition"),
    ],
)
def test_a_view_over_no_column_or_of_no_condition_is_refused(table, view, says):
    with pytest.raises(ConfigError, match=says):
        places(table, **view)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"where": [{}]}', '{"where": [{"column": "a"}]}', '{"search": 3}',
     '{"where": [{"column": "a", "low": "1"}]}', '{"where": [{"column": "a", "low": Infinity}]}',
     '{"where": [{"column": "a", "values": []}]}', '{"where": 1}', "[" * 100_000],
)  # fmt: skip
def test_an_address_that_holds_no_view_is_refused(text):
    with pytest.raises(ConfigError, match="the address holds no view"):
        read_view(text)


def test_rows_come_as_asked_and_other_row_groups_stay_unread(table, monkeypatch):
    read = []
    whole = table.table._group
    monkeypatch.setattr(table.table, "_group", lambda g, names: read.append(g) or whole(g, names))
    rows = table.rows([5, 0, 4], ["problem", "topic", "level"])
    assert [row["problem"] for row in rows] == [
        "<image>Who is it?", "<image>What is $x$ where $x^2 = 4$?", "<image>Half of 1?",
    ]  # fmt: skip
    assert [row["topic"] for row in rows] == ["looks", "sums", "sums"]
    assert [row["level"] for row in rows] == [None, 1.0, 5.0]
    assert sorted(read) == [0, 2]  # two rows each


def test_columns_of_another_table_are_refused(planted, tmp_path):
    for name in ("difficulty", "columns"):
        frame = pl.read_parquet(planted / f"{name}.parquet")
        frame = frame.reverse() if name == "columns" else frame
        frame.write_parquet(tmp_path / f"{name}.parquet", metadata={"durian.schema": "2"})
    with pytest.raises(RunFolderError, match=r"columns.parquet: has other samples"):
        SampleTable(tmp_path)


def test_marks_are_a_column_that_follows_them(planted, tmp_path):
    marks = Marks(tmp_path / "marks.jsonl")
    table = SampleTable(planted, marks)
    ids = table.ids([1, 4])
    marks.set(ids[0], Mark("label wrong", "it is red"))
    wrong = {"column": VERDICT, "values": ["label wrong"]}
    assert places(table, where=[wrong]) == [1]
    marks.set(ids[1], Mark("label wrong"))
    assert places(table, where=[wrong], sort="pass_rate", down=True) == [4, 1]
    assert table.bins(VERDICT).counts() == ([2], 4)
    marks.set(ids[0], None)
    assert places(table, where=[wrong]) == [4]
    assert places(table, where=[{"column": VERDICT, "values": [None]}]) == [0, 1, 2, 3, 5]
    # In the file, at once, and read from it again; a line a mark, as `export --ids` takes it.
    line = {"sample_id": ids[1], "verdict": "label wrong", "note": ""}
    assert json.loads((tmp_path / "marks.jsonl").read_text()) == line
    assert Marks(tmp_path / "marks.jsonl")[ids[1]] == Mark("label wrong")


def test_a_file_of_marks_that_is_none_is_refused(tmp_path):
    (tmp_path / "marks.jsonl").write_text("[1]\n")
    with pytest.raises(ConfigError, match=r"marks.jsonl: cannot be read"):
        Marks(tmp_path / "marks.jsonl")


def test_two_runs_are_joined_by_sample_and_tell_what_was_learned(planted, improved, tmp_path):
    # The second run has them in another order, and lacks the last.
    for name in ("difficulty", "rollouts"):
        frame = pl.read_parquet(improved / f"{name}.parquet")
        frame = frame.head(5).reverse() if name == "difficulty" else frame
        frame.write_parquet(tmp_path / f"{name}.parquet", metadata={"durian.schema": "2"})
    table = SampleTable(planted, second=tmp_path)
    # A: 1, 1/4, 0, 0, 1/2, 3/4. B: 0, 1, 0, 1, 1/2, none. Mostly right is above a half.
    assert table.values("change").to_list() == [
        "unlearned", "learned", "wrong in both", "learned", "wrong in both", "in one run only",
    ]  # fmt: skip
    # Both have bins 5, 4, 3, 2, 1 for the first five: none has moved.
    assert table.values("moved").to_list() == ["same bin"] * 5 + ["in one run only"]
    assert table.values("B: pass_rate").to_list() == [0, 1, 0, 1, 0.5, None]
    assert places(table, where=[{"column": "B: pass_rate", "low": 0.5}], sort="B: pass_rate") == [
        4,
        1,
        3,
    ]
    (row,) = table.rows([3], ["pass_rate", "B: pass_rate", "change"])
    assert row == {"pass_rate": 0.0, "B: pass_rate": 1.0, "change": "learned"}


def test_runs_that_share_no_sample_are_refused(planted, tmp_path):
    frame = pl.read_parquet(planted / "difficulty.parquet")
    frame.with_columns(sample_id=pl.Series(list("abcdef"))).write_parquet(
        tmp_path / "difficulty.parquet", metadata={"durian.schema": "2"}
    )
    with pytest.raises(ConfigError, match="has none of the samples"):
        SampleTable(planted, second=tmp_path)
