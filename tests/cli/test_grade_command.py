"""`durian grade`: kind, rule and verdict of one pair, as lines and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from durian.errors import ConfigError
from durian_cli.app import app


def run(*words):
    return CliRunner().invoke(app, ["grade", *words])


def test_it_tells_the_verdict_the_kind_and_the_rule():
    ran = run("x = -4 or x = 1", "1, -4")
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines() == [
        "right (list)",
        "rule: as many elements, each equal by its own kind; the order counts in brackets, "
        "ratios, lists by semicolons and words by commas, and where the question asks for one",
    ]
    assert run("CO2", "C2O").output.startswith("wrong (code)")


def test_json_holds_the_same():
    ran = run("25-34", "35-44", "--json")
    assert json.loads(ran.output) == {
        "right": False,
        "kind": "interval",
        "rule": "equal ends, open or closed alike; nothing is subtracted",
    }


def test_question_options_and_tolerance_reach_the_rule():
    assert run("3, 1, 2", "1, 2, 3").output.startswith("right")
    ordered = run("3, 1, 2", "1, 2, 3", "--question", "Sort them in ascending order.")
    assert ordered.output.startswith("wrong")
    assert run("red", "B", "--options", '["blue", "red"]').output.startswith("right (choice)")
    assert run("102", "100").output.startswith("wrong")
    assert run("102", "100", "--tolerance", "0.05").output.startswith("right")


def test_an_answer_that_begins_with_a_hyphen_follows_two():
    assert run("--", "-5", "-5").output.startswith("right (number)")


def test_options_that_are_no_list_are_refused():
    with pytest.raises(ConfigError, match="options is no JSON list of texts"):
        CliRunner().invoke(app, ["grade", "a", "B", "--options", "red"], catch_exceptions=False)
