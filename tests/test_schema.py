"""The tables' columns: what version 2 adds, and how older tables are read."""

import pyarrow as pa

from durian.schema import (
    DIFFICULTY,
    ROLLOUTS,
    SCHEMA_KEY,
    arrow_schema,
    arrow_type,
    current,
    known_at,
)

ADDED = [
    "difficulty", "difficulty_sd", "confidence", "confidence_sd", "estimated_from",
    "blind_pass_rate", "image_gain", "image_gain_sd", "consensus", "consensus_answer",
    "label_doubt", "image_cluster", "resize_factor", "image_tokens", "prompt_tokens", "also_in",
    "right_unboxed", "answer_kind", "why",
]  # fmt: skip


def test_version_2_adds_the_columns_of_the_contract_and_takes_none_away():
    assert set(DIFFICULTY) - set(known_at(DIFFICULTY, 1)) == set(ADDED)
    assert set(ROLLOUTS) - set(known_at(ROLLOUTS, 1)) == {"blind", "judged", "step"}
    assert known_at(DIFFICULTY, 2) == list(DIFFICULTY)
    assert arrow_schema(DIFFICULTY).metadata[SCHEMA_KEY] == b"2"


def test_an_older_table_has_nulls_for_what_it_did_not_know():
    old = pa.table(
        {name: pa.nulls(2, arrow_type(ROLLOUTS[name])) for name in known_at(ROLLOUTS, 1)}
    )
    old = old.set_column(0, "sample_id", pa.array(["a", "b"]))
    new = current(old, ROLLOUTS)
    assert new.schema.names == list(ROLLOUTS)
    assert new["sample_id"].to_pylist() == ["a", "b"]
    assert new["judged"].null_count == 2 and new["judged"].type == pa.bool_()
