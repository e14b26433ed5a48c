"""A user's own reward: EasyR1's convention, a TRL reward wrapped, and what can be wrong with it."""

import pytest

from durian.errors import ConfigError
from durian.rewards import Attempts, BoxedReward, Score, open_reward, reward_fingerprint


@pytest.fixture
def reward_file(tmp_path):
    def write(code, name="mine.py"):
        path = tmp_path / name
        path.write_text(code)
        return path

    return write


def given(reward, completions, n_tokens, answer, **known):
    attempts = Attempts(completions=completions, n_tokens=n_tokens, answer=answer, **known)
    return reward.start(attempts)()


def test_the_default_is_the_boxed_reward():
    assert open_reward() == open_reward("boxed") == open_reward(None) == BoxedReward()
    assert reward_fingerprint() == reward_fingerprint("boxed") == "boxed"


def test_a_number_is_the_reward_and_right_at_a_half(reward_file):
    path = reward_file("def f(r):\n    return float(r['response'])")
    scores = given(open_reward(f"{path}:f"), ["0.49", "0.5", "-3"], [1, 1, 1], "x")
    assert scores == [
        Score(0.49, False, None, None),
        Score(0.5, True, None, None),
        Score(-3.0, False, None, None),
    ]


def test_the_function_is_given_what_easyr1_gives_and_what_is_known_of_the_sample(reward_file):
    path = reward_file(
        "def f(r):\n"
        "    assert r == {\n"
        "        'response': 'a', 'response_length': 7, 'ground_truth': 'b',\n"
        "        'question': 'Which?', "
        "'options': ['red', 'blue'], 'columns': {'level': 3},\n"
        "        'image_sizes': [(640, 480)], "
        "'seen_sizes': [(644, 476)], 'finish_reason': 'stop'}, r\n"
        "    return 1"
    )
    [score] = given(
        open_reward(f"{path}:f"),
        ["a"],
        [7],
        "b",
        question="Which?",
        options=("red", "blue"),
        columns={"level": 3},
        image_sizes=[(640, 480)],
        seen_sizes=[(644, 476)],
        finish_reasons=["stop"],
    )
    assert score.reward == 1.0


def test_parts_fill_both_columns_and_the_box_the_answer(reward_file):
    path = reward_file(
        "def f(r):\n    return {'overall': -0.8, 'accuracy': 1.0, 'format': 0.0, 'overlong': -1.8}"
    )
    assert given(open_reward(f"{path}:f"), [r"\boxed{5}"], [1], "5") == [
        Score(-0.8, True, False, "5")
    ]


def test_without_an_accuracy_part_the_overall_reward_decides(reward_file):
    path = reward_file("def f(r):\n    return {'overall': 0.5, 'format': 1}")
    assert given(open_reward(f"{path}:f"), ["a"], [1], "5") == [Score(0.5, True, True, None)]


def test_a_batch_reward_takes_all_rollouts_of_a_sample(reward_file):
    path = reward_file(
        "REWARD_TYPE = 'batch'\n"
        "def f(rs):\n"
        "    longest = max(r['response_length'] for r in rs)\n"
        "    return [{'overall': r['response_length'] / longest} for r in rs]"
    )
    assert [s.reward for s in given(open_reward(f"{path}:f"), ["a", "b"], [1, 4], "x")] == [
        0.25,
        1.0,
    ]


def test_numpy_and_torch_numbers_are_numbers(reward_file):
    path = reward_file(
        "import numpy as np, torch\n"
        "def f(r):\n"
        "    return {'a': np.float32(0.25), 'b': torch.tensor(0.75), 'c': np.bool_(True)}"
        "[r['response']]"
    )
    rewards = [s.reward for s in given(open_reward(f"{path}:f"), ["a", "b", "c"], [1, 1, 1], "x")]
    assert rewards == [0.25, 0.75, 1.0]


def test_a_trl_reward_is_wrapped_in_three_lines(reward_file):
    path = reward_file(
        "def trl_reward(completions, solution, **kwargs):\n"
        "    return [float(s in c[0]['content']) for c, s in zip(completions, solution)]\n"
        "\n"
        "def mine(reward_input):\n"
        "    completion = [{'role': 'assistant', 'content': reward_input['response']}]\n"
        "    return trl_reward(completions=[completion], "
        "solution=[reward_input['ground_truth']])[0]\n"
    )
    scores = given(open_reward(f"{path}:mine"), ["a red cube", "a blue cube"], [3, 3], "red")
    assert [s.correct for s in scores] == [True, False]


