"""A part of the samples drawn, the others predicted; then more: scripted completions, no model."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.compare import compare_runs
from durian.config import GroupConfig, ProfileConfig, TrainConfig
from durian.errors import ConfigError, InputError
from durian.profile import profile_dataset
from durian.regroup import regroup_run
from durian.run import growing
from durian.samples import sample_id
from durian.table.join import open_table
from tests.cli.in_process import durian

N, G, PART = 90, 4, 25
TRUTH = {"angle": 0.1, "area": 0.5, "perimeter": 0.9}  # share of wrong completions


pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """90 questions whose subject tells how hard they are; row 7 has a damaged image."""
    folder, random = tmp_path_factory.mktemp("sample"), np.random.default_rng(5)
    rows, said = [], []
    for n in range(N):
        subject = list(TRUTH)[n % 3]
        Image.new("L", (8, 8 + n % 3), n).save(folder / f"{n}.png")
        if n == 7:
            (folder / "7.png").write_bytes(b"no image")
        problem = f"<image>{subject} of figure {n}?"
        rows.append({"problem": problem, "answer": "7", "images": [f"{n}.png"], "level": n % 5})
        key = sample_id(problem, "7", [(folder / f"{n}.png").read_bytes()])
        said += [
            {"sample_id": key, "rollout": g, "n_tokens": 4, "finish_reason": "stop",
             "completion": f"<think>so</think> \\boxed{{{3 if bad else 7}}}",
             "sum_logprob": -4.0 if bad else -1.0}
            for g, bad in enumerate(random.random(G) < TRUTH[subject])
        ]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "said.jsonl").write_text("\n".join(map(json.dumps, said)))
    return folder


def settings(world: Path, out: Path, **changed: object) -> ProfileConfig:
    asked = {
        "dataset": str(world / "rows.jsonl"),
        "model": str(world / "said.jsonl"),
        "engine": "scripted",
        "measures": ("pixel", "confidence", "consensus", "duplicates"),
        "rollouts": G,
        "part_size": PART,
        "bins": 3,
        "out": str(out),
    }
    return ProfileConfig(**{**asked, **changed})  # type: ignore[arg-type]  # fmt: skip


def table_of(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "difficulty.parquet")


def _lines(folder: Path) -> list[str]:
    (file,) = folder.glob("*.jsonl")
    return file.read_text().splitlines()


def same(one: Path, other: Path) -> bool:
    names = ("difficulty", "rollouts", "columns", "thumbnails", "signatures")
    return all(
        (one / f"{n}.parquet").read_bytes() == (other / f"{n}.parquet").read_bytes() for n in names
    )


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    profile_dataset(settings(world, out))
    return out


@pytest.fixture(scope="module")
def third(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("third") / "run"
    profile_dataset(settings(world, out, sample=30))
    return out


def test_undrawn_samples_are_predicted_and_say_so(third, world):
    table = table_of(third)
    drawn = table.filter(pl.col("rollouts") > 0)
    undrawn = table.filter(pl.col("rollouts") == 0)
    assert len(table) == N
    # Row 7 cannot be drawn where it is among the 30, nor predicted where it is not.
    assert len(drawn) in (29, 30) and len(undrawn) + len(drawn) in (N, N - 1)
    for name in ("pass_rate", "mean_logprob", "reward_mean", "mean_tokens", "answer_kind"):
        assert undrawn[name].null_count() == len(undrawn), name
    readable = undrawn.filter(pl.col("row") != 7)
    assert readable["pixel_entropy"].null_count() == 0  # images are looked at all the same
    assert readable["estimated_from"].unique().to_list() == [0]
    for name in ("difficulty", "difficulty_sd", "confidence", "confidence_sd"):
        assert readable[name].null_count() == 0, name
    assert readable["reasoning_group"].null_count() == 0
    manifest = json.loads((third / "manifest.json").read_text())
    assert manifest["sampled"] == {"asked": 30, "drawn": 30}
    assert manifest["groups"]["reasoning"]["measure"] == "confidence"
    assert len(pl.read_parquet(third / "rollouts.parquet")) == G * len(drawn)


def test_each_kind_of_question_gives_its_share(third):
    # 30 of each subject, a third of all is drawn: ten of each, within one.
    drawn = table_of(third).filter(pl.col("rollouts") != 0)["problem"]
    for subject in TRUTH:
        assert abs(int(drawn.str.contains(subject).sum()) - 10) <= 1, subject


def test_undrawn_samples_are_predicted_by_their_kind(third):
    undrawn = table_of(third).filter((pl.col("rollouts") == 0) & (pl.col("row") != 7))
    truth = np.array([TRUTH[p.split(">")[1].split()[0]] for p in undrawn["problem"]])
    # The mean would be off by sqrt((0.4^2 + 0 + 0.4^2) / 3) = 0.33.
    assert np.sqrt(np.mean((undrawn["difficulty"].to_numpy() - truth) ** 2)) < 0.2


def test_a_grown_run_is_the_run_that_was_drawn_at_once(world, whole, third, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(third, run)
    before = pl.read_parquet(run / "rollouts.parquet")
    for sample in (0.5, 1.0):  # 45, and all
        profile_dataset(settings(world, run, sample=sample))
    assert same(run, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    after = pl.read_parquet(run / "rollouts.parquet")
    assert before.join(after, on=before.columns, how="anti", nulls_equal=True).is_empty()
    one, other = (json.loads((of / "manifest.json").read_text()) for of in (run, whole))
    for manifest in (one, other):
        del manifest["config"]["out"], manifest["created"], manifest["seconds"]
    assert one == other  # tokens and all


def test_nothing_is_drawn_twice(world, third, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(third, run)
    # A script that lacks those that were drawn: to ask for them again would leave them unanswered.
    known = set(pl.read_parquet(run / "rollouts.parquet")["sample_id"])
    lines = [json.loads(line) for line in (world / "said.jsonl").read_text().splitlines()]
    script = [line for line in lines if line["sample_id"] not in known]
    model = world / "said.jsonl"
    kept = model.read_text()
    try:
        model.write_text("\n".join(map(json.dumps, script)))
        identity = json.loads((run / "manifest.json").read_text())
        del identity["identity"]["model"]
        (run / "manifest.json").write_text(json.dumps(identity))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("durian.manifest.model_fingerprint", lambda sampling: None)
            profile_dataset(settings(world, run, sample=60))
    finally:
        model.write_text(kept)
    table = table_of(run)
    assert set(table.filter(pl.col("rollouts") > 0)["row"]) >= set(
        table_of(third).filter(pl.col("rollouts") > 0)["row"]
    )
    assert len(pl.read_parquet(run / "rollouts.parquet")) in (59 * G, 60 * G)


def test_a_sample_may_only_grow(world, third, whole):
    for run in (third, whole):
        before = (run / "manifest.json").read_bytes()
        with pytest.raises(InputError, match="may only grow"):
            profile_dataset(settings(world, run, sample=15))
        assert (run / "manifest.json").read_bytes() == before
    # The same again is the run that is there.
    assert profile_dataset(settings(world, third, sample=30)).manifest.sampled.drawn == 30


def test_an_unfinished_run_goes_on_and_only_grows(world, whole, tmp_path, monkeypatch):
    run, count = tmp_path / "run", []
    write = growing.add_to_part

    def dies(*given):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        write(*given)

    monkeypatch.setattr("durian.profile.add_to_part", dies)
    with pytest.raises(KeyboardInterrupt):
        profile_dataset(settings(world, run, sample=0.4))
    with pytest.raises(InputError, match="larger --sample, which may only grow"):
        profile_dataset(settings(world, run, sample=0.2))
    profile_dataset(settings(world, run, sample=1.0))
    assert same(run, whole)


@pytest.mark.parametrize("at", ["parts", "tables", "exchange", "removal"])
def test_a_kill_leaves_the_old_run_or_the_new_one(world, whole, third, tmp_path, monkeypatch, at):
    run = tmp_path / "run"
    shutil.copytree(third, run)
    where = {
        "parts": "durian.profile.add_to_part", "tables": "durian.profile.finish_run",
        "exchange": "durian.run.growing._exchange", "removal": "durian.run.growing._remove",
    }[at]  # fmt: skip

    def dies(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, dies)
        with pytest.raises(KeyboardInterrupt):
            profile_dataset(settings(world, run))
    assert same(run, whole if at == "removal" else third)
    with monkeypatch.context() as patch:
        if at in ("exchange", "removal"):  # all is there: nothing may be measured again
            patch.setattr("durian.profile.measure_samples", None)
        profile_dataset(settings(world, run))
    assert same(run, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_system_that_cannot_exchange_renames_in_turn(
    world, whole, third, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(third, run)
    monkeypatch.setattr(growing, "_renamed_at_once", lambda *paths: False)
    profile_dataset(settings(world, run))
    assert same(run, whole)
    # A kill between the renames: the new run stands beside a name that is free.
    run.rename(growing.beside(run))
    profile_dataset(settings(world, run))
    assert same(run, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_that_is_not_there_leaves_the_complete_run_alone(
    world, third, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(third, run)

    def refuses(*given):
        raise ConfigError("no such model")

    monkeypatch.setattr("durian.measuring.measuring.open_policy", refuses)
    with pytest.raises(ConfigError):
        profile_dataset(settings(world, run))
    assert same(run, third)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("0", "without a point it is a number, 1 or more"),
        ("0.0", "above 0 and at most 1"),
        ("1.5", "above 0 and at most 1"),
        ("-3", "1 or more"),
        ("half", "write a share with a point"),
        ("3", "3 of 90 samples; 10 or more"),
        ("0.05", "4 of 90 samples; 10 or more"),
    ],
)
def test_a_sample_that_is_none_is_refused_in_one_line(world, tmp_path, sample, said):
    out = tmp_path / "run"
    code, _, stderr = durian(
        "profile", str(world / "rows.jsonl"), "--engine", "scripted", "--model",
        str(world / "said.jsonl"), "--out", str(out), "--sample", sample, "--quiet",
    )  # fmt: skip
    assert code == 2
    assert said in stderr and stderr.count("\n") == 1
    assert not out.exists()


def test_a_sample_of_images_alone_is_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="no measure here draws any"):
        settings(world, tmp_path, measures=("pixel",), sample=0.5)


def test_one_and_one_point_nothing_are_not_the_same(world, tmp_path):
    assert settings(world, tmp_path, sample=1.0).draws_all
    assert not settings(world, tmp_path, sample=1).draws_all
    assert settings(world, tmp_path, sample=500).drawn_of(90) == 90


def test_a_dry_run_prices_what_is_left_to_draw(world, third):
    from durian.planning.dry_run import plan_profile

    plan = plan_profile(settings(world, third, sample=0.5))
    assert (plan.drawn, plan.completions, plan.complete) == (15, 15 * G, False)


def test_a_partial_run_is_grouped_and_exported_by_its_estimates(third, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(third, run)
    regroup_run(GroupConfig(run=str(run), reasoning="difficulty", bins=2))
    table = table_of(run)
    known = table.filter(pl.col("difficulty").is_not_null())
    assert known["reasoning_group"].null_count() == 0
    hard = known.filter(pl.col("reasoning_group") == 0)["difficulty"].min()
    assert hard >= known.filter(pl.col("reasoning_group") == 1)["difficulty"].max()
    out = tmp_path / "chosen"
    code, _, stderr = durian(
        "export", str(run), "--to", "jsonl", "--out", str(out),
        "--filter", "difficulty > 0.25 AND estimated_from = 0", "--quiet",
    )  # fmt: skip
    assert code == 0, stderr
    wanted = table.filter((pl.col("difficulty") > 0.25) & (pl.col("estimated_from") == 0))
    exported = [json.loads(line) for line in _lines(out)]
    assert {row["sample_id"] for row in exported} == set(wanted["sample_id"])


def test_later_stages_take_a_partial_run(third, whole, world, tmp_path):
    rows, said = str(world / "rows.jsonl"), str(world / "said.jsonl")
    # Training filters by the estimate, predicted samples and all, in groups that all are in.
    table = open_table(
        TrainConfig(
            dataset=rows, table=str(third), model="m", out=str(tmp_path / "t"),
            filter="difficulty BETWEEN 0.1 AND 0.9",
        )
    )  # fmt: skip
    known = table_of(third)
    assert (
        table.passes == known["difficulty"].is_between(0.1, 0.9).fill_null(False).to_numpy()
    ).all()
    undrawn = (known["rollouts"] == 0) & (known["row"] != 7)
    assert (table.passes & undrawn.to_numpy()).any()
    assert (table.reasoning_group[undrawn.to_numpy()] >= 0).all()
    # An evaluation has its groups from it; row 7 can be asked nothing.
    code, out, stderr = durian(
        "eval", rows, "--engine", "scripted", "--model", said, "--table", str(third),
        "--rollouts", "2", "--json", "--quiet",
    )  # fmt: skip
    assert code == 0, stderr
    judged = json.loads(out)["table"]
    assert judged["reasoning"] == "confidence" and judged["not_in_table"] == 0
    assert judged["in_no_reasoning_group"] <= 1
    # Two runs are compared over the samples that both have drawn.
    found = compare_runs(third, whole)
    assert found.samples.both == N
    # Completions are there to teach of those that were drawn alone.
    code, _, stderr = durian(
        "export", str(third), "--to", "sft", "--out", str(tmp_path / "sft"), "--quiet"
    )
    assert code == 0, stderr
    taught = len(pl.read_parquet(tmp_path / "sft" / "train.parquet"))
    assert 0 < taught <= len(known.filter(pl.col("pass_rate") > 0))
