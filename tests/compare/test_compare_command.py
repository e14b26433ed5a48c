"""`durian compare` and `durian schema` from outside: exit codes, the exact line, the disk."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from durian_cli.app import app

ROOT = Path(__file__).parents[2]


def invoke(*args: object) -> Result:
    """In this process: with the few draws of the fixture."""
    return CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)


def durian(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "durian_cli", *map(str, args)],
        capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture
def runs(run, tmp_path, monkeypatch):
    run("a")
    run("b", seed=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_comparison_says_what_moved_and_where_its_page_is(runs):
    done = invoke("compare", "a", "b")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "40 samples of both runs"
    assert lines[-1] == "page:    b/compare/a/index.html"
    assert any(re.match("(Keep the groups|Profile again): ", line) for line in lines)
    assert (runs / "b" / "compare" / "a" / "index.html").exists()


def test_runs_of_other_cuts_are_told_the_command_that_groups_both_alike(run, runs):
    run("c", seed=2, bins=5)
    done = invoke("compare", "a", "c")
    assert done.exit_code == 0
    *_, title, command, _, page = done.stdout.splitlines()
    assert title == "to compare their groups:"
    assert command == "  durian group c --reasoning mean_logprob --bins 4"
    assert page == "page:    c/compare/a/index.html"
    assert "to compare their groups" not in invoke("compare", "a", "b").stdout


def test_json_is_one_object_and_config_gives_options(runs):
    (runs / "compare.yaml").write_text("out: elsewhere\n")
    done = invoke("compare", "a", "b", "--json", "--config", "compare.yaml")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["out"] == "elsewhere" and found["samples"]["both"] == 40
    assert (runs / "elsewhere" / "summary.json").exists()
    quiet = invoke("compare", "a", "b", "--quiet", "--out", "elsewhere")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_what_is_no_run_is_refused_in_one_line(runs):
    done = durian("compare", "a", "nowhere", cwd=runs)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "durian: nowhere: is not a run folder (no manifest.json); give the --out of a profile\n"
    )
    assert not (runs / "nowhere").exists()


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom durian_cli.app import main\nsys.argv = ['durian', 'compare', '--help']\n"
        "try: main()\n"
        "finally: print({'torch', 'polars', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "Example: durian compare" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "set()"


def test_schema_prints_both_tables_with_units():
    done = durian("schema", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    shown = re.sub(r" +", " ", done.stdout)
    for line in (
        "difficulty.parquet", "rollouts.parquet",
        "pixel_entropy double bits Shannon entropy of the gray levels",
        "mean_logprob double nats per token mean over completions",
        "n_tokens int32 tokens completion length",
    ):  # fmt: skip
        assert line in shown
