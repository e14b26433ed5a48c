"""`durian import`: logs that exist become a run, by the command line."""

import json
import math
import os
import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

import durian
from durian.config import ImportConfig
from durian.import_logs import import_logs
from tests.cli.in_process import durian as command
from tests.logs.world import (
    ASKED,
    IDS,
    imported,
    manifest,
    prompt,
    said,
    table,
    write_lines,
)


def line(row, answer, **more):
    """A line of verl's dump: sample `row` was answered."""
    right = answer == ASKED[row][1]
    return {
        "input": prompt(row), "output": said(answer), "gts": ASKED[row][1],
        "score": float(right), "step": 1, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def verl(tmp_path_factory):
    """Two steps: sample 0 right 1 of 2 times, sample 1 never of 2, 2 and 3 once each, 4 unasked."""
    dump = tmp_path_factory.mktemp("verl") / "dump"
    write_lines(dump / "1.jsonl", [line(0, "2"), line(0, "3"), line(2, "red")])
    beside = {"output": f"{said('oval')} No, a circle."}
    second = [line(1, "square", step=2), line(1, "oval", step=2, **beside), line(3, "red", step=2)]
    write_lines(dump / "2.jsonl", second)
    return dump


@pytest.fixture(scope="module")
def run(verl, dataset):
    """The dump of `verl` as a run."""
    code, text = imported(verl, "verl", dataset, verl.parent / "run")
    assert code == 0, text
    return verl.parent / "run"


def test_a_dump_of_verl_becomes_a_run_graded_anew(run):
    found = table(run)
    assert found["sample_id"].to_list() == IDS[:5] and found["copies"].to_list() == [2, 1, 1, 1, 1]
    # Gray levels 1 to 5, each as often: log2 of them.
    entropies = [math.log2(levels) for levels in (1, 2, 3, 4, 5)]
    assert found["pixel_entropy"].to_list() == pytest.approx(entropies, abs=1e-3)
    assert found["rollouts"].to_list() == [2, 2, 1, 1, None]
    assert found["pass_rate"].to_list() == [0.5, 0, 1, 0, None]
    # 0.1 for the format, which all have, and 0.9 for a right answer.
    assert found["reward_mean"].to_list()[:4] == pytest.approx([0.55, 0.1, 1.0, 0.1])
    assert found["format_rate"].to_list() == [1, 1, 1, 1, None]
    assert found["error"].to_list() == [None] * 4 + ["no completion is logged"]


def test_what_the_completions_agree_on_and_what_is_right_outside_a_box_is_told(run):
    found = table(run)
    assert found["consensus"].to_list() == [0.5, 0.5, 1, 1, None]
    assert found["consensus_answer"].to_list()[2:] == ["red", "red", None]
    # 1 right and 1 wrong; two wrong ones, unlike each other; 1 right; 1 wrong of 1.
    assert found["label_doubt"].to_list() == [0, 0.5, 0, 1, None]
    # Of the wrong ones: "3" alone; a square, and an oval with the circle behind it; none; "red".
    assert found["right_unboxed"].to_list() == [0, 0.5, None, 0, None]
    # Right 1 of 2 times; half of the wrong ones hold the reference outside the box; right; one
    # wrong answer, which is no agreement; nothing is known.
    told = ["mixed", "unformatted", "solved", "scattered", None]
    assert found["why"].to_list() == told


def test_what_is_not_logged_is_null_and_no_error(run):
    found = table(run)
    for name in ("mean_logprob", "sum_logprob", "mean_tokens", "truncated", "reasoning_group"):
        assert found[name].null_count() == 5, name
    rollouts = pl.read_parquet(run / "rollouts.parquet")
    for name in ("n_tokens", "sum_logprob", "finish_reason"):
        assert rollouts[name].null_count() == 6, name
    assert rollouts["step"].to_list() == [1, 1, 2, 2, 1, 2]
    assert rollouts["rollout"].to_list() == [0, 1, 0, 1, 0, 0]


def test_the_manifest_says_what_the_run_is_of(run):
    kept = manifest(run)
    assert kept["kind"] == "import"
    assert kept["logs"] == {
        "form": "verl", "files": 2, "completions": 6, "matched": {"prompt": 6}, "unmatched": {},
        "unread": {}, "repeated": 0, "with_reward": 6, "with_logprob": 0, "steps": [1, 2],
        "opened": False,
    }  # fmt: skip


def test_the_page_says_of_what_log_it_is_and_has_a_learning_curve(run):
    page = (run / "report" / "index.html").read_text()
    assert "rollouts of a log of verl, 6 of its 6 completions" in page
    # Step 1: 2 of 3 right, step 2: none of 3.
    learning = json.loads((run / "report" / "summary.json").read_text())["learning"]
    assert [p["right"]["value"] for p in learning["points"]] == [pytest.approx(2 / 3), 0]
    assert 'id="learning"' in page


def test_no_reasoning_groups_are_said_and_another_column_makes_some(verl, dataset, tmp_path):
    code, text = imported(verl, "verl", dataset, tmp_path / "a")
    assert code == 0 and "there are no reasoning groups; --reasoning pass_rate" in text
    by_rate = ("--reasoning", "pass_rate:lower", "--bins", 2)
    assert imported(verl, "verl", dataset, tmp_path / "b", *by_rate)[0] == 0
    # Pass rates 0.5, 0, 1, 0: their median is 0.25, so 0 and 0 are the low half, and hard.
    assert table(tmp_path / "b")["reasoning_group"].to_list() == [1, 0, 1, 0, None]


def test_logged_log_probabilities_give_confidence(dataset, tmp_path):
    lines = [
        {"sample_id": IDS[0], "completion": said("2"), "n_tokens": 4, "sum_logprob": -2.0},
        {"sample_id": IDS[0], "completion": said("3"), "logprobs": [-0.5, -1.0]},
        {"sample_id": IDS[1], "completion": "?", "n_tokens": 1, "cumulative_logprob": -3.0},
        {"sample_id": IDS[1], "completion": "?", "finish_reason": "length"},
    ]
    logs = write_lines(tmp_path / "log.jsonl", lines)
    assert imported(logs, "jsonl", dataset, tmp_path / "run", "--bins", 2)[0] == 0
    found = table(tmp_path / "run")
    # Sample 0: -2/4 and -1.5/2 a token; sample 1 lacks one of its two.
    assert found["mean_logprob"].to_list()[:2] == [pytest.approx(-0.625), None]
    assert found["sum_logprob"][0] == pytest.approx(-1.75)
    assert found["error"][1] == "no confidence per token: not logged of all completions"
    assert found["mean_tokens"].to_list()[:2] == [3, None]
    assert manifest(tmp_path / "run")["logprobs_mode"] == "as logged"


def test_logged_rewards_stand_where_they_are_asked_for(dataset, tmp_path):
    # The rule would say right, right, wrong; the log says wrong, right (by acc), right (0.5).
    lines = [
        line(0, "2", score=0.2), line(0, "2", score=-1.0, acc=True), line(1, "oval", score=0.5)
    ]  # fmt: skip
    logs = write_lines(tmp_path / "1.jsonl", lines)
    assert imported(logs, "verl", dataset, tmp_path / "run", "--logged-rewards")[0] == 0
    rollouts = pl.read_parquet(tmp_path / "run" / "rollouts.parquet")
    assert rollouts["reward"].to_list() == [0.2, -1.0, 0.5]
    assert rollouts["correct"].to_list() == [False, True, True]
    assert rollouts["formatted"].null_count() == 3
    assert rollouts["answer"].to_list() == ["2", "2", "oval"]


def test_a_template_that_opens_the_think_tag_is_no_lack_of_format(dataset, tmp_path):
    logs = write_lines(tmp_path / "1.jsonl", [line(0, "2", output="so</think> \\boxed{2}")])
    assert imported(logs, "verl", dataset, tmp_path / "run")[0] == 0
    assert table(tmp_path / "run")["reward_mean"][0] == 1.0


def test_report_group_compare_and_open_run_take_an_imported_run(run, verl, dataset, tmp_path):
    run = Path(shutil.copytree(run, tmp_path / "run"))  # which is grouped anew
    assert command("report", run)[0] == 0
    assert command("group", run, "--reasoning", "pass_rate:lower", "--bins", 2)[0] == 0
    again = tmp_path / "again"
    by_rate = ("--reasoning", "pass_rate:lower", "--bins", 2)
    assert imported(verl, "verl", dataset, again, *by_rate)[0] == 0
    code, out, err = command("compare", run, again)
    assert code == 0, err
    opened = durian.open_run(again)
    assert opened.manifest.kind == "import" and len(opened.rollouts) == 6


def test_an_imported_run_is_exported_with_its_own_completions(run, verl, dataset, tmp_path):
    # verl's dump tells neither lengths nor whether a completion was cut.
    out = tmp_path / "out"
    code, _, error = command("export", run, "--to", "dpo", "--out", out, "-q")
    assert (code, error) == (0, "")
    pair, copy = pl.read_parquet(out / "train.parquet").to_dicts()  # sample 0 alone
    assert pair["chosen"] == copy["chosen"]
    assert pair["chosen"][0]["content"][0]["text"] == said("2")
    assert pair["rejected"][0]["content"][0]["text"] == said("3")
    code, _, error = command("export", run, "--to", "sft", "--pick", "likely", "--out", out, "-q")
    assert (
        code == 2 and "no sample has a right completion that came to its end, with its log" in error
    )


def test_a_finished_import_is_given_as_it_is_and_other_input_is_refused(run, verl, dataset):
    before = (run / "manifest.json").read_bytes()
    assert imported(verl, "verl", dataset, run)[0] == 0
    assert (run / "manifest.json").read_bytes() == before
    (verl / "3.jsonl").write_text('{"input": "a", "output": "b"}\n')
    code, text = imported(verl, "verl", dataset, run)
    (verl / "3.jsonl").unlink()
    assert code == 2 and "was made with logs" in text
    code, _, text = command("profile", dataset, "--measures", "pixel", "--out", run)
    assert code == 2 and "holds an imported log, not a profile" in text


def test_a_killed_import_is_resumed_part_by_part(verl, dataset, tmp_path, monkeypatch):
    # Two samples a part; the process dies as it writes the second part.
    monkeypatch.setattr("durian.import_logs.part_size", lambda samples, size: 2)
    out = tmp_path / "killed"
    config = ImportConfig(logs=str(verl), form="verl", dataset=str(dataset), out=str(out))
    if (child := os.fork()) == 0:
        from durian.run.folder import RunFolder

        write = RunFolder.write_part

        def die(self, number, *tables):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            write(self, number, *tables)

        RunFolder.write_part = die
        import_logs(config)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (out / "parts" / "part-00000.parquet").exists() and not (out / "manifest.json").exists()
    assert imported(verl, "verl", dataset, out)[0] == 0
    whole = tmp_path / "whole"
    assert imported(verl, "verl", dataset, whole)[0] == 0
    for name in ("difficulty", "rollouts", "columns"):
        one, other = (pl.read_parquet(each / f"{name}.parquet") for each in (out, whole))
        assert one.equals(other), name
    assert not (out / "parts").exists()


def test_what_was_logged_without_the_image_is_blind_and_nothing_else(verl, dataset, tmp_path):
    lines = [line(0, "2"), line(0, "2", blind=True), line(0, "3"), line(0, "3", blind=True),
             line(1, "square", blind=True), line(2, "red", blind=False)]  # fmt: skip
    write_lines(tmp_path / "log.jsonl", lines)
    code, text = imported(tmp_path / "log.jsonl", "jsonl", dataset, tmp_path / "run")
    assert code == 0, text
    found = table(tmp_path / "run")
    # Sample 0: right in 1 of 2 either way; the second has no other completion.
    assert found["pass_rate"].to_list()[:3] == [0.5, None, 1.0]
    assert found["blind_pass_rate"].to_list()[:3] == [0.5, float(ASKED[1][1] == "square"), None]
    assert found["rollouts"].to_list()[:3] == [2, None, 1]
    drawn = pl.read_parquet(tmp_path / "run" / "rollouts.parquet")
    of_first = drawn.filter(pl.col("sample_id") == IDS[0])
    assert of_first["blind"].to_list() == [False, False, True, True]
    assert of_first["rollout"].to_list() == [0, 1, 2, 3]
