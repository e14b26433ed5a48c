"""Every option of every command mistyped once, and given a word where it wants a number."""

import pytest
import typer

from durian_cli.app import app
from tests.cli.in_process import durian

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = [
    (command, option)
    for command, of in COMMANDS.items()
    for option in of.params
    if option.param_type_name == "option" and option.name != "help"
]
# What each command must have, so that nothing else is wrong.
NEEDED = {
    "profile": ["data", "--out", "o"],
    "train": ["data", "--table", "t", "--model", "m", "--out", "o"],
    "eval": ["data", "--model", "m"],
    "report": ["run"],
    "group": ["run"],
    "merge": ["run"],
    "rescore": ["run", "--reward", "boxed", "--out", "o"],
    "compare": ["a", "b"],
    "grade": ["a", "b"],
    "schema": [],
    "show": ["run", "--id", "x"],
    "view": ["run"],
    "export": ["run", "--to", "verl", "--out", "o"],
    "import": ["logs", "--from", "jsonl", "--dataset", "d", "--out", "o"],
    "doctor": [],
}


def mistyped(option: str) -> str:
    """`--rollouts` without its middle letter."""
    middle = 2 + (len(option) - 2) // 2
    return option[:middle] + option[middle + 1 :]


def test_every_command_is_tried():
    assert NEEDED.keys() == COMMANDS.keys()
    assert len(OPTIONS) > 100


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda x: getattr(x, "name", x))
def test_a_mistyped_option_is_one_line_that_names_the_right_one(command, option):
    (right,) = [name for name in option.opts if name.startswith("--")]
    wrong = mistyped(right)
    code, shown, said = durian(command, *NEEDED[command], wrong)
    assert (code, shown, said.count("\n")) == (2, "", 1)
    assert said.startswith(f"durian: no option {wrong}; did you mean ")
    assert f" {right}" in said.partition("?")[0]
    assert said.endswith(f"(see durian {command} --help)\n")


def test_a_mistyped_command_is_one_line_that_names_the_right_one():
    for command in COMMANDS:
        code, shown, said = durian(mistyped(f"--{command}")[2:])
        assert (code, shown, said.count("\n")) == (2, "", 1)
        assert f"'{command}'" in said


NUMBERS = [
    (command, option)
    for command, option in OPTIONS
    if not option.is_flag and option.type_descriptor.annotation in (int, float)
]


def test_the_numbers_are_found():
    assert {option.name for _, option in NUMBERS} >= {"limit", "seed", "temperature", "eps"}


@pytest.mark.parametrize(("command", "option"), NUMBERS, ids=lambda x: getattr(x, "name", x))
def test_a_word_where_a_number_belongs_is_one_line_that_names_the_option(command, option):
    code, shown, said = durian(command, *NEEDED[command], option.opts[0], "x")
    assert (code, shown, said.count("\n")) == (2, "", 1)
    assert f"'{option.opts[0]}'" in said or f"{option.opts[0][2:]} is 'x'" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_without_its_value_is_one_line_that_names_it(command):
    code, _, said = durian(command, *NEEDED[command], "--config")
    assert (code, said.count("\n")) == (2, 1)
    assert "'--config' requires an argument" in said


def test_no_words_at_all_show_the_help_and_say_what_is_missing():
    code, shown, said = durian()
    assert code == 2 and all(command in shown + said for command in COMMANDS)
    assert said.endswith("durian: name a command (see durian --help)\n")


@pytest.mark.parametrize("words", [
    ["--split", "a", "--split", "b"],
    ["--split=a", "--split", "a"],
    ["--system-prompt", "--split", "--split", "a", "--split=b"],  # the first is a value
])  # fmt: skip
def test_an_option_given_twice_is_refused_by_its_name(words):
    code, shown, said = durian("profile", "data", "--out", "o", *words)
    assert (code, shown) == (2, "")
    assert said == "durian: --split is given twice; give it once\n"


def test_flags_repeatable_options_and_values_that_look_like_options_may_stand_twice():
    words = ["--quiet", "--quiet", "--engine-arg", "a=1", "--engine-arg", "b=2",
             "--system-prompt", "--split", "--split", "a"]  # fmt: skip
    code, _, said = durian("profile", "/nowhere/data", "--out", "/nowhere/o", *words)
    assert code == 2 and "twice" not in said
