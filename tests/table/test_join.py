"""From a run folder to what training knows of each sample, on a table planted by hand."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.config import TrainConfig
from durian.errors import ConfigError, InputError, RunFolderError
from durian.run.manifest import manifest_of
from durian.schema import DIFFICULTY, SCHEMA_KEY, arrow_schema
from durian.table.join import FILTERED, UNKNOWN, open_table, table_warnings
from tests.manifests import manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four samples: a and b easy, c hard, d without measures."""
    rows = [
        {"sample_id": "a", "pixel_entropy": 1.0, "mean_logprob": -0.5, "pass_rate": 1.0,
         "perceptual_group": "easy", "reasoning_group": 1, "answer": "it's"},
        {"sample_id": "b", "pixel_entropy": 2.0, "mean_logprob": -2.0, "pass_rate": 0.5,
         "perceptual_group": "easy", "reasoning_group": 0},
        {"sample_id": "c", "pixel_entropy": 3.0, "mean_logprob": -1.0, "pass_rate": 0.25,
         "perceptual_group": "hard", "reasoning_group": 1},
        {"sample_id": "d", "error": "cannot decode image"},
    ]  # fmt: skip
    blank = dict.fromkeys(DIFFICULTY)
    table = pa.Table.from_pylist([{**blank, **row} for row in rows], arrow_schema(DIFFICULTY))
    pq.write_table(table, tmp_path / "difficulty.parquet")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest()))
    return tmp_path


def opened(run, **changes):
    return open_table(TrainConfig(dataset="d", table=str(run), model="m", out="o", **changes))


def test_groups_are_the_tables_own(run):
    table = opened(run)
    assert table.find("c") == {
        "perceptual_group": 2, "reasoning_group": 1, "perceptual": 3.0, "confidence": -1.0,
    }  # fmt: skip
    unmeasured = table.find("d")
    assert unmeasured["perceptual_group"] == unmeasured["reasoning_group"] == -1
    assert math.isnan(unmeasured["confidence"])


def test_bins_are_cut_anew_where_asked(run):
    # Three bins over -2, -1, -0.5: one each, the least confident first.
    table = opened(run, bins=3)
    assert [table.find(key)["reasoning_group"] for key in "bca"] == [0, 1, 2]


def test_a_filter_keeps_what_it_holds_for_and_null_is_no(run):
    table = opened(run, filter="pass_rate > 0 AND pass_rate < 1")
    assert table.find("a") == table.find("d") == FILTERED
    assert table.find("b")["reasoning_group"] == 0
    assert opened(run, filter="error IS NULL").passes.tolist() == [True, True, True, False]
    assert opened(run, filter="answer = 'it''s'").passes.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("pass_rat > 0", "no column 'pass_rat' in the table; did you mean 'pass_rate'"),
        ("pass_rate >", "is no SQL condition"),
        ("pass_rate >\n\n", "is no SQL condition"),
        ("", "is no SQL condition"),
        ("WHERE pass_rate > 0", "is no SQL condition"),
        ("pass_rate", "is no condition on a sample"),
        ("1", "is no condition on a sample"),
        ("MAX(pass_rate) > 0", "is no condition on a sample"),  # one answer for all
        ("COLUMNS('pass') > 0", "is no condition on a sample"),
        ("pass_rate > 'half'", "cannot compare string with numeric"),
        ("answer ~ '('", "is no SQL condition"),
        ("PASS_RATE > 0", "did you mean 'pass_rate'"),
        ('answer = "it"', "no column 'it' in the table"),  # double quotes name a column
        ("pass_rate > 2", "no sample of 4 passes 'pass_rate > 2'; loosen it"),
        ("pass_rate > NULL", "no sample of 4 passes"),
        ("SELECT * FROM self", "is a query"),
        ("pass_rate IN (select a from read_csv('/etc/hostname'))", "is a query"),
        ("pass_rate > 0; DROP TABLE self", "is no SQL condition"),
        ("answer = '\ud800'", "is no SQL condition"),  # has no UTF-8
        ("pass_rate > 0" + " OR pass_rate > 0" * 9000, "10,000 or fewer"),
    ],
)
def test_a_filter_that_cannot_be_is_one_line(run, condition, said):
    with pytest.raises(ConfigError, match="^filter: ") as raised:
        opened(run, filter=condition)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_filter_may_say_select_in_text_and_compare_with_all_samples(run):
    assert opened(run, filter="answer != 'select'").passes.tolist() == [True, False, False, False]
    # Pass rates 1, 1/2, 1/4: mean 7/12, which only the first exceeds.
    above = opened(run, filter="pass_rate > AVG(pass_rate)")
    assert above.passes.tolist() == [True, False, False, False]


