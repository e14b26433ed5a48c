"""The boxed reward as verl, TRL, ms-swift and EasyR1 call theirs; values by hand."""

import subprocess
import sys

import numpy as np
import pytest

import durian.rewards.for_trainers
from durian.errors import MissingPackage
from durian.rewards import SwiftReward, compute_score, easyr1_reward, trl_reward

# 0.1 for the format, 0.9 for the answer.
BOTH, ANSWER, FORMAT = r"<think>a</think> \boxed{4}", r"\boxed{4}", r"<think>a</think> \boxed{5}"


@pytest.mark.parametrize(
    ("text", "score", "acc", "form"),
    [(BOTH, 1.0, 1, 1), (ANSWER, 0.9, 1, 0), (FORMAT, 0.1, 0, 1), ("4", 0.0, 0, 0)],
)
def test_verl_is_given_the_accuracy_beside_the_reward(text, score, acc, form):
    found = compute_score("any", text, "4", {"index": 0, "num_turns": None})
    assert found == {"score": pytest.approx(score), "acc": acc, "format": form}


def test_verl_may_add_arguments_and_dumps_whose_completion_it_was():
    found = compute_score(
        data_source="any", solution_str="a</think> \\boxed{B}", ground_truth="blue", opened=True,
        extra_info={"sample_id": "s1", "options": np.array(["red", "blue"], object)},
        reward_router_address=None,
    )  # fmt: skip
    assert found == {"score": 1.0, "acc": 1.0, "format": 1.0, "sample_id": "s1"}


def test_several_accepted_references_may_come_as_a_list():
    assert compute_score("any", r"\boxed{gray}", np.array(["grey", "gray"], object))["acc"] == 1
    assert compute_score("any", r"\boxed{4}", 4)["acc"] == 1


def test_easyr1_is_given_its_three_parts():
    texts = [BOTH, FORMAT]
    inputs = [{"response": t, "response_length": 3, "ground_truth": "4"} for t in texts]
    assert easyr1_reward(inputs) == [
        {"overall": 1.0, "accuracy": 1.0, "format": 1.0},
        {"overall": pytest.approx(0.1), "accuracy": 0.0, "format": 1.0},
    ]
    assert durian.rewards.for_trainers.REWARD_TYPE == "batch"  # EasyR1 reads it


def test_trl_gives_conversations_and_logs_the_accuracy():
    logged = {}
    conversations = [[{"role": "assistant", "content": text}] for text in (BOTH, FORMAT, BOTH)]
    conversations[2][0]["content"] = [{"type": "text", "text": BOTH}]
    rewards = trl_reward(
        prompts=[[]] * 3, completions=conversations, completion_ids=[[1]] * 3, trainer_state=None,
        solution=["4", "4", None], sample_id=["a", "a", "b"],
        log_metric=logged.__setitem__, log_extra=logged.__setitem__,
    )  # fmt: skip
    assert rewards == [1.0, pytest.approx(0.1), None]
    assert logged == {"accuracy": 0.5, "sample_id": ["a", "a", "b"]}


def test_ms_swift_makes_the_reward_and_gives_texts():
    reward = SwiftReward(args=object())
    found = reward([BOTH, ANSWER], solution=["4", "4"], trainer_state=None)
    assert found == pytest.approx([1.0, 0.9])
    with pytest.raises(KeyError, match="no column of references"):
        reward([BOTH], level=[1])


def test_without_math_verify_the_first_call_says_what_to_install(monkeypatch):
    monkeypatch.setattr("durian.rewards.for_trainers.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r'pip install "math-verify\[antlr4-9-3\]"$'):
        compute_score("any", BOTH, "4")


def test_it_is_loaded_and_used_without_our_other_dependencies():
    # Installed with --no-deps, in a trainer's environment.
    code = (
        "import sys\n"
        "for name in ('jinja2', 'matplotlib', 'msgspec', 'numpy', 'PIL', 'polars', 'pyarrow', "
        "'rich', 'scipy', 'skimage', 'torch', 'typer', 'yaml'): sys.modules[name] = None\n"
        "from durian.rewards import compute_score\n"
        f"print(compute_score('any', {BOTH!r}, '8/2')['score'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1.0\n", done.stderr
