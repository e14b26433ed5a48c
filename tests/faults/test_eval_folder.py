"""`durian eval --out FOLDER`: what it keeps, what it refuses, and what a kill leaves of it."""

import json
import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

from tests.faults.faulty import PART, ROLLOUTS, SAMPLES, ForkServer, files, points_of, some, written

KEPT = {"index.html", "manifest.json", "rollouts.parquet", "summary.json"}
PARTS = {f"part-{number:05d}.parquet" for number in range(6)}  # three of each policy


@pytest.fixture(scope="module")
def evaluation(profile: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`eval` of two scripted policies over the profile's dataset, without its --out."""
    data, script = Path(profile[1]), Path(profile[5])
    other = tmp_path_factory.mktemp("other") / "other.jsonl"
    other.write_text(script.read_text().replace("boxed{1", "boxed{9"))
    return [
        "eval", str(data), "--engine", "scripted", "--model", str(script), "--compare", str(other),
        "--rollouts", str(ROLLOUTS), "--part-size", str(PART), "--workers", "2", "--quiet",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def judged(
    server: ForkServer, evaluation: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The evaluation that nothing interrupted."""
    run = tmp_path_factory.mktemp("judged") / "run"
    ended = server.durian(*evaluation, "--out", run)
    assert ended.code == 0, ended.said
    return run


def summary(run: Path) -> dict[str, object]:
    """But what the clock says, and where it is."""
    read = json.loads((run / "summary.json").read_text())
    assert read["settings"].pop("out") == str(run)
    return {key: value for key, value in read.items() if key not in ("created", "seconds")}


def test_it_keeps_every_completion_and_the_numbers(judged: Path) -> None:
    assert files(judged) == KEPT
    table = pl.read_parquet(judged / "rollouts.parquet")
    # A greedy completion and two sampled ones of each of seven samples, by each of two policies.
    assert len(table) == SAMPLES * (1 + ROLLOUTS) * 2
    assert table.columns[:4] == ["policy", "greedy", "sample_id", "rollout"]
    found = json.loads((judged / "summary.json").read_text())
    for policy, model in zip(("model", "compare"), found["models"], strict=True):
        for greedy, way in ((True, "greedy"), (False, "sampled")):
            mine = table.filter((pl.col("policy") == policy) & (pl.col("greedy") == greedy))
            assert mine["correct"].mean() == pytest.approx(model[way]["accuracy"])
    page = (judged / "index.html").read_text()
    assert all(sentence.split(" ")[0] in page for sentence in found["sentences"])


def test_an_evaluation_killed_at_any_write_resumes_to_the_same_numbers(
    server: ForkServer, evaluation: list[str], judged: Path, tmp_path: Path
) -> None:
    server.durian(*evaluation, "--out", tmp_path / "counted")
    for at, when in some(points_of(server.operations()), 16):
        run = tmp_path / f"{at}-{when}"
        killed = server.durian(*evaluation, "--out", run, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        complete = (run / "manifest.json").exists()
        finished = {part.name for part in (run / "parts").glob("part-*.parquet")}
        ended = server.durian(*evaluation, "--out", run)
        assert ended.code == 0, (at, when, ended)
        assert files(run) == KEPT, (at, when)
        whole = (judged / "rollouts.parquet").read_bytes()
        assert (run / "rollouts.parquet").read_bytes() == whole, (at, when)
        assert summary(run) == summary(judged)
        # What was finished was not judged again, and all else was judged once.
        made = [name for name in written(server.operations()) if name in PARTS]
        assert sorted(made) == ([] if complete else sorted(PARTS - finished)), (at, when)
        shutil.rmtree(run)


def test_a_finished_evaluation_is_told_again_and_not_judged_again(
    server: ForkServer, evaluation: list[str], judged: Path
) -> None:
    before = {path: path.read_bytes() for path in judged.iterdir()}
    assert server.durian(*evaluation, "--out", judged).code == 0
    assert {path: path.read_bytes() for path in judged.iterdir()} == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seed", "1", "was made with seed 0, not 1; choose another --out"),
        ("--rollouts", "1", "was made with rollouts 2, not 1; choose another --out"),
        ("--part-size", "2", "was made with part_size 3, not 2; choose another --out"),
    ],
)
def test_a_finished_evaluation_is_not_overwritten(
    server: ForkServer, evaluation: list[str], judged: Path, option: str, value: str, said: str
) -> None:
    words = list(evaluation)
    if option in words:
        words[words.index(option) + 1] = value
    else:
        words += [option, value]
    ended = server.durian(*words, "--fresh", "--out", judged)
    assert (ended.code, files(judged)) == (2, KEPT)
    assert said in ended.last


def test_another_policy_to_compare_with_is_refused_by_its_name(
    server: ForkServer, evaluation: list[str], judged: Path
) -> None:
    words = list(evaluation)
    model, other = (words[words.index(option) + 1] for option in ("--model", "--compare"))
    words[words.index("--compare") + 1] = model
    ended = server.durian(*words, "--out", judged)
    assert ended.code == 2
    assert ended.last.endswith(f"was made with compare {other}, not {model}; choose another --out")


def test_a_begun_evaluation_is_of_its_settings_until_fresh(
    server: ForkServer, evaluation: list[str], judged: Path, tmp_path: Path
) -> None:
    server.durian(*evaluation, "--out", tmp_path / "counted")
    at = server.operations().index("replace part-00004.parquet")
    run = tmp_path / "run"
    server.durian(*evaluation, "--out", run, at=at)
    ended = server.durian(*evaluation, "--seed", "1", "--out", run)
    assert ended.code == 2
    assert ended.last.endswith("was made with seed 0, not 1; repeat the old value, or pass --fresh")
    assert len(list((run / "parts").glob("part-*.parquet"))) == 4
    assert server.durian(*evaluation, "--seed", "1", "--out", run, "--fresh").code == 0
    assert files(run) == KEPT
    assert json.loads((run / "manifest.json").read_text())["identity"]["seed"] == 1


def test_a_profile_and_an_evaluation_do_not_take_each_other_s_folder(
    server: ForkServer, evaluation: list[str], judged: Path, profile: list[str], whole: Path
) -> None:
    before = files(whole)
    ended = server.durian(*evaluation, "--out", whole)
    assert ended.code == 2 and "holds a profile, not an evaluation; choose" in ended.last
    ended = server.durian(*profile, "--out", judged)
    assert ended.code == 2 and "holds an evaluation, not a profile; choose" in ended.last
    ended = server.durian("report", judged, "--quiet")
    assert ended.code == 2 and "is not of a profile" in ended.last
    assert files(whole) == before and files(judged) == KEPT
