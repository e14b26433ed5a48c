"""Which sample a logged completion is of, and what is said of those that are of none."""

import math

import polars as pl
import pytest

from tests.logs.world import ASKED, IDS, imported, manifest, prompt, said, table, write_lines

pytestmark = pytest.mark.usefixtures("no_figures")


def matched(tmp_path, dataset, lines, *args):
    """Row -> completions of an import of some lines, and its manifest's counts."""
    logs = write_lines(tmp_path / "log.jsonl", lines)
    code, text = imported(logs, "jsonl", dataset, tmp_path / "run", *args)
    assert code == 0, text
    counts = manifest(tmp_path / "run")["logs"]
    rows = table(tmp_path / "run").drop_nulls("rollouts").select("row", "rollouts").rows()
    return dict(rows), counts, text


@pytest.mark.parametrize(
    "text",
    [
        "<image>Name the shape.\nOne word.",
        "Name the shape. One word.",
        "<|im_start|>user\n<|vision_start|>[151655 * 64]<|vision_end|>Name the shape.\n\nOne word."
        "<|im_end|>\n<|im_start|>assistant\n",
        "Question:Name the shape.\r\nOne word.Answer in a box.",
        [{"role": "system", "content": "Be brief."},
         {"role": "user", "content": [{"type": "image"}, {"type": "text",
          "text": "Name the shape.\nOne word."}]}],
    ],
)  # fmt: skip
def test_a_problem_is_found_in_whatever_stands_around_it(text, tmp_path, dataset):
    rows, counts, _ = matched(tmp_path, dataset, [{"prompt": text, "completion": "a"}])
    assert rows == {1: 1} and counts["matched"] == {"prompt": 1}


def test_the_longest_problem_that_stands_in_a_prompt_counts(tmp_path, dataset):
    # "What color is it, ..." does not hold "What color is it?", but these prompts hold both.
    prompts = (f"{ASKED[2][0]} Or rather: {ASKED[4][0]}", f"{ASKED[4][0]} Not: {ASKED[2][0]}")
    lines = [{"prompt": both, "completion": "a"} for both in prompts]
    assert matched(tmp_path, dataset, lines)[0] == {4: 2}


def test_samples_of_one_problem_are_told_apart_by_the_reference(tmp_path, dataset):
    lines = [
        {"prompt": prompt(2), "completion": "a", "gts": "blue"},
        {"prompt": prompt(2), "completion": "a", "gts": "green"},
        {"prompt": prompt(2), "completion": "a"},
        {"prompt": "What else?", "completion": "a"},
    ]
    rows, counts, text = matched(tmp_path, dataset, lines)
    assert rows == {3: 1}
    assert counts["unmatched"] == {"of several samples": 2, "of no sample": 1}
    assert "1 of 4 completions matched" in text and "2 of several samples, left out" in text


def test_an_id_says_more_than_a_prompt(tmp_path, dataset):
    lines = [{"sample_id": IDS[3], "prompt": prompt(0), "completion": "a"}]
    rows, counts, _ = matched(tmp_path, dataset, lines)
    assert rows == {3: 1} and counts["matched"] == {"sample_id": 1}


def test_ids_of_the_datasets_own_are_found_in_their_column(tmp_path, dataset):
    lines = [{"name": "n2", "completion": "a"}, {"name": "n5", "completion": "a"}]
    assert matched(tmp_path, dataset, lines, "--id-column", "name")[0] == {2: 1, 5: 1}


@pytest.mark.parametrize(
    ("key", "value", "row"), [("uid=name", "n4", 4), ("uid=row", 3, 3), ("info.uid=name", "n1", 1)]
)
def test_a_key_names_a_column_of_each_side(key, value, row, tmp_path, dataset):
    line = {"uid": value, "info": {"uid": value}, "prompt": prompt(0), "completion": "a"}
    rows, counts, _ = matched(tmp_path, dataset, [line], "--key", key)
    assert rows == {row: 1} and counts["matched"] == {"key": 1}


