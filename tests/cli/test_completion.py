"""Shell completion, as the three shells ask for it, by the command and by `python -m`."""

import os
import subprocess
import sys

import pytest


def durian(*args: str, **asked: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "durian_cli", *args],
        capture_output=True, text=True, env=os.environ | asked,
    )  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_completes_durian(shell):
    shown = durian(_DURIAN_COMPLETE=f"source_{shell}")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"_DURIAN_COMPLETE=complete_{shell}" in shown.stdout
    assert "python" not in shown.stdout


ASKED = {
    "bash": lambda words: {
        "_DURIAN_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    },
    "zsh": lambda words: {"_DURIAN_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {
        "_DURIAN_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


@pytest.mark.parametrize(
    ("shell", "words", "completed", "other"),
    [
        ("bash", "durian pro", "profile", "report"),
        ("bash", "durian eval --engine vl", "vllm", "scripted"),
        ("zsh", "durian train --norm", "--normalizer", "--weights"),
        ("fish", "durian train --normalizer dr", "dr_grpo", "batch"),
    ],
)
def test_commands_options_and_choices_are_completed(shell, words, completed, other):
    shown = durian(**ASKED[shell](words))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert completed in shown.stdout and other not in shown.stdout
