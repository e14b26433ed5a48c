"""Rewards written for verl, TRL and ms-swift, in the shapes of those projects' own examples."""

import pytest

from durian.config.policy import PromptConfig
from durian.errors import ConfigError
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


# --- arguments of the user's own

# EasyR1's dapo.py, in its shape: its lengths are keywords of the launch script.
DAPO = """
REWARD_TYPE = "batch"
def compute_score(reward_inputs, max_response_length, overlong_buffer_length, factor=1.0):
    free = max_response_length - overlong_buffer_length
    return [{"overall": float(r["response"] == r["ground_truth"])
             - factor * max(0, r["response_length"] - free) / overlong_buffer_length,
             "accuracy": float(r["response"] == r["ground_truth"])} for r in reward_inputs]
"""
MADE = """
class Near:
    def __init__(self, within):
        self.within = within
    def __call__(self, completions, solution, **kwargs):
        return [float(abs(float(c) - float(s)) <= self.within)
                for c, s in zip(completions, solution, strict=True)]
"""
LEVELLED = """
def f(completions, solution, level, **kwargs):
    assert "level" not in kwargs
    return [float(level) for _ in completions]
"""


def given(folder, code, name, **arguments):
    """Rewards of "5" and "6", of 1 and 10 tokens, where 5 is right."""
    path = folder / "mine.py"
    path.write_text(code)
    attempts = Attempts(
        completions=["5", "6"], n_tokens=[1, 10], answer="5", question="What?",
        columns={"level": 3},
    )  # fmt: skip
    config = PromptConfig(reward=f"{path}:{name}", reward_args=arguments)
    return [s.reward for s in open_reward(config.reward, config).start(attempts)()]


def test_arguments_go_to_the_function(tmp_path):
    # Of 12 tokens 8 are free; ten are two of four too long.
    lengths = {"max_response_length": 12, "overlong_buffer_length": 4}
    assert given(tmp_path, DAPO, "compute_score", **lengths) == [1.0, -0.5]
    assert given(tmp_path, DAPO, "compute_score", **lengths, factor=0.5) == [1.0, -0.25]


def test_a_class_is_made_with_its_arguments(tmp_path):
    assert given(tmp_path, MADE, "Near", within=0.5) == [1.0, 0.0]
    assert given(tmp_path, MADE, "Near", within=1) == [1.0, 1.0]


def test_no_column_replaces_an_argument(tmp_path):
    assert given(tmp_path, LEVELLED, "f", level=7) == [7.0, 7.0]


def test_an_argument_that_the_function_does_not_take_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'Near' takes no 'width'; leave the reward-arg out"):
        given(tmp_path, MADE, "Near", within=1, width=2)
    # The completions are the run's to give, by place alone.
    with pytest.raises(ConfigError, match="'f' takes no 'completions'"):
        given(tmp_path, BY_PLACE, "f", completions=[])


def test_arguments_without_a_function_of_ones_own_are_refused():
    with pytest.raises(ConfigError, match="reward-arg is for --reward FILE.py:function, not boxed"):
        PromptConfig(reward="boxed", reward_args={"weight": 1})


def test_a_key_is_no_argument():
    with pytest.raises(ConfigError, match="api_key"):
        PromptConfig(reward="mine.py:f", reward_args={"api_key": "sk-0123456789"})