@pytest.mark.parametrize(
    ("lines", "args", "says"),
    [
        ([{"prompt": "What else is it?", "completion": "a"}], (),
         "none of 1 completions is of one sample of the dataset (1 of no sample): the first prompt "
         "is 'What else is it?', the first problem '<image>What is 1 + 1, as the image has it?'"),
        ([{"completion": "a"}], (), "have neither a prompt nor a sample_id of the dataset"),
        ([{"prompt": "a"}], (), "no column 'completion' (found: prompt)"),
        ([{"prompt": "a", "completion": None}], (), "line 1: no completion in it"),
        ([{"prompt": prompt(0), "completion": "a"}], ("--key", "uid=level"),
         "key uid=level: the dataset has no column 'level' (found: problem, answer, name"),
        ([{"prompt": prompt(0), "completion": "a"}], ("--key", "uid"),
         "key is 'uid'; write LOG_COLUMN=DATASET_COLUMN"),
        ([{"prompt": prompt(0), "completion": "a"}], ("--logged-rewards",), "has a reward"),
        ([{"prompt": prompt(0), "completion": "a"}], ("--logged-rewards", "--reward", "iou"),
         "pass one of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_ends_with_2_and_one_line(lines, args, says, tmp_path, dataset):
    logs = write_lines(tmp_path / "log.jsonl", lines)
    code, text = imported(logs, "jsonl", dataset, tmp_path / "run", *args, "--quiet")
    assert code == 2 and says in text and text.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_log_that_is_not_there_or_of_another_program_is_told(tmp_path, dataset):
    logs = write_lines(tmp_path / "logs" / "a.jsonl", [{"prompt": "a", "completion": said("2")}])
    for place, form, says in (
        (tmp_path / "none", "verl", "no such file or folder"),
        (logs.parent, "trl", "no completions_*.parquet in this folder, as trl writes them"),
        (logs.parent, "verl", "no column 'input' (found: prompt, completion); is this a log of"),
        (tmp_path / "logs" / "*.txt", "jsonl", "no file matches"),
    ):
        code, text = imported(place, form, dataset, tmp_path / "run")
        assert code == 2 and says in text, text
    assert not (tmp_path / "run").exists()


def test_numbers_that_cannot_be_are_as_if_they_were_not_logged(tmp_path, dataset):
    more = [
        {"step": 10**30, "reward": 10**400}, {"step": 2.5, "reward": "1"},
        {"n_tokens": 10**30, "sum_logprob": -1.0}, {"n_tokens": 3, "sum_logprob": 3.0},
        {"logprobs": [math.inf, -math.inf]}, {"logprobs": [-1e308, -1e308]},
        {"n_tokens": 3, "sum_logprob": -6.0, "step": -1},
    ]  # fmt: skip
    lines = [{"sample_id": IDS[0], "completion": said("2"), **one} for one in more]
    code, text = imported(
        write_lines(tmp_path / "log.jsonl", lines), "jsonl", dataset, tmp_path / "run"
    )
    assert code == 0, text
    found = pl.read_parquet(tmp_path / "run" / "rollouts.parquet")
    assert found["step"].to_list() == [None] * 6 + [-1]
    assert found["n_tokens"].to_list() == [None, None, None, 3, 2, 2, 3]
    assert found["sum_logprob"].to_list() == [None, None, -1.0, None, None, None, -6.0]


def test_damaged_lines_are_counted_and_the_others_read(tmp_path, dataset):
    logs = write_lines(tmp_path / "log.jsonl", [{"sample_id": IDS[0], "completion": said("2")}])
    with logs.open("a") as file:
        file.write('{"sample_id": "x", "comple\n[1]\n{"sample_id": "x"}\n')
    code, text = imported(logs, "jsonl", dataset, tmp_path / "run")
    assert code == 0 and "1 x line is not JSON" in text
    unread = {"is not JSON": 1, "is not a JSON object": 1, "no completion in it": 1}
    assert manifest(tmp_path / "run")["logs"]["unread"] == unread
