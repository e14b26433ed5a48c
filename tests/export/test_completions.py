"""Right and wrong completions for fine-tuning and preferences, picked by hand."""

import json
import shutil

import polars as pl
import pyarrow.parquet as pq
import pytest

from durian.errors import ConfigError
from tests.export.conftest import completion, ids


def said(message):
    return message["content"][0]["text"]


def replies(out, i, column="messages"):
    rows = pq.read_table(out / "train.parquet").to_pylist()
    return [said(row[column][-1]) for row in rows if row["sample_id"] == ids()[i]]


def test_sft_takes_right_completions_alone_the_shortest_first(export):
    found, out = export("sft", per_sample=2)
    # Of sample 2 rollouts 0 and 1 are right, of 13 - ... 14 and 13 tokens: the later is shorter.
    assert replies(out, 2) == [completion(2, 1), completion(2, 0)]
    assert replies(out, 1) == [completion(1, 0)]  # it has but one
    assert replies(out, 0) == replies(out, 5) == []  # none is right
    # Samples 0, 5, 10 have none right. Sample 3 stands in two rows: two completions in each.
    # Right at most two: samples 1..4, 6..9, 11 give 1 2 2 2 1 2 2 2 1 = 15, and 2 again.
    assert (found.parts[0].samples, found.parts[0].rows) == (9, 17)


def test_a_completion_that_was_cut_or_drawn_blind_is_not_taken(export, run, tmp_path):
    # Of sample 9 all are right, and the shortest was cut.
    assert replies(export("sft")[1], 9) == [completion(9, 2)]
    copy = tmp_path / "blind"
    shutil.copytree(run, copy)
    rollouts = pl.read_parquet(copy / "rollouts.parquet", use_pyarrow=True)
    blind = (pl.col("sample_id") == ids()[9]) & (pl.col("rollout") == 2)
    table = rollouts.with_columns(blind=blind).to_arrow()
    kinds = pq.read_schema(copy / "rollouts.parquet")
    pq.write_table(table.cast(kinds), copy / "rollouts.parquet")
    assert replies(export("sft", copy)[1], 9) == [completion(9, 1)]


def test_sft_can_take_the_likeliest(export):
    _, out = export("sft", pick="likely")
    assert replies(out, 3) == [completion(3, 0)] * 2  # and its copy


def test_a_random_pick_is_the_seeds(export):
    picks = {seed: replies(export("sft", pick="random", seed=seed)[1], 4) for seed in range(8)}
    assert replies(export("sft", pick="random", seed=3)[1], 4) == picks[3]
    assert len({texts[0] for texts in picks.values()}) > 1


def test_dpo_pairs_a_right_with_a_wrong_completion_of_one_sample(export):
    found, out = export("dpo")
    # All right or all wrong has no pair: samples 1 2 3, 6 7 8, 11 are left, and the copy of 3.
    assert (found.parts[0].samples, found.parts[0].rows) == (7, 8)
    assert replies(out, 1, "chosen") == [completion(1, 0)]
    assert replies(out, 1, "rejected") == [completion(1, 3)]
    row = pq.read_table(out / "train.parquet").to_pylist()[0]
    assert row["prompt"][-1]["role"] == "user" and len(row["images"]) == 1


def test_with_marks_ms_swift_and_llama_factory_read_one_file(export):
    _, out = export("dpo", messages="marks", system_prompt="")
    row = pq.read_table(out / "train.parquet").to_pylist()[0]
    asked = [{"role": "user", "content": "<image>question 1"}]
    chosen = {"role": "assistant", "content": completion(1, 0)}
    assert row["messages"] == [*asked, chosen] and row["rejected_response"] == completion(1, 3)
    assert (row["asked"], row["chosen"]) == (asked, chosen)
    info = json.loads((out / "dataset_info.json").read_text())["durian_train"]
    assert info["file_name"] == "train.parquet" and info["ranking"] is True
    assert set(info["columns"].values()) <= row.keys()


def test_the_control_too_has_only_samples_with_completions(export):
    found, _ = export("sft", select=4, control="random")
    assert [part.samples for part in found.parts] == [4, 4]
    assert all(part.rows >= 4 for part in found.parts)


def test_completions_of_several_runs_stay_with_their_samples(export, run, other_run):
    _, out = export("sft", run, other_run)
    rows = pq.read_table(out / "train.parquet").to_pylist()
    known = dict(zip(ids(), range(12), strict=False)) | dict(
        zip(ids(8), range(8, 20), strict=False)
    )
    assert len(rows) > 12
    for row in rows:
        i = known[row["sample_id"]]
        assert f"boxed{{{i}}}" in said(row["messages"][-1])


def test_a_run_without_completions_is_refused(export, run, tmp_path, no_figures):
    from durian.config import ProfileConfig
    from durian.profile import profile_dataset

    bare = tmp_path / "bare"
    profile_dataset(
        ProfileConfig(dataset=str(run.parent / "first.parquet"), out=str(bare), measures=("pixel",))
    )
    with pytest.raises(ConfigError, match="no sample has a right completion that came to its end"):
        export("sft", bare)
