"""Each program's log as that program writes it; columns and nesting are those of its source."""

import polars as pl
import pytest

from durian.logs.files import LogFiles, Unread
from tests.logs.world import ASKED, IDS, imported, manifest, prompt, said, table, write_lines

pytestmark = pytest.mark.usefixtures("no_figures")


def read(path, form):
    """All that is read of a log."""
    unread = Unread()
    return list(LogFiles(str(path), form).completions(unread)), unread


def conversation(row):
    """A prompt as TRL logs it: messages, images stripped to their type."""
    text = ASKED[row][0].replace("<image>", "")
    parts = [{"type": "image", "text": None}, {"type": "text", "text": text}]
    return [{"role": "user", "content": parts}]


def reply(answer):
    """A completion as TRL logs it."""
    return [{"role": "assistant", "content": said(answer)}]


def write_trl(folder, step, rows):
    """completions_STEP.parquet of (row, answer, reward), with two reward functions."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "step": [step] * len(rows),
            "prompt": [conversation(row) for row, _, _ in rows],
            "completion": [reply(answer) for _, answer, _ in rows],
            "accuracy_reward": [reward for _, _, reward in rows],
            "format_reward": [0.25] * len(rows),
            "advantage": [0.7] * len(rows),
        }
    ).write_parquet(folder / f"completions_{step:05d}.parquet")


def test_trl_logs_messages_and_a_column_a_reward(tmp_path, dataset):
    write_trl(tmp_path / "out" / "completions", 1, [(0, "2", 1.0), (0, "3", 0.0)])
    write_trl(tmp_path / "out" / "completions", 10, [(1, "oval", float("nan")), (4, "red, 2", 1.0)])
    found, _ = read(tmp_path / "out", "trl")
    assert [one.step for one in found] == [1, 1, 10, 10]
    assert found[0].completion == said("2")
    # The sum of both rewards, where a failed one has no part; accuracy says what is right.
    assert [one.reward for one in found] == [1.25, 0.25, 0.25, 1.25]
    assert [one.right for one in found] == [True, False, False, True]
    assert imported(tmp_path / "out", "trl", dataset, tmp_path / "run")[0] == 0
    assert table(tmp_path / "run")["pass_rate"].to_list() == [0.5, 0, None, None, 1]


def test_a_batch_that_is_logged_again_while_it_trains_counts_once(tmp_path):
    for step, row in ((1, 0), (2, 0), (3, 1), (4, 0)):
        write_trl(tmp_path / "completions", step, [(row, "2", 1.0)])
    found, unread = read(tmp_path, "trl")
    # Step 2 holds the batch of step 1; step 4 draws the same again after another batch.
    assert [one.step for one in found] == [1, 3, 4] and unread.repeated == 1


def test_ms_swift_logs_a_batch_a_line_its_columns_as_lists(tmp_path, dataset):
    template = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|>[151655 * 64]<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
    )
    prompts = [template.format(ASKED[row][0].replace("<image>", "")) for row in (2, 2, 3)]
    batch = {
        "step": ["5"] * 3, "prompt": prompts,
        "completion": [said("red"), said("blue"), said("red")],
        "MathAccuracy": [1.0, 0.0, 0.0], "Format": [1.0, 1.0, 0.5],
        "advantages": [0.9, -0.9, 0.0], "solution": ["red", "red", "blue"],
    }  # fmt: skip
    logs = write_lines(tmp_path / "v0" / "completions.jsonl", [batch, {**batch, "step": ["6"] * 3}])
    found, unread = read(tmp_path / "v0", "swift")
    assert unread.repeated == 3 and [one.step for one in found] == [5, 5, 5]
    assert [one.reward for one in found] == [2.0, 1.0, 0.5]
    assert [one.right for one in found] == [True, False, False]
    assert imported(logs, "swift", dataset, tmp_path / "run")[0] == 0
    # The prompts of rows 2 and 3 are one text: `solution` tells them apart.
    assert table(tmp_path / "run")["pass_rate"].to_list() == [None, None, 0.5, 0, None]


def test_lmms_eval_logs_a_document_a_line(tmp_path, dataset):
    def document(row, more):
        return {"doc_id": row, "input": prompt(row), "target": ASKED[row][1], "doc_hash": "0",
                **more}  # fmt: skip

    lines = [
        # One response, not filtered into another; two of a task with repeats; a stripped one.
        document(0, {"filtered_resps": said("2"), "exact_match": 1.0,
                     "token_counts": [{"input_tokens": 9, "output_tokens": 7}]}),
        document(1, {"filtered_resps": [["circle"], ["oval"]], "exact_match": 0.0,
                     "resps": [[said("circle")], [said("oval")]]}),
        document(5, {"filtered_resps": "3", "resps": [said("3")], "exact_match": 0.0}),
        document(2, {"filtered_resps": [[-1.5, False], [-0.5, True]]}),
    ]  # fmt: skip
    logs = write_lines(tmp_path / "2026_samples_task.jsonl", lines)
    found, unread = read(tmp_path, "lmms-eval")
    texts = [said("2"), said("circle"), said("oval"), said("3")]
    assert [one.completion for one in found] == texts
    assert found[0].n_tokens == 7 and found[0].right is True
    # Log-likelihoods of options are no completions.
    assert unread.reasons == {"no completion in it": 1}
    assert imported(logs, "lmms-eval", dataset, tmp_path / "run")[0] == 0
    assert table(tmp_path / "run")["pass_rate"].to_list() == [0.5, 0.5, None, None, None]


def test_the_place_in_the_dataset_decides_between_samples_of_one_problem(tmp_path, dataset):
    lines = [{"doc_id": 3, "input": prompt(3), "target": "?", "filtered_resps": "blue"}]
    logs = write_lines(tmp_path / "a_samples_b.jsonl", lines)
    assert imported(logs, "lmms-eval", dataset, tmp_path / "run")[0] == 0
    assert table(tmp_path / "run")["rollouts"].to_list() == [None, None, None, 1, None]


def test_a_run_of_ours_is_a_log_too(tmp_path, dataset):
    lines = [{"sample_id": IDS[0], "completion": said("2"), "n_tokens": 3, "sum_logprob": -1.5,
              "finish_reason": "stop", "step": None}]  # fmt: skip
    pl.DataFrame(lines).write_parquet(tmp_path / "rollouts.parquet")
    assert imported(tmp_path / "rollouts.parquet", "jsonl", dataset, tmp_path / "run")[0] == 0
    assert table(tmp_path / "run")["mean_logprob"][0] == -0.5
    assert manifest(tmp_path / "run")["logs"]["steps"] is None


def test_files_are_read_in_the_order_of_their_numbers(tmp_path):
    for step in (10, 9, 100):
        line = {"input": "a", "output": "b", "step": step}
        write_lines(tmp_path / f"{step}.jsonl", [line])
    assert [one.step for one in read(tmp_path, "verl")[0]] == [9, 10, 100]
