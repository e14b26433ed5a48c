"""The Slurm scripts of docs/scaling.md: short, and each of their command lines is one of ours."""

import re
import shlex
from pathlib import Path

import typer
from typer.main import get_command

from durian_cli.app import app

TEXT = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
SCRIPTS = [text for text in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) if "#SBATCH" in text]


def parsed(script: str) -> tuple[str, dict[str, object]]:
    """The command of ours in a script, and its values as its configs would have them."""
    (line,) = [line for line in script.replace("\\\n", " ").splitlines() if "durian" in line]
    words = shlex.split(line)
    at = next(place for place, word in enumerate(words) if word in ("durian", "durian_cli"))
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    name, command, rest = group.resolve_command(typer.Context(group), words[at + 1 :])
    assert name is not None and command is not None
    params = command.make_context(name, rest).params  # refuses an option that there is not
    (about,) = [c.callback for c in app.registered_commands if command_name(c) == name]
    return name, {o.field: o.read(params[o.name], {}) for o in getattr(about, "options", ())}


def command_name(command: typer.models.CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "")


def test_the_three_scripts_have_ten_lines_at_most_and_are_ours(monkeypatch):
    for name, value in {"ID": 3, "MIN": 1, "MAX": 8, "STEP": 1, "COUNT": 8}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    array, cluster, training = SCRIPTS
    assert all(len(script.splitlines()) <= 10 for script in SCRIPTS)
    name, values = parsed(array)
    assert name == "profile" and str(values["shard"]) == "3/8"
    assert re.search(r"--array=1-8\b", array)
    name, values = parsed(cluster)
    assert name == "profile" and values["distributed"] == "ray" and values["tensor_parallel"] == 4
    name, values = parsed(training)
    # Two nodes of eight GPUs.
    assert name == "train" and values["processes"] == 2 * 8
