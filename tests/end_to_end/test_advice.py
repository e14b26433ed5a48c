"""Each line of advice that a page prints, followed to the letter: it makes what it promised."""

import io
import json
import shlex
from pathlib import Path
from shutil import copytree

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from durian.analysis.one_run.summary import Advice
from durian.compare import compare_runs
from durian.config import ProfileConfig
from durian.normalizer import durian_advantages
from durian.profile import profile_dataset
from durian.rendering.compare_sentences import compare_advice
from durian.report import build_report
from durian.samples import sample_id
from durian.table.checked import check_summary
from tests.cli.in_process import durian

N, G, LACKING, DAMAGED = 160, 4, 20, 2


pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset whose samples are wrong where `level` is low, and what a policy said of them.

    Nothing else goes with the errors but the log-probability of whole completions. `level` is
    missing of some, and the image of two cannot be read. Two scripts: of G completions a sample,
    and of 2 G. In `plain.parquet` the same without `level`.
    """
    folder, rng = tmp_path_factory.mktemp("advice"), np.random.default_rng(7)
    rows, scripts = [], {G: [], 2 * G: []}
    for number in range(N):
        file = io.BytesIO()
        pixels = rng.integers(0, int(rng.integers(4, 200)), (16, 16))
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        image = b"damaged" if number < DAMAGED else file.getvalue()
        level = int(rng.integers(0, 10))
        row = {"problem": f"How many in picture {number}?", "answer": "2", "images": [image]}
        rows.append({**row, "level": None if DAMAGED <= number < DAMAGED + LACKING else level})
        chance = 0.02 if level < 3 else 0.5 if level < 6 else 0.95
        for size, script in scripts.items():
            for rollout in range(size):
                right = rng.random() < chance
                # Unsure where it is wrong, as a whole; a token, nothing but noise.
                tokens = int(rng.integers(5, 9)) if right else int(rng.integers(10, 20))
                script.append(
                    {"sample_id": sample_id(row["problem"], "2", row["images"]),
                     "rollout": rollout, "n_tokens": tokens, "finish_reason": "stop",
                     "sum_logprob": -tokens * (0.5 + 0.05 * float(rng.random())),
                     "completion": f"<think>hm</think> \\boxed{{{2 if right else 3}}}"}
                )  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "data.parquet")
    pl.DataFrame(rows).drop("level").write_parquet(folder / "plain.parquet")
    for size, script in scripts.items():
        (folder / f"{size}.jsonl").write_text("\n".join(map(json.dumps, script)))
    return folder


def profiled(world, name: str, data: str = "data", **changed) -> str:
    run = str(world / name)
    asked = {"dataset": str(world / f"{data}.parquet"), "engine": "scripted", "rollouts": G,
             "model": str(world / f"{G}.jsonl"), "out": run}  # fmt: skip
    profile_dataset(ProfileConfig(**(asked | changed)))
    return run


@pytest.fixture(scope="module")
def run(world) -> str:
    return profiled(world, "run")


@pytest.fixture(scope="module")
def plain(world) -> str:
    """A run whose images say nothing of the errors, with no other column, by a confidence."""
    return profiled(world, "plain", "plain", reasoning="sum_logprob")


@pytest.fixture(scope="module")
def lost(world) -> str:
    """A run in which nothing is right."""
    wrong = (world / f"{G}.jsonl").read_text().replace("boxed{2", "boxed{3")
    (world / "wrong.jsonl").write_text(wrong)
    return profiled(world, "lost", model=str(world / "wrong.jsonl"))


@pytest.fixture(scope="module")
def pixels(world) -> str:
    """A run of images alone."""
    return profiled(world, "pixels", measures=("pixel",), model=None, engine="vllm")


def the(advice: list[Advice], start: str) -> Advice:
    (line,) = (line for line in advice if line.do.startswith(start))
    return line


def followed(line: Advice, run: str, *rest: object) -> dict:
    """What the command of a line gives as JSON, with what its dots stand for."""
    given = line.do.splitlines()[0].replace("RUN", shlex.quote(run))
    given = given.replace("…", shlex.join(map(str, rest)))
    code, out, err = durian(*shlex.split(given)[1:], "--json")
    assert code == 0, (given, err)
    return json.loads(out)


def rates(summary: dict, kind: str) -> list[float]:
    return [row["error_rate"]["value"] for row in summary[kind] if row["samples"]]


def copied(run: str, name: str, tmp_path) -> str:
    """The run, to be grouped anew: others read it as it is."""
    return str(copytree(run, tmp_path / name))


def test_the_column_that_it_advises_makes_groups_whose_hard_one_is_wrong_more_often(
    run, tmp_path
) -> None:
    run = copied(run, "by_level", tmp_path)
    line = the(check_summary(Path(run)).advice, "durian group RUN --perceptual")
    assert line.do == "durian group RUN --perceptual level:lower"
    # Of N samples, two cannot be read: N - 2 were scored, and 20 of them have no level.
    assert f"on the {N - DAMAGED - LACKING} samples that have both" in line.say
    assert f"{LACKING} samples lack it" in line.say
    found = followed(line, run)
    easy, *_, hard = rates(found["summary"], "perceptual")
    assert hard > 0.9 and easy < 0.2
    assert found["summary"]["contrast"]["perceptual"]["low"] > 0
    assert not any("--perceptual" in each["do"] for each in found["summary"]["advice"])
    (lost,) = (said for said in found["summary"]["sentences"] if "no perceptual group" in said)
    # The two that cannot be read have a level, and stand in a group.
    assert lost.startswith(f"{LACKING} of {N} samples have no level")


def test_groups_by_the_wrong_end_are_turned_round_as_it_says(run, tmp_path) -> None:
    run = copied(run, "turned", tmp_path)
    code, _, err = durian("group", run, "--perceptual", "level:higher", "--quiet")
    assert code == 0, err
    before = check_summary(Path(run))
    assert before.scored.contrast["perceptual"].high < 0
    found = followed(the(before.advice, "durian group RUN --perceptual"), run)
    assert found["summary"]["contrast"]["perceptual"]["low"] > 0


def test_the_confidence_that_it_advises_makes_bins_whose_first_is_wrong_most(run, tmp_path) -> None:
    run = copied(run, "by_sum", tmp_path)
    line = the(check_summary(Path(run)).advice, "durian group RUN --reasoning")
    assert line.do == "durian group RUN --reasoning sum_logprob"
    found = followed(line, run)
    least, *_, most = rates(found["summary"], "reasoning")
    assert least > 0.8 and most < 0.2
    assert not any("--reasoning" in each["do"] for each in found["summary"]["advice"])


def test_the_bins_that_it_advises_are_fewer_and_it_does_not_ask_again(run, tmp_path) -> None:
    run = copied(run, "fewer", tmp_path)
    before = check_summary(Path(run))
    found = followed(the(before.advice, "durian group RUN --bins"), run)
    assert 2 <= len(found["groups"]["reasoning"]["sizes"]) < len(before.scored.reasoning)
    assert not any("--bins" in each["do"] for each in found["summary"]["advice"])


def test_the_rollouts_that_it_advises_make_pass_rates_more_reliable(world, run, tmp_path) -> None:
    before = check_summary(Path(run))
    line = the(before.advice, "durian profile … --rollouts")
    assert line.do.endswith(f"--rollouts {2 * G}")
    out, script = tmp_path / "more", world / f"{2 * G}.jsonl"
    followed(line, run, world / "data.parquet", "--engine", "scripted", "--model", script,
             "--out", out)  # fmt: skip
    known, after = (
        summary.scored.reliability.pass_rate.reliability for summary in (before, check_summary(out))
    )
    promised = 2 * known / (1 + known)  # by Spearman and Brown's formula
    assert f"would give {promised:.2f}" in line.say
    assert after == pytest.approx(promised, abs=0.05) and after > known


def dry_run(line: Advice, world, run: str, tiny_policy, tmp_path, data="data") -> dict:
    """The plan of the training that a line advises, by its command and by its setting."""
    rest = [world / f"{data}.parquet", "--table", run, "--model", tiny_policy,
            "--out", tmp_path / "trained", "--dry-run"]  # fmt: skip
    by_command = followed(line, run, *rest)
    setting = tmp_path / "train.yaml"
    setting.write_text(line.do.splitlines()[1] + "\n")
    code, out, err = durian("train", *rest, "--config", setting, "--json")
    assert code == 0, err
    assert json.loads(out) == by_command
    return by_command


def test_the_filter_that_it_advises_leaves_as_many_samples_as_it_says(
    world, run, tiny_policy, tmp_path
) -> None:
    summary = check_summary(Path(run))
    line = the(summary.advice, 'durian train … --filter "reward_std')
    plan = dry_run(line, world, run, tiny_policy, tmp_path)
    left = N - sum(plan["left_out"].values())
    table = pl.read_parquet(f"{run}/difficulty.parquet")
    # Whose completions are neither all right nor all wrong: 1, 2 or 3 of 4.
    assert left == (table["pass_rate"] * G).is_in([1.0, 2.0, 3.0]).sum()
    assert f" {left:,} samples remain" in line.say


def test_the_filter_against_failures_leaves_those_that_have_all_measures(
    world, run, tiny_policy, tmp_path
) -> None:
    line = the(check_summary(Path(run)).advice, 'durian train … --filter "error')
    assert line.say.startswith(f"{DAMAGED} samples lack a measure")
    plan = dry_run(line, world, run, tiny_policy, tmp_path)
    assert sum(plan["left_out"].values()) == DAMAGED


def test_the_weights_that_it_advises_make_the_perceptual_groups_count_for_nothing(
    world, plain, tiny_policy, tmp_path
) -> None:
    line = the(check_summary(Path(plain)).advice, "durian train … --weights")
    plan = dry_run(line, world, plain, tiny_policy, tmp_path, data="plain")
    rewards = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.1, 0.0, 1.0]])
    bins = torch.tensor([0, 0, 1])
    one, other = (
        durian_advantages(rewards, torch.tensor(seen), bins, weights=tuple(plan["weights"]))
        for seen in ([0, 1, 2], [2, 2, 0])
    )
    assert torch.equal(one, other)
    assert sum(plan["weights"]) == pytest.approx(1)


def test_the_profile_that_a_page_of_images_alone_advises_scores_completions(
    world, pixels, tmp_path
) -> None:
    summary = check_summary(Path(pixels))
    (line,) = summary.advice
    assert line.do == "durian profile … --model MODEL --measures pixel,confidence"
    script, out = world / f"{G}.jsonl", tmp_path / "scored"
    line = Advice(say=line.say, do=line.do.replace("MODEL", shlex.quote(str(script))))
    found = followed(line, pixels, world / "data.parquet", "--engine", "scripted",
                     "--rollouts", G, "--out", out)  # fmt: skip
    assert found["summary"]["measured"] == N - DAMAGED
    assert {"pixel_entropy", "level"} <= set(found["summary"]["measures"])
    right = pl.read_parquet(out / "difficulty.parquet")["pass_rate"].mean()
    assert found["summary"]["error_rate"]["value"] == pytest.approx(1 - right)


def test_the_table_that_a_comparison_advises_is_trained_on(
    world, run, tiny_policy, tmp_path
) -> None:
    later = profiled(world, "later", rollouts=2 * G, model=str(world / f"{2 * G}.jsonl"))
    (line,) = compare_advice(compare_runs(run, later, tmp_path / "compared"))
    plan = followed(line, run, world / "data.parquet", "--model", tiny_policy, "--out",
                    tmp_path / "trained", "--dry-run")  # fmt: skip
    assert plan["table"] in (run, later)
    assert plan["left_out"] == {}  # of that dataset


def test_where_nothing_is_right_it_says_how_to_see_what_is_asked_and_judged(
    world, lost, tmp_path
) -> None:
    line, *_ = check_summary(Path(lost)).advice
    assert "Nearly nothing is right" in line.say and len(line.examples or ()) == 3
    asked, judged = line.do.splitlines()
    plan = followed(Advice(say="", do=asked), lost, world / "data.parquet", "--engine", "scripted",
                    "--model", world / "wrong.jsonl", "--out", tmp_path / "out")  # fmt: skip
    assert plan["samples"] == N
    code, out, err = durian(*shlex.split(judged.replace("ANSWER REFERENCE", "3 2"))[1:], "--json")
    assert code == 0, err
    assert json.loads(out)["right"] is False


def test_every_line_of_advice_is_followed_here(run, plain, pixels, lost) -> None:
    """A new one needs its own test above."""
    known = ("group RUN --perceptual", "group RUN --reasoning", "group RUN --bins auto",
             'train … --filter "reward_std', 'train … --filter "error', "profile … --rollouts",
             "train … --weights 0.7,0,0.3", "profile … --model MODEL",
             "profile … --dry-run\ndurian grade ANSWER REFERENCE")  # fmt: skip
    for path in (run, plain, pixels, lost):
        for line in build_report(Path(path)).advice:
            assert any(line.do.startswith(f"durian {start}") for start in known), line.do
