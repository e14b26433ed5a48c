"""From a run folder to what training knows of each sample, on a table planted by hand."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import TrainConfig
from pipelines.errors import ConfigError, InputError, RunFolderError
from pipelines.table.join import FILTERED, UNKNOWN, open_table, table_warnings
from pipelines.table.schema import DIFFICULTY, arrow_schema

MANIFEST = {
    "schema": 1,
    "groups": {
        "perceptual": {"measure": "pixel_entropy", "percentiles": [25.0, 75.0]},
        "reasoning": {"measure": "mean_logprob", "bins": 2},
    },
    "dataset": {"name": "planted", "fingerprint": "aa"},
    "model": {"name": "judge", "fingerprint": "bb"},
}


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
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
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
        ("pass_rate", "is no condition on a sample"),
        ("pass_rate > 2", "no sample of 4 passes"),
        ("SELECT * FROM table", "filter: "),
    ],
)
def test_a_filter_that_cannot_be_is_one_line(run, condition, said):
    with pytest.raises(ConfigError, match="^filter: ") as raised:
        opened(run, filter=condition)
    assert said in str(raised.value) and "\n" not in str(raised.value)


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


def test_a_table_of_other_things_is_said(run):
    same = {"dataset": "planted", "fingerprint": "aa", "model": "judge", "model_print": "bb"}
    assert table_warnings(MANIFEST, **same) == []
    lines = table_warnings(
        MANIFEST, **{**same, "fingerprint": "x", "model": "pupil", "model_print": "y"}
    )
    assert len(lines) == 2 and "planted" in lines[0] and "judge, not by pupil" in lines[1]


def test_no_run_folder_and_a_newer_table_are_refused(run, tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        opened(tmp_path / "nowhere")
    (run / "manifest.json").write_text(json.dumps({**MANIFEST, "schema": 99}))
    with pytest.raises(RunFolderError, match="newer Durian"):
        opened(run)