FAILURES = [
    ("1 / 0", "reward failed: ZeroDivisionError: division by zero"),
    ("r['image']", "reward failed: KeyError: 'image'"),
    ("float('nan')", "reward failed: the reward is nan, which is not finite"),
    ("float('-inf')", "reward failed: the reward is -inf, which is not finite"),
    ("None", "reward failed: the reward is None, not a number"),
    ("'1'", "reward failed: the reward is a str, not a number"),
    ("[1]", "reward failed: the reward is a list of 1, not a number"),
    ("{'accuracy': 1}", "reward failed: the dict it returned has no 'overall'"),
    ("{'overall': 'x'}", "reward failed: 'overall' is a str, not a number"),
    (
        "{'overall': 1, 'format': float('nan')}",
        "reward failed: 'format' is nan, which is not finite",
    ),
    ("{'overall': 1, 'accuracy': 'yes'}", "reward failed: 'accuracy' is a str, not a number"),
    ("int('two\\nlines')", "reward failed: ValueError: invalid literal for int() with base 10: "),
]


@pytest.mark.parametrize(("returned", "phrase"), FAILURES)
def test_a_reward_that_fails_says_why_in_one_phrase(reward_file, returned, phrase):
    reward = open_reward(f"{reward_file(f'def f(r):{chr(10)}    return {returned}')}:f")
    with pytest.raises(ValueError) as raised:
        given(reward, ["a"], [1], "x")
    assert str(raised.value).startswith(phrase) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("returned", "found"), [("[1.0]", "a list of 1"), ("1.0", "a float"), ("None", "None")]
)
def test_a_batch_reward_must_return_one_result_a_completion(reward_file, returned, found):
    path = reward_file(f"REWARD_TYPE = 'batch'\ndef f(rs):\n    return {returned}")
    with pytest.raises(ValueError, match=f"it must return a list of 2, not {found}"):
        given(open_reward(f"{path}:f"), ["a", "b"], [1, 1], "x")


@pytest.mark.parametrize("name", ["exact", "mine.py", "mine.py:", "mine.txt:f", ":f", "m.py:f()"])
def test_an_unknown_reward_is_refused(name):
    for function in (open_reward, reward_fingerprint):
        with pytest.raises(ConfigError, match="it must be one of boxed, .* or FILE.py:function"):
            function(name)


def test_a_missing_file_is_refused(tmp_path):
    for function in (open_reward, reward_fingerprint):
        with pytest.raises(ConfigError, match="none.py: cannot read the reward file: No such file"):
            function(f"{tmp_path}/none.py:f")


BROKEN = [
    ("def f(:", "cannot load the reward file: SyntaxError"),
    ("import no_such_module", "cannot load the reward file: ModuleNotFoundError"),
    ("raise SystemExit(2)", "cannot load the reward file: SystemExit: 2"),
    ("def g(r): pass\ndef h(r): pass", r"no function 'f' \(found: g, h\)"),
    ("f = 3", r"no function 'f' \(found: none\)"),
    ("REWARD_TYPE = 'all'\ndef f(r): pass", "REWARD_TYPE is 'all'; it must be one of seq"),
]


@pytest.mark.parametrize(("code", "message"), BROKEN)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(reward_file, code, message):
    with pytest.raises(ConfigError, match=message) as raised:
        open_reward(f"{reward_file(code)}:f")
    assert "\n" not in str(raised.value)


def test_two_files_of_one_name_do_not_mix(reward_file, tmp_path):
    (tmp_path / "other").mkdir()
    one = open_reward(f"{reward_file('def f(r): return 1')}:f")
    two = open_reward(f"{reward_file('def f(r): return 0', 'other/mine.py')}:f")
    assert given(one, [""], [0], "")[0].reward == 1.0
    assert given(two, [""], [0], "")[0].reward == 0.0


def test_the_fingerprint_changes_with_the_file_and_the_function_not_with_the_folder(
    reward_file, tmp_path
):
    (tmp_path / "other").mkdir()
    path = reward_file("def f(r): return 1")
    before = reward_fingerprint(f"{path}:f")
    assert before.startswith("mine.py:f@") and before != reward_fingerprint(f"{path}:g")
    moved = reward_file("def f(r): return 1", "other/mine.py")
    assert reward_fingerprint(f"{moved}:f") == before
    reward_file("def f(r): return 2")
    assert reward_fingerprint(f"{path}:f") != before


def test_a_reward_that_would_end_the_program_has_failed_on_that_sample(reward_file):
    path = reward_file("import sys\ndef f(r):\n    sys.exit(0)")
    with pytest.raises(ValueError, match="reward failed: SystemExit: 0"):
        given(open_reward(f"{path}:f"), ["a"], [1], "x")
