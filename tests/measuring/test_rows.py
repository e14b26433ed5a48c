"""Rows of the two tables, from what was measured."""

import subprocess
import sys

import polars as pl
import pyarrow as pa
import pytest

from durian.measuring.rows import arrow_table, difficulty_row, rollout_rows
from durian.samples import Rollout, Sample
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_array

SAMPLE = Sample(sample_id="ab", row=3, problem="How many?", answer="2", images=(b"x",))
ROLLOUTS_OF_IT = [
    Rollout(completion="a", n_tokens=2, sum_logprob=-1.0, finish_reason="stop"),
    Rollout(completion="b", n_tokens=4, sum_logprob=-6.0, finish_reason="length"),
]


def test_a_row_is_the_sample_and_what_was_measured_of_it():
    row = difficulty_row(
        SAMPLE,
        copies=2,
        n_images=1,
        width=8,
        height=9,
        values={"pass_rate": 0.5},
        error="reward failed",
    )
    assert (row["row"], row["copies"], row["n_images"]) == (3, 2, 1)
    assert (row["width"], row["height"], row["pass_rate"]) == (8, 9, 0.5)
    assert row["error"] == "reward failed"


def test_a_failed_reward_keeps_the_completions():
    kept = rollout_rows(SAMPLE, ROLLOUTS_OF_IT, [])
    assert [r["completion"] for r in kept] == ["a", "b"]
    table = arrow_table(kept, ROLLOUTS)
    assert table["reward"].to_pylist() == [None, None]


def test_text_that_utf8_cannot_hold_is_kept_as_its_escape():
    table = arrow_table([{"sample_id": "a", "problem": "\ud800 or \u00e9"}], DIFFICULTY)
    assert table["problem"].to_pylist() == ["\\ud800 or \u00e9"]


def test_values_become_arrow_arrays_of_the_tables_types():
    for kind, values in (
        (pa.string(), ["a", None]), (pa.int32(), [1, None]), (pa.int64(), [2**40, None]),
        (pa.float64(), [0.5, None]), (pa.bool_(), [True, None]), (pa.binary(), [b"\x00", None]),
    ):  # fmt: skip
        assert arrow_array(values, kind).equals(pa.array(values, kind))
        assert arrow_array([None, None], kind).equals(pa.nulls(2, kind))
    assert arrow_array([1, 2.5], pa.float64()).to_pylist() == [1.0, 2.5]  # a sum of nothing is 0
    with pytest.raises(TypeError):
        arrow_array(["a"], pa.int32())


def test_a_profile_does_not_wait_for_pandas(tmp_path, png):
    """Importing it takes a second; Arrow does so for itself in several of its ways."""
    pl.DataFrame({"problem": ["p"], "answer": ["1"], "images": [[png]]}).write_parquet(
        tmp_path / "a.parquet"
    )
    code = (
        "import sys; from durian.config import ProfileConfig;"
        "from durian.profile import profile_dataset;"
        "profile_dataset(ProfileConfig(dataset='a.parquet', out='run', measures=('pixel',)));"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
