"""Rewards written for verl, TRL and ms-swift, in the shapes of those projects' own examples."""

import pytest

from durian.rewards import Attempts, open_reward
from tests.cli.in_process import durian

# As a user writes one for verl's custom_reward_function.
VERL = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    assert data_source == "geometry" and extra_info == {"index": 7}, (data_source, extra_info)
    right = solution_str.endswith(ground_truth)
    return {"score": 1.0 if right else -1.0, "acc": right, "pred": solution_str}
"""
VERL_BARE = """
async def compute_score(solution_str, ground_truth, **kwargs):
    return float(solution_str == ground_truth) if kwargs["data_source"] == "durian" else None
"""
VERL_BATCH = """
def compute_score(data_sources, solution_strs, ground_truths, extra_infos, weight=0.5):
    assert extra_infos[0] == {"level": 3}
    return [weight * (s == g) for s, g in zip(solution_strs, ground_truths, strict=True)]
"""
# TRL's documentation: completions are conversations.
TRL = """
def accuracy(completions, solution, log_metric=None, **kwargs):
    contents = [completion[0]["content"] for completion in completions]
    assert kwargs["prompts"][0][0]["role"] == "user" and kwargs["level"] == [3, 3]
    log_metric("seen", 1.0)
    return [float(c == s) for c, s in zip(contents, solution, strict=True)]
"""
# ms-swift: a class, whose completions are texts and whose columns are lists.
SWIFT = """
import re
class Accuracy:
    def __init__(self, args=None, **kwargs):
        self.args = args
    def __call__(self, completions, solution, **kwargs):
        return [1.0 if re.search(re.escape(s), c) else 0.0
                for c, s in zip(completions, solution, strict=True)]
"""
BY_PLACE = """
def f(completions, ground_truth, /):
    return [float(c == g) for c, g in zip(completions, ground_truth, strict=True)]
"""


def scores(folder, code, name, columns=None):
    """Reward and verdict of the completions "5" and "6" where 5 is right."""
    path = folder / "mine.py"
    path.write_text(code)
    attempts = Attempts(
        completions=["5", "6"], n_tokens=[1, 1], answer="5", question="What?",
        columns={"level": 3} if columns is None else columns,
    )  # fmt: skip
    return [(s.reward, s.correct) for s in open_reward(f"{path}:{name}").start(attempts)()]


@pytest.mark.parametrize(
    ("code", "name", "columns", "expected"),
    [
        (VERL, "compute_score", {"data_source": "geometry", "extra_info": {"index": 7}},
         [(1.0, True), (-1.0, False)]),
        (VERL_BARE, "compute_score", None, [(1.0, True), (0.0, False)]),
        (VERL_BATCH, "compute_score", None, [(0.5, True), (0.0, False)]),
        (TRL, "accuracy", None, [(1.0, True), (0.0, False)]),
        (SWIFT, "Accuracy", None, [(1.0, True), (0.0, False)]),
        # The row's own column of that name is what the trainer would hand over: 6 is right by it.
        (SWIFT, "Accuracy", {"solution": "6"}, [(0.0, False), (1.0, True)]),
        (BY_PLACE, "f", None, [(1.0, True), (0.0, False)]),
    ],
    ids=["verl", "verl async", "verl batch", "trl", "swift", "column", "by place"],
)  # fmt: skip
def test_a_reward_is_called_as_its_trainer_calls_it(code, name, columns, expected, tmp_path):
    assert scores(tmp_path, code, name, columns) == expected


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="it takes 'difficulty', and the dataset has no such"):
        scores(tmp_path, "def f(completions, difficulty): return [1.0] * 2", "f")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def f(data_source, solution_str, ground_truth, extra_info): raise KeyError('index')",
         "it raises on the first row: reward failed: KeyError: 'index'"),
        ("def f(completions, **columns): return [None] * len(completions)",
         "it raises on the first row: reward failed: the reward is None, not a number"),
        ("def f(completions, difficulty): return [1.0]", "it takes 'difficulty'"),
        ("def f(solution_str, ground_truth): return {'acc': 1}", "no 'overall' and no 'score'"),
        ("class f:\n    def __init__(self, args): pass", "cannot make a 'f': TypeError"),
    ],
)  # fmt: skip
def test_a_reward_that_raises_on_the_first_row_ends_with_2(code, says, tmp_path, photo_shapes):
    path = tmp_path / "mine.py"
    path.write_text(code)
    # Before the policy is loaded: this one cannot be.
    (tmp_path / "script.jsonl").write_text("{}\n")
    code, _, text = durian(
        "profile", photo_shapes, "--limit", 3, "--model", tmp_path / "script.jsonl", "--engine",
        "scripted", "--out", tmp_path / "run", "--reward", f"{path}:f", "--quiet",
    )  # fmt: skip
    assert code == 2 and says in text and text.count("\n") == 1
    assert not (tmp_path / "run").exists()
