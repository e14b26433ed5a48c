"""A finished run's completions under another reward: what changes, what stays, what is refused."""

import json

import polars as pl
import pytest
from PIL import Image

from durian import rescore
from durian.compare import compare_runs
from durian.config import ProfileConfig, RescoreConfig
from durian.errors import RunFolderError
from durian.profile import Work, profile_dataset
from durian.rescore import rescore_run
from durian.table.checked import check_run

ROWS = 12  # and one that no engine took
REFUSED = "the prompt is too long"
KEPT = {"spectral_entropy": 1.5, "image_tokens": 64, "prompt_tokens": 80, "resize_factor": 0.5}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A profile of 12 samples with 4 completions each, two of them right by the boxed reward.

    Its table has what a policy's weights would have measured, planted.
    """
    folder = tmp_path_factory.mktemp("rescore")
    with open(folder / "rows.jsonl", "w") as file:
        for n in range(ROWS + 1):
            Image.new("RGB", (8, 8), (20 * n, 0, 0)).save(folder / f"{n}.png")
            row = {"problem": f"How many? {n}", "answer": str(n), "images": [f"{n}.png"]}
            print(json.dumps(row | {"colour": "red" if n % 2 else "blue"}), file=file)
    plain = folder / "plain"
    profile_dataset(
        ProfileConfig(dataset=str(folder / "rows.jsonl"), measures=("pixel",), out=str(plain))
    )
    with open(folder / "said.jsonl", "w") as file:
        table = pl.read_parquet(plain / "difficulty.parquet")
        for sample_id, answer in table.head(ROWS).select("sample_id", "answer").iter_rows():
            for k, text in enumerate((answer, answer, "red", "99")):
                print(json.dumps({
                    "sample_id": sample_id, "rollout": k, "completion": f"\\boxed{{{text}}}",
                    "n_tokens": 3 + k, "sum_logprob": -0.5 * (k + 1), "finish_reason": "stop",
                }), file=file)  # fmt: skip
    profile_dataset(
        ProfileConfig(dataset=str(folder / "rows.jsonl"), engine="scripted", rollouts=4, bins=2,
                      model=str(folder / "said.jsonl"), out=str(folder / "run"), part_size=5)
    )  # fmt: skip
    at = folder / "run" / "difficulty.parquet"
    table = pl.read_parquet(at)
    metadata = pl.read_parquet_metadata(at)
    planted = [pl.lit(v).cast(table[k].dtype).alias(k) for k, v in KEPT.items()]
    refused = pl.when(pl.col("row") == ROWS).then(pl.lit(REFUSED)).otherwise(pl.col("error"))
    planted.append(refused.alias("error"))
    table.with_columns(planted).write_parquet(at, metadata={
        key: value for key, value in metadata.items() if key.startswith("durian")
    })  # fmt: skip
    # As TRL calls a reward: a column of the dataset comes along. Of an odd row "red" is right.
    (folder / "colour.py").write_text(
        "def score(completions, colour, **columns):\n"
        "    return [float(c in said) for said, c in zip(completions, colour)]\n"
    )
    return folder


@pytest.fixture(scope="module")
def rescored(world):
    return rescore_run(
        RescoreConfig(run=world / "run", reward=f"{world}/colour.py:score", out=str(world / "new"))
    )


def test_the_completions_are_scored_by_the_other_reward(world, rescored):
    table = pl.read_parquet(world / "new" / "difficulty.parquet")
    # Of four completions one says "red": right in the odd rows alone.
    assert table["pass_rate"].to_list() == [*(0.25 if n % 2 else 0.0 for n in range(ROWS)), None]
    old, new = (pl.read_parquet(world / name / "rollouts.parquet") for name in ("run", "new"))
    same = ["sample_id", "rollout", "completion", "n_tokens", "sum_logprob", "finish_reason"]
    assert new.select(same).equals(old.select(same))
    assert old["correct"].sum() == 2 * ROWS and new["correct"].sum() == ROWS // 2


def test_what_no_reward_touches_stays_as_it_was(world, rescored):
    old, new = (pl.read_parquet(world / name / "difficulty.parquet") for name in ("run", "new"))
    stays = ["sample_id", "row", "pixel_entropy", "mean_logprob", "mean_tokens", "rollouts", *KEPT]
    assert new.select(stays).equals(old.select(stays))
    assert new["spectral_entropy"].to_list() == [1.5] * (ROWS + 1)  # no weights were loaded for it
    # There was nothing to replay: why, the run had said.
    assert new["error"].to_list() == [None] * ROWS + [REFUSED]
    before, after = check_run(world / "run"), check_run(world / "new")
    assert after.model == before.model and after.logprobs_mode == before.logprobs_mode
    assert after.config["engine"] == before.config["engine"]
    assert after.config["measures"] == before.config["measures"]
    assert after.rescored.reward == "boxed" and after.rescored.run == str(world / "run")


def test_a_comparison_says_that_the_completions_are_the_same_and_nothing_else(world, rescored):
    for a, b in (("run", "new"), ("new", "run")):
        (line,) = compare_runs(world / a, world / b, world / f"compared-{a}").warnings
        assert line.startswith("both runs have the same completions, scored by")


def test_the_same_command_again_does_nothing_and_another_reward_is_refused(world, rescored):
    config = RescoreConfig(
        run=world / "run", reward=f"{world}/colour.py:score", out=str(world / "new")
    )
    before = (world / "new" / "difficulty.parquet").stat().st_mtime_ns
    assert rescore_run(config).run == str(world / "new")
    assert (world / "new" / "difficulty.parquet").stat().st_mtime_ns == before
    other = RescoreConfig(run=world / "run", reward="boxed", out=str(world / "new"))
    with pytest.raises(RunFolderError, match="reward"):
        rescore_run(other)


def test_a_run_without_completions_and_another_dataset_are_refused(world, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RunFolderError, match="has no completions"):
        rescore_run(RescoreConfig(run=world / "plain", reward="boxed", out=str(out)))
    lines = (world / "rows.jsonl").read_text().splitlines()[:-1]
    (world / "fewer.jsonl").write_text("\n".join(lines))
    fewer = RescoreConfig(
        run=world / "run", reward="boxed", out=str(out), dataset=str(world / "fewer.jsonl")
    )
    with pytest.raises(RunFolderError, match="another content"):
        rescore_run(fewer)
    assert not out.exists()


def test_the_manifest_shows_no_password_of_an_address(world, monkeypatch):
    told = {}
    monkeypatch.setattr(rescore, "finish_run", lambda *_, also, **__: told.update(also))
    before = check_run(world / "run")
    address = "https://user:hunter2@example.org/rows.parquet?X-Amz-Signature=hunter2"
    config = RescoreConfig(run=world / "run", reward="boxed", out="new", dataset=address)
    work = Work(
        config=rescore._replayed(config, before), reader=None, index=None, drawn=None, identity={},
        watch=None,
    )  # fmt: skip
    assert work.config.dataset == address  # it is read by it
    rescore._finish(config, before, work, None, None)
    assert "example.org/rows.parquet" in told["config"]["dataset"]
    assert "hunter2" not in str(told)