def test_groups_are_cut_over_the_whole_table_and_the_filter_sees_the_new_ones(run):
    # Percentiles 50 and 60 of 1, 2, 3 are 2 and 2.2: a and b easy (at most 2), c hard. One bin of
    # all three; of the table's own bins, b alone was in 0.
    table = opened(run, percentiles=(50.0, 60.0), bins=1, filter="perceptual_group = 'easy'")
    assert table.passes.tolist() == [True, True, False, False]
    assert table.perceptual_group.tolist() == [0, 0, 2, -1]
    assert table.reasoning_group.tolist() == [0, 0, 0, -1]
    # Percentiles 10 and 90 are 1.2 and 2.8: one each. Over the filtered a and b there is no hard.
    table = opened(run, percentiles=(10.0, 90.0), filter="perceptual_group IN ('medium', 'hard')")
    assert table.perceptual_group.tolist() == [0, 1, 2, -1]
    assert table.passes.tolist() == [False, True, True, False]
    assert opened(run, bins=1, filter="reasoning_group = 0").passes.sum() == 3


def test_a_measure_that_grows_with_difficulty_turns_bins_and_order_round(run):
    written = manifest()
    written["groups"]["reasoning"]["measure"] = "pixel_entropy"  # 1, 2, 3: c is the hardest
    (run / "manifest.json").write_text(json.dumps(written))
    table = opened(run, bins=3, order="easy_first")
    assert [table.find(key)["reasoning_group"] for key in "cba"] == [0, 1, 2]
    assert table.find("c")["confidence"] == 3.0
    assert table.order(["c", "d", "a", "b"]) == [2, 3, 0, 1]


def test_equal_measures_keep_the_datasets_order_both_ways(run):
    # Rows of one sample are equal: a, a and c.
    assert opened(run, order="easy_first").order(["c", "a", "x", "a"]) == [1, 3, 0, 2]
    assert opened(run, order="hard_first").order(["a", "x", "a", "c"]) == [3, 0, 2, 1]
    # Long enough for numpy to sort otherwise than by insertion, which is stable by nature.
    many = opened(run, order="easy_first").order(["c", "a"] * 100)
    assert many == [*range(1, 200, 2), *range(0, 200, 2)]


def test_an_order_by_a_measure_that_nothing_has_is_refused(run):
    with pytest.raises(ConfigError, match="order is 'hard_first', by mean_logprob, which no"):
        opened(run, order="hard_first", filter="error IS NOT NULL")


def test_a_table_with_none_of_the_samples_is_refused_even_where_own_will_do(run):
    with pytest.raises(InputError, match="none of the 2 rows; give the table of this dataset"):
        opened(run, missing="own").check_missing(["x", "y"])


def test_samples_that_the_table_lacks_are_an_error_or_in_no_group(run):
    ids = ["a", "x", "b", "y"]
    with pytest.raises(InputError, match="lacks 2 of 4 rows, the first at row 1"):
        opened(run).check_missing(ids)
    own = opened(run, missing="own")
    own.check_missing(ids)
    assert own.find("x")["perceptual_group"] == -1
    assert opened(run, missing="own", filter="pass_rate > 0").find("x") == UNKNOWN


def test_order_is_by_confidence_with_unmeasured_samples_last(run):
    ids = ["d", "b", "a", "c"]  # none, -2, -0.5, -1
    assert opened(run, order="easy_first").order(ids) == [2, 3, 1, 0]
    assert opened(run, order="hard_first").order(ids) == [1, 3, 2, 0]
    assert opened(run).order(ids) == [0, 1, 2, 3]


