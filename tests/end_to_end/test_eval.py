"""durian eval: exact numbers from scripted completions, then the shipped policy on both engines."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from shutil import copytree
from threading import Event

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from durian.analysis.evaluation import JudgedCounts
from durian.analysis.statistics.estimate import DrawnTogether
from durian.config import EvalConfig, ProfileConfig
from durian.errors import DatasetError, RunError, RunFolderError
from durian.evaluate import evaluate_policy
from durian.measuring import sampling
from durian.profile import profile_dataset
from durian.records import as_json
from durian.samples import Score, sample_id
from tests.manifests import manifest

ROWS, ROLLOUTS = 40, 4


# Scripted: five samples q0 to q4 are judged. q5 has no completions by the second policy, q6 a
# damaged image, and q0 stands in two rows.
OURS = {"q0": "RR", "q1": "RW", "q2": "WR", "q3": "WW", "q4": "RR", "q5": "RR", "q6": "RR"}
THEIRS = {"q0": "RR", "q1": "WW", "q2": "WW", "q3": "WW", "q4": "RW", "q6": "RR"}
GROUPS = {  # q4 is not in the table, and q3 and q2 are in one group only
    "q0": ("easy", 0), "q1": ("easy", 1), "q2": ("hard", None), "q3": (None, 1), "q5": ("hard", 0),
}  # fmt: skip


@pytest.fixture
def scripted(tmp_path: Path, png: bytes):
    """Settings of an evaluation of scripted policies; keywords override."""
    # Each its own image: bytes behind a PNG's end are not looked at.
    image = {name: b"damaged" if name == "q6" else png + name.encode() for name in OURS}
    rows = [(name, "1", [image[name]]) for name in [*OURS, "q0"]]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(
        tmp_path / "data.parquet"
    )
    ids = {name: sample_id(name, "1", [image[name]]) for name in OURS}
    for policy, said in (("ours", OURS), ("theirs", THEIRS)):
        (tmp_path / f"{policy}.jsonl").write_text(
            "".join(
                json.dumps({
                    "sample_id": ids[name], "rollout": number, "n_tokens": 4, "sum_logprob": -1.0,
                    "completion": f"<think>so</think> \\boxed{{{1 if letter == 'R' else 2}}}",
                    "finish_reason": "length" if name == "q3" else "stop",
                }) + "\n"
                for name, letters in said.items() for number, letter in enumerate(letters)
            )
        )  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    pl.DataFrame(
        [(ids[name], *groups) for name, groups in GROUPS.items()],
        schema={"sample_id": pl.String, "perceptual_group": pl.String, "reasoning_group": pl.Int32},
        orient="row",
    ).write_parquet(run / "difficulty.parquet", metadata={"durian.schema": "1"})
    profiled = ProfileConfig(
        dataset="d", out="o", model="m", system_prompt="Look.", min_pixels=256, max_pixels=4096
    )
    (run / "manifest.json").write_text(json.dumps(manifest(config=asdict(profiled))))

    def settings(**changes) -> EvalConfig:
        kept = {"dataset": tmp_path / "data.parquet", "model": tmp_path / "ours.jsonl",
                "engine": "scripted", "rollouts": 2}  # fmt: skip
        named = ("dataset", "model", "compare", "table", "out")
        given = kept | changes
        return EvalConfig(**{k: str(v) if k in named else v for k, v in given.items()})

    return settings


def test_a_sample_is_scored_while_the_next_is_drawn(scripted, monkeypatch):
    begun, told, next_drawn = [], [], Event()

    class Patient:
        reads_images = False

        def start(self, attempts):
            if begun and attempts.question != begun[0]:
                next_drawn.set()
            begun.append(attempts.question)

            def wait():
                # Were the engine waiting for these scores, no other sample would come.
                told.append(("waited", next_drawn.wait(30)))
                return [Score(1.0, True, True, None) for _ in attempts.completions]

            return wait

        def close(self):
            told.append("closed")

    monkeypatch.setattr(sampling, "open_reward", lambda *which: Patient())
    evaluate_policy(scripted())
    drawn = [name for name in OURS if name != "q6"]  # its image is damaged
    assert sorted(begun) == sorted([*drawn, *drawn])  # greedy, sampled
    assert told == [("waited", True)] * len(begun) + ["closed"]


def test_rates_and_groups_are_what_was_scripted(scripted, tmp_path):
    both = {"compare": tmp_path / "theirs.jsonl", "table": tmp_path / "run"}
    found = evaluate_policy(scripted(**both, pass_at=(1, 2)))
    json.dumps(as_json(found), allow_nan=False)
    reasons = found.counts.failed_by_reason
    assert found.counts == JudgedCounts(
        rows=8, samples=7, duplicate_rows=1, judged=5, failed=2, failed_by_reason=reasons
    )
    assert Counter(reasons.values()) == {1: 2} and "no scripted rollouts for this sample" in reasons
    assert found.clusters == DrawnTogether(of="sample", n=5)
    ours, theirs = found.models
    # Greedy is the first completion: R R W W R, and R W W W R.
    for model, right in ((ours, 3), (theirs, 2)):
        assert model.greedy.accuracy == right / 5 and model.greedy.n == 5
        assert model.greedy.low is None and "too few for an interval" in model.greedy.reason
    assert (ours.sampled.accuracy, theirs.sampled.accuracy) == (6 / 10, 3 / 10)
    assert ours.sampled.completions == 10
    assert ours.sampled.truncated == 1 / 5 and ours.sampled.format_rate == 1.0
    assert ours.greedy.mean_tokens == 4.0
    table = found.table
    assert (table.not_in_table, table.in_no_perceptual_group) == (1, 1)
    assert (table.in_no_reasoning_group, table.perceptual) == (1, "pixel_entropy")

    def by_group(kind):
        return [
            (row.group, row.n, row.greedy.accuracy, row.sampled.accuracy)
            for row in getattr(ours, kind)
        ]

    assert by_group("perceptual") == [("easy", 2, 1.0, 3 / 4), ("hard", 1, 0.0, 1 / 2)]
    assert by_group("reasoning") == [(0, 1, 1.0, 1.0), (1, 2, 1 / 2, 1 / 4)]
    # RR RW WR WW RR: one of two is right in four of five; pass@1 is the accuracy.
    passed = [(r.kind, r.group, *(e.value for e in r.shares)) for r in ours.pass_at]
    assert passed == [
        (None, "all", 6 / 10, 4 / 5),
        ("perceptual", "easy", 3 / 4, 1.0), ("perceptual", "hard", 1 / 2, 1.0),
        ("reasoning", 0, 1.0, 1.0), ("reasoning", 1, 1 / 4, 1 / 2),
    ]  # fmt: skip
    assert any(s.startswith("At least one of 2 sampled completions") for s in found.sentences)


def test_a_comparison_is_the_first_minus_the_second_on_the_samples_of_both(scripted, tmp_path):
    found = evaluate_policy(scripted(compare=tmp_path / "theirs.jsonl", table=tmp_path / "run"))
    greedy, sampled = found.comparison.greedy, found.comparison.sampled
    assert greedy.difference.value == pytest.approx(1 / 5)
    assert (greedy.only_first_right, greedy.only_second_right, greedy.p) == (1, 0, 1.0)
    # By sample 0, 1, 1, 0, 1 of 2. Turned at random, three ones reach 3 or -3 in 2 of 8 ways.
    assert sampled.difference.value == pytest.approx(3 / 10)
    assert sampled.p == pytest.approx(1 / 4, abs=0.02)
    easy, hard = found.comparison.perceptual
    assert (easy.greedy.value, easy.sampled.value) == (1 / 2, 1 / 4)
    assert (hard.greedy.value, hard.sampled.value) == (0.0, 1 / 2)
    assert "above 0" in found.sentences[-1] and "ours.jsonl minus" in found.sentences[-1]
    alone = evaluate_policy(scripted())
    assert alone.counts.judged == 6  # q5 too, which only the second policy lacks
    assert (alone.comparison, alone.table) == (None, None)
    assert alone.models[0].perceptual is None


def test_no_rollouts_leave_the_greedy_completion(scripted, tmp_path):
    found = evaluate_policy(scripted(rollouts=0, compare=tmp_path / "theirs.jsonl"))
    assert found.models[0].greedy.accuracy == 3 / 5
    assert found.models[0].sampled is None and found.comparison.sampled is None


def test_what_is_left_open_is_as_the_table_had_it(scripted, tmp_path):
    settings = evaluate_policy(scripted(table=tmp_path / "run", min_pixels=512)).settings
    assert (settings.system_prompt, settings.reward) == ("Look.", "boxed")
    assert (settings.min_pixels, settings.max_pixels) == (512, 4096)
    settings = evaluate_policy(scripted(table=tmp_path / "run", system_prompt="")).settings
    assert settings.system_prompt == ""
    settings = evaluate_policy(scripted()).settings
    assert settings.system_prompt == ProfileConfig.system_prompt
    assert settings.max_pixels is None


def test_a_table_that_does_not_fit_is_refused_before_a_model_is_loaded(scripted, tmp_path):
    with pytest.raises(RunFolderError, match=r"is not a run folder \(no manifest\.json\)"):
        evaluate_policy(scripted(table=tmp_path, model="no/such/model"))
    (tmp_path / "begun" / "parts").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="is not complete: run its profile again"):
        evaluate_policy(scripted(table=tmp_path / "begun", model="no/such/model"))
    table = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")
    others = table.with_columns(sample_id=pl.lit("x") + pl.col("sample_id"))
    others.write_parquet(tmp_path / "run" / "difficulty.parquet", metadata={"durian.schema": "1"})
    with pytest.raises(DatasetError, match="has none of its samples"):
        evaluate_policy(scripted(table=tmp_path / "run"))


def test_where_nothing_could_be_judged_there_is_no_result(scripted, tmp_path):
    with pytest.raises(RunError, match="none of 7 samples could be judged: 6 x 2 scripted"):
        evaluate_policy(scripted(rollouts=3, out=tmp_path / "eval.json"))
    assert not (tmp_path / "eval.json").exists()


@pytest.fixture(scope="module")
def blind_policy(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy with noise for patches: it writes as before, and no longer sees."""
    folder = Path(copytree(tiny_policy, tmp_path_factory.mktemp("blind") / "policy"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "patch_embed" in name)
    noise = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
    weights[name] = (noise * weights[name].float().std()).to(weights[name].dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def asked(photo_shapes: Path, tiny_policy: Path) -> dict:
    """What the profile below and each evaluation have in common."""
    return {"dataset": str(photo_shapes), "model": str(tiny_policy), "engine": "transformers",
            "limit": ROWS, "rollouts": ROLLOUTS, "max_tokens": 64}  # fmt: skip


@pytest.fixture(scope="module")
def run(asked: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of the same rows by the same policy and seed."""
    out = tmp_path_factory.mktemp("runs") / "profiled"
    profile_dataset(ProfileConfig(**asked, out=str(out)))
    return out


@pytest.fixture(scope="module")
def by_transformers(asked: dict, run: Path, blind_policy: Path) -> dict:
    return evaluate_policy(EvalConfig(**asked, table=str(run), compare=str(blind_policy)))


def test_the_shipped_policy_is_as_right_as_its_profile_says(run: Path, by_transformers: dict):
    table = pl.read_parquet(run / "difficulty.parquet")
    sampled = by_transformers.models[0].sampled
    # The same seeds over the same rows: the same completions.
    assert sampled.accuracy == pytest.approx(table["pass_rate"].mean(), abs=1e-12)
    assert sampled.format_rate == pytest.approx(table["format_rate"].mean(), abs=1e-12)
    assert sampled.mean_tokens == pytest.approx(table["mean_tokens"].mean(), abs=1e-12)
    for kind in ("perceptual", "reasoning"):
        known = table.group_by(f"{kind}_group").agg(pl.len(), pl.col("pass_rate").mean())
        found = {row.group: row for row in getattr(by_transformers.models[0], kind)}
        for group, n, rate in known.iter_rows():
            assert found[group].n == n
            assert found[group].sampled.accuracy == pytest.approx(rate, abs=1e-12)
    assert by_transformers.counts.judged == ROWS


def test_a_policy_that_no_longer_sees_is_found_worse(by_transformers: dict):
    sees, blind = by_transformers.models
    assert sees.fingerprint != blind.fingerprint
    assert sees.greedy.accuracy > blind.greedy.accuracy
    assert by_transformers.comparison.greedy.difference.low > 0
    assert by_transformers.comparison.greedy.p < 0.05


def test_vllm_judges_two_policies_in_one_process_as_transformers_does(
    asked: dict, run: Path, blind_policy: Path, by_transformers: dict, tmp_path: Path
):
    # Of its own, as a user's: closing vLLM here would close it for other tests.
    command = [
        sys.executable, "-m", "durian_cli", "eval", asked["dataset"], "--model", asked["model"],
        "--compare", str(blind_policy), "--table", str(run), "--limit", str(ROWS),
        "--rollouts", str(ROLLOUTS), "--max-tokens", "64", "--out", str(tmp_path / "eval.json"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert json.loads((tmp_path / "eval.json").read_text()) == found
    told = as_json(by_transformers)
    for ours, theirs in zip(found["models"], told["models"], strict=True):
        assert ours["greedy"] == pytest.approx(theirs["greedy"])
        # Draws differ between engines: 160 completions of 40 samples, within 4 standard errors.
        assert ours["sampled"]["accuracy"] == pytest.approx(theirs["sampled"]["accuracy"], abs=0.25)
    assert found["comparison"]["greedy"] == told["comparison"]["greedy"]
