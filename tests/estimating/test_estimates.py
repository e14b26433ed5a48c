"""Estimated columns of whole runs, replayed by the scripted engine: planted truths, no model."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import durian
from durian.config import ProfileConfig
from durian.samples import sample_id
from durian.table.checked import check_summary

SUBJECTS = {"angle": 0.1, "area": 0.5, "perimeter": 0.9}  # share of wrong completions
ROLLOUTS = 4


@pytest.fixture(autouse=True, scope="module")
def no_figures():
    """Pages without figures, which take longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.rendering.page.report_figures", lambda *_: [])
        yield


def _run(
    folder: Path,
    problems: list[str],
    images: list[str],
    wrong: np.ndarray,
    own: np.ndarray | None = None,
    **changed: object,
) -> Path:
    """Profile rows whose completions are planted: `wrong`, (N, G); `own` are their columns."""
    rows, said = [], []
    further = np.zeros((len(problems), 0)) if own is None else own
    for problem, image, outcomes, cells in zip(problems, images, wrong, further, strict=True):
        columns = {f"column {n}": float(cell) for n, cell in enumerate(cells)}
        rows.append({"problem": problem, "answer": "7", "images": [image], **columns})
        key = sample_id(problem, "7", [(folder / image).read_bytes()])
        said += [
            {
                "sample_id": key, "rollout": n, "n_tokens": 4, "finish_reason": "stop",
                "completion": f"<think>so</think> \\boxed{{{3 if bad else 7}}}",
                "sum_logprob": -4.0 if bad else -1.0,
            }
            for n, bad in enumerate(outcomes)
        ]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "said.jsonl").write_text("\n".join(map(json.dumps, said)))
    out = folder / "run"
    durian.profile_dataset(
        ProfileConfig(
            dataset=str(folder / "rows.jsonl"), model=str(folder / "said.jsonl"), out=str(out),
            engine="scripted", rollouts=wrong.shape[1], **changed,
        )
    )  # fmt: skip
    return out