ALL_GROUPED = {"rows": 3, "samples": 3}  # as many as the groups hold


def test_samples_without_a_group_are_counted(run):
    same = {"dataset": "planted", "fingerprint": "aa", "model": "judge", "model_print": "bb"}
    assert table_warnings(manifest_of(manifest()), **same) == [
        "1 of the table's 4 samples has no perceptual group (it has no pixel_entropy): the "
        "perceptual term of each will be its own",
        "1 of the table's 4 samples has no reasoning group (it has no mean_logprob): the "
        "reasoning term of each will be its own",
    ]


def test_a_table_of_other_things_is_said(run):
    same = {"dataset": "planted", "fingerprint": "aa", "model": "judge", "model_print": "bb"}
    assert table_warnings(manifest_of(manifest(counts=ALL_GROUPED)), **same) == []
    lines = table_warnings(
        manifest_of(manifest(counts=ALL_GROUPED)),
        **{**same, "fingerprint": "x", "model": "pupil", "model_print": "y"},
    )
    assert len(lines) == 2 and "planted" in lines[0] and "judge, not by pupil" in lines[1]


def test_other_rows_and_weights_of_one_name_are_told_apart(run):
    rows, weights = table_warnings(
        manifest_of(manifest(counts=ALL_GROUPED)),
        dataset="planted",
        fingerprint="x",
        model="judge",
        model_print="y",
    )
    assert rows.startswith("the table was made from other rows of planted, not from these;")
    assert weights.startswith("the table was made by other weights of judge, not by these;")


def test_a_term_without_groups_is_said(run):
    made = manifest(counts=ALL_GROUPED, model={"name": None, "fingerprint": None})
    made["groups"]["reasoning"]["sizes"] = {}
    (line,) = table_warnings(
        manifest_of(made), dataset="planted", fingerprint="aa", model="pupil", model_print="y"
    )
    assert "no sample of the table has a reasoning group (mean_logprob was not measured)" in line
    made["groups"]["perceptual"]["sizes"] = {"easy": 0, "medium": 0, "hard": 0}
    lines = table_warnings(
        manifest_of(made), dataset="planted", fingerprint="aa", model="pupil", model_print="y"
    )
    assert "the perceptual term will be each sample's own" in lines[0]


def test_folders_that_hold_no_usable_table_are_refused_in_one_line(run):
    table, file = run / "difficulty.parquet", run / "manifest.json"
    whole = table.read_bytes()

    def refused(said):
        with pytest.raises(RunFolderError, match=said) as raised:
            opened(run)
        assert "\n" not in str(raised.value)

    file.write_text(json.dumps({"kind": "training", "config": {}}))
    refused("is not of a profile")
    by_beauty = manifest()
    by_beauty["groups"]["perceptual"]["measure"] = "beauty"
    file.write_text(json.dumps(by_beauty))
    refused("lacks the column 'beauty'")
    wider = pq.read_table(table)
    pq.write_table(wider.append_column("beauty", pa.array([1.0] * 4)), table)
    refused("lacks the column 'beauty'")  # it is there, but nothing says which end is hard
    file.write_text(json.dumps(manifest()))
    table.write_bytes(whole[: len(whole) // 2])
    refused("difficulty.parquet: cannot be read")
    table.unlink()
    refused("difficulty.parquet: cannot be read")
    pq.write_table(pa.table({"sample_id": ["a"]}), table)
    refused("difficulty.parquet: cannot be read")
    schema = arrow_schema(DIFFICULTY).with_metadata({SCHEMA_KEY: b"3"})
    pq.write_table(schema.empty_table(), table)
    refused("table version 3, known here: 2")
    pq.write_table(arrow_schema(DIFFICULTY).empty_table().drop(["reasoning_group"]), table)
    refused("lacks the column 'reasoning_group'")
    file.unlink()
    refused("not a run folder")
    (run / "parts").mkdir()
    refused("is not complete")
