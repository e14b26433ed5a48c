"""Boxes and a judge from outside: a scripted policy, its table, its page, its dry run."""

import io
import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from durian.rewards.judged import PROMPT
from durian.samples import sample_id
from tests.cli.in_process import durian
from tests.engines.stand_in import StandIn, choice


def png(size):
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(rows):
        """Rows of (problem, answer, completions)."""
        image = png((200, 100))
        data = [(problem, answer, [image]) for problem, answer, _ in rows]
        pl.DataFrame(data, schema=["problem", "answer", "images"], orient="row").write_parquet(
            "data.parquet"
        )
        script = [
            {
                "sample_id": sample_id(problem, answer, [image]), "rollout": number,
                "completion": rf"<think></think>\boxed{{{text}}}", "n_tokens": 4,
                "sum_logprob": -1.0 - place, "finish_reason": "stop",
            }
            for place, (problem, answer, texts) in enumerate(rows)
            for number, text in enumerate(texts)
        ]  # fmt: skip
        (tmp_path / "script.jsonl").write_text("".join(json.dumps(r) + "\n" for r in script))

    return make


PROFILE = ["profile", "data.parquet", "--out", "run", "--engine", "scripted",
           "--model", "script.jsonl", "--rollouts", "2", "--bins", "2"]  # fmt: skip


def test_boxes_end_to_end(world, tmp_path):
    # The image is 200 x 100: (0, 0) to (500, 500) of 1000 is the reference; the other is a miss.
    world(
        [
            ("Where?", "[0, 0, 100, 50]", ["[0, 0, 500, 500]", "[500, 500, 999, 999]"]),
            ("And?", '{"bbox_2d": [100, 50, 200, 100]}', ["[500, 500, 1000, 1000]"] * 2),
        ]
    )
    boxes = ["--reward", "iou", "--coords", "pixel,1000"]
    code, said, err = durian(*PROFILE, *boxes, "--dry-run")
    assert code == 0, err
    assert "references that fit a system, of 2: pixel 2, resized 0, 1000 2, unit 0" in said
    assert not (tmp_path / "run").exists()
    code, _, err = durian(*PROFILE, *boxes, "--quiet")
    assert code == 0, err
    table = pl.read_parquet("run/difficulty.parquet")
    assert table["pass_rate"].to_list() == [0.5, 1.0]
    assert table["reward_mean"].to_list() == pytest.approx([0.55, 1.0])
    assert table["answer_kind"].to_list() == ["boxes", "boxes"]


def test_a_judge_end_to_end(world):
    world(
        [
            ("What?", "A man rides a brown horse", ["a rider on a brown horse", "a dog"]),
            ("How many?", "5", ["5", "6"]),
        ]
    )
    server = StandIn()
    server.choice = lambda body: (
        choice(body) | {"message": {"content": "yes" if "rider" in str(body["messages"]) else "no"}}
    )
    judge = ["--reward", "boxed+judge", "--judge-url", server.url, "--judge-model", "m"]
    try:
        code, said, err = durian(*PROFILE, *judge, "--dry-run")
        assert (code, err) == (0, "") or code == 0, err
        assert "the judge is asked about 2 answers at most" in said  # half of 4 completions
        # "What?" and its reference are 5 and 25 characters.
        reads = f"each time it reads {len(PROMPT) + 5 + 25} characters and the answer, and writes 8"
        assert reads in said
        code, _, err = durian(*PROFILE, *judge, "--quiet")
        assert code == 0, err
    finally:
        server.stop()
    rollouts = pl.read_parquet("run/rollouts.parquet")
    assert rollouts["correct"].to_list() == [True, False, True, False]
    assert rollouts["judged"].to_list() == [True, True, False, False]
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["judge"]["model"] == "m" and "{answer}" in manifest["judge"]["prompt"]
    page = Path("run/report/index.html").read_text()
    assert "Of 2 answers that the rule called wrong, the judge called 1 right." in page
    assert "a rider on a brown horse" in page
    table = pl.read_parquet("run/difficulty.parquet")
    assert table["answer_kind"].to_list() == ["text", "number"]