def _images(folder: Path, count: int) -> list[str]:
    for n in range(count):
        Image.new("L", (8, 8 + n % 3), n % 256).save(folder / f"{n}.png")
    return [f"{n}.png" for n in range(count)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A run of 120 questions whose subject tells how hard they are, and those truths."""
    folder = tmp_path_factory.mktemp("planted")
    random = np.random.default_rng(3)
    subjects = [list(SUBJECTS)[n % 3] for n in range(120)]
    truth = np.array([SUBJECTS[s] for s in subjects])
    wrong = random.random((120, ROLLOUTS)) < truth[:, None]
    problems = [f"<image>What is the {s} of figure {n}?" for n, s in enumerate(subjects)]
    return _run(folder, problems, _images(folder, 120), wrong), truth


def test_estimates_find_the_planted_difficulty(planted):
    run, truth = planted
    table = pl.read_parquet(run / "difficulty.parquet")
    raw = 1 - table["pass_rate"].to_numpy()
    error = np.sqrt(np.mean((table["difficulty"].to_numpy() - truth) ** 2))
    # The words tell the truth exactly, so most of the sampling noise must go.
    assert error < 0.5 * np.sqrt(np.mean((raw - truth) ** 2))
    assert table["estimated_from"].to_list() == [ROLLOUTS] * 120
    # mean_logprob is -0.25 a right token and -1 a wrong one.
    expected = -0.25 - 0.75 * truth
    off = np.sqrt(np.mean((table["confidence"].to_numpy() - expected) ** 2))
    assert off < 0.5 * np.sqrt(np.mean((table["mean_logprob"].to_numpy() - expected) ** 2))
    assert (table["difficulty_sd"] > 0).all() and (table["confidence_sd"] > 0).all()


def test_the_manifest_says_how_the_estimates_were_made(planted):
    made = json.loads((planted[0] / "manifest.json").read_text())["estimates"]
    assert made["samples"] == 120
    assert made["rollouts"] == ROLLOUTS
    assert "words of the question" in made["features"]
    # The truth's share of what is seen: var(truth) / (var(truth) + mean p (1 - p) / 4), by hand
    # 0.1067 / (0.1067 + 0.1433 / 4) = 0.75; the draws of one seed scatter around that.
    assert made["difficulty"]["explained"] == pytest.approx(0.75, abs=0.12)
    assert made["difficulty"]["own_weight"] < 0.25


def test_the_page_says_what_the_estimates_stand_on(planted):
    page = (planted[0] / "report" / "index.html").read_text()
    assert "What similar samples tell" in page
    assert "a sample's own 4 completions" in page and "words of the question" in page


def test_estimates_can_stand_behind_groups(planted, tmp_path):
    from durian.config import GroupConfig
    from durian.regroup import regroup_run

    regroup_run(GroupConfig(run=str(planted[0]), reasoning="confidence", bins=3))
    table = pl.read_parquet(planted[0] / "difficulty.parquet")
    for group, share in ((0, 0.9), (1, 0.5), (2, 0.1)):  # the least confident first
        found = planted[1][table["reasoning_group"].to_numpy() == group]
        assert np.mean(found == share) > 0.95


def test_what_is_known_and_leaned_on_is_told(planted):
    made = json.loads((planted[0] / "manifest.json").read_text())["estimates"]
    # The subject stands in the question's words and nowhere else.
    assert next(iter(made["difficulty"]["leans"])) == "words of the question"
    # By hand from TRUTH: mean p (1 - p) = 0.1433, over 4 draws an error of sqrt(0.0358) = 0.189.
    assert made["difficulty"]["error_alone"] == pytest.approx(0.189, abs=0.015)
    assert made["difficulty"]["error"] < made["difficulty"]["error_predicted"] < 0.15
    # var(truth) = 0.1067, so 0.1067 / (0.1067 + 0.0358) = 0.75 of the raw variance is the truth's.
    assert made["difficulty"]["reliability_alone"] == pytest.approx(0.75, abs=0.08)
    assert made["difficulty"]["reliability"] > 0.85
    assert abs(made["confidence"]["coverage"]["95%"] - 0.95) < 0.05
    page = (planted[0] / "report" / "index.html").read_text()
    assert "words of the question" in page and "error of the estimate" in page


def test_fewer_completions_are_advised_and_do_what_was_promised(planted, tmp_path):
    run, truth = planted
    (line,) = (one for one in check_summary(run).advice if "instead of 4" in one.say)
    assert line.do == "durian profile … --rollouts 2 --reasoning confidence"
    assert "50 % of the completions" in line.say
    config = {"dataset": str(run.parent / "rows.jsonl"), "model": str(run.parent / "said.jsonl")}
    durian.profile_dataset(
        ProfileConfig(
            **config, engine="scripted", out=str(tmp_path / "run"), rollouts=2,
            reasoning="confidence",
        )
    )  # fmt: skip
    two = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")["difficulty"].to_numpy()
    four = 1 - pl.read_parquet(run / "difficulty.parquet")["pass_rate"].to_numpy()
    assert np.mean((two - truth) ** 2) < np.mean((four - truth) ** 2)


def test_no_fewer_completions_are_advised_where_nothing_is_known(tmp_path):
    # Shares spread evenly: two draws shrunk to the mean err by 1/12 * 2 / (2 + 2) = 1/24 in square,
    # plain shares of four by 1/6 / 4 = 1/24: neither is surely better.
    random = np.random.default_rng(8)
    wrong = random.random((100, 4)) < random.random((100, 1))
    run = _run(tmp_path, [f"<image>Figure {n}?" for n in range(100)], _images(tmp_path, 100), wrong)
    made = json.loads((run / "manifest.json").read_text())["estimates"]
    assert "enough" not in made
    assert not any("instead of" in one.say for one in check_summary(run).advice)


def test_predictions_that_know_nothing_are_calibrated_away(tmp_path):
    # Forty samples alike and sixty columns of chance. What models make of those columns has
    # nothing to do with the samples that they did not see, so the slope is none and predictions
    # become one number: then a sample's estimate hangs on its own count alone.
    random = np.random.default_rng(2)
    wrong = random.random((40, 4)) < 0.5
    chance = random.standard_normal((40, 60))
    problems = [f"<image>Figure {n}?" for n in range(40)]
    run = _run(tmp_path, problems, _images(tmp_path, 40), wrong, chance)
    table = pl.read_parquet(run / "difficulty.parquet")
    of_count = table.group_by("pass_rate").agg(pl.col("difficulty", "confidence").n_unique())
    assert (
        of_count["difficulty"].to_list() == of_count["confidence"].to_list() == [1] * len(of_count)
    )


def test_another_question_over_the_image_teaches_a_sample_nothing(tmp_path):
    # 60 images, two questions each, and both of an image are right or wrong alike by a coin: only a
    # model that saw the other question could predict it, by the word that both have.
    random = np.random.default_rng(1)
    coin = random.random(60) < 0.5
    names = []
    for n in range(60):
        Image.new("L", (8 + n, 8), n).save(tmp_path / f"{n}.png")
        names += [f"{n}.png"] * 2
    wrong = np.repeat(np.repeat(coin, 2)[:, None], 4, axis=1)
    problems = [f"<image>{ask} of figure{n}?" for n in range(60) for ask in ("first", "second")]
    run = _run(tmp_path, problems, names, wrong)
    made = json.loads((run / "manifest.json").read_text())["estimates"]
    assert made["difficulty"]["explained"] < 0.01
    page = (run / "report" / "index.html").read_text()
    assert "nothing: what is known does not help here" in page


def test_truths_by_chance_gain_nothing(tmp_path):
    random = np.random.default_rng(0)
    wrong = random.random((120, 4)) < random.random((120, 1))
    problems = [f"<image>What is the {list(SUBJECTS)[n % 3]} of figure {n}?" for n in range(120)]
    # Nor do thirty columns of chance take anything away.
    placebo = random.standard_normal((120, 30))
    run = _run(tmp_path, problems, _images(tmp_path, 120), wrong, placebo)
    made = json.loads((run / "manifest.json").read_text())["estimates"]
    assert "column 29" in made["features"]
    assert made["difficulty"]["explained"] < 0.06
    table = pl.read_parquet(run / "difficulty.parquet")
    # Nothing to lean on: pulled to the mean alike, so the order of the samples stays.
    raw, estimated = (1 - table["pass_rate"]).to_numpy(), table["difficulty"].to_numpy()
    assert np.corrcoef(raw, estimated)[0, 1] > 0.99


def test_estimates_do_not_depend_on_the_order_of_rows(tmp_path):
    random = np.random.default_rng(4)
    # Of two subjects, so that there is something to predict: other folds would predict otherwise.
    wrong = random.random((40, 4)) < np.tile([[0.2], [0.8]], (20, 1))
    problems = [f"<image>Is the {('angle', 'area')[n % 2]} of {n} large?" for n in range(40)]
    found = []
    for name, order in (("a", np.arange(40)), ("b", random.permutation(40))):
        (tmp_path / name).mkdir()
        images = _images(tmp_path / name, 40)
        run = _run(
            tmp_path / name, [problems[i] for i in order], [images[i] for i in order], wrong[order]
        )
        table = pl.read_parquet(run / "difficulty.parquet").sort("sample_id")
        found.append(table.select("difficulty", "difficulty_sd", "confidence", "confidence_sd"))
    np.testing.assert_allclose(found[0].to_numpy(), found[1].to_numpy(), atol=1e-6)


def test_a_sample_without_completions_has_no_estimate(tmp_path):
    random = np.random.default_rng(6)
    wrong = random.random((20, 4)) < 0.5
    images = _images(tmp_path, 20)
    (tmp_path / images[7]).write_bytes(b"no image")
    run = _run(tmp_path, [f"<image>Is {n} large?" for n in range(20)], images, wrong)
    table = pl.read_parquet(run / "difficulty.parquet")
    for name in ("difficulty", "difficulty_sd", "confidence", "confidence_sd", "estimated_from"):
        assert [n for n, value in enumerate(table[name]) if value is None] == [7], name


def test_an_image_that_cannot_be_read_is_not_predicted(tmp_path):
    images = _images(tmp_path, 40)
    for n in range(10):
        (tmp_path / images[n]).write_bytes(b"no image %d" % n)
    wrong = np.random.default_rng(6).random((40, 4)) < 0.5
    problems = [f"<image>Is {n} large?" for n in range(40)]
    run = _run(tmp_path, problems, images, wrong, sample=20)
    table = pl.read_parquet(run / "difficulty.parquet")
    damaged, whole = table[:10], table[10:]
    assert 0 < (damaged["rollouts"] == 0).sum() < 10  # some were to be drawn, some were not
    assert damaged["difficulty"].null_count() == damaged["estimated_from"].null_count() == 10
    assert whole["difficulty"].null_count() == 0


def test_fewer_than_ten_images_give_no_estimates(tmp_path):
    wrong = np.arange(36).reshape(9, 4) % 2 == 0
    run = _run(tmp_path, [f"<image>{n}" for n in range(9)], _images(tmp_path, 9), wrong)
    table = pl.read_parquet(run / "difficulty.parquet")
    assert table["difficulty"].null_count() == 9
    assert "estimates" not in json.loads((run / "manifest.json").read_text())
