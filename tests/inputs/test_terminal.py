"""What a dataset, a model or a name brings along cannot steer the terminal, nor spoil --json."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest
from rich.console import Console
from rich.progress import Progress

from durian.analysis.evaluation import Accuracy
from durian.analysis.one_run.summary import Summary
from durian.analysis.validation import BestPolicy, ValidationResult
from durian.groups import GroupCuts, PerceptualCuts, ReasoningCuts
from durian.regroup import Regrouped
from durian.training.manifest import (
    Ends,
    RowCounts,
    TrainedDataset,
    TrainedTable,
    TrainingManifest,
)
from durian.training.plan import BatchPlan, TrainingPlan, ValidationPlan
from durian_cli import display
from durian_cli.display import Bars
from tests.inputs.conftest import contents, image, patch_draws, write_world

HOSTILE = (
    "\x1b[31m\x1b]8;;https://x.example\x07y\x1b]8;;\x07\x9b2J\x07\b\x7f\r\n\t[red]z[/red]"
    "[link=https://x.example]\u202e\u200b\u2028\ufeff"
)
SGR = re.compile(r"\x1b\[[0-9;]*m")
BARS = re.compile(r"\x1b\[(\?25[lh]|2K|1A)|\r")  # how rich draws a bar again


def plain(text):
    """Nothing but what is printed, line by line."""
    return all(c == "\n" or c.isprintable() for c in text)


@pytest.fixture(scope="module")
def hostile_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch_draws(patch)
        write_world(folder, HOSTILE)
    return folder


@pytest.fixture
def hostile(hostile_world, tmp_path, monkeypatch):
    """Runs whose every text and name is hostile; the working folder."""
    shutil.copytree(hostile_world, tmp_path, dirs_exist_ok=True)
    for name in ("data.parquet", "a.jsonl", "b.jsonl", "a", "b"):
        (tmp_path / name).rename(tmp_path / named(name))
    (tmp_path / "r.py").write_text(f"def f(given):\n    raise ValueError({HOSTILE!r})\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(name):
    return f"{HOSTILE.replace('/', '')}{name}"


DATA, SCRIPT = named("data.parquet"), ["--engine", "scripted", "--model", named("a.jsonl")]
GOOD = {
    "profile": ["profile", DATA, *SCRIPT, "--rollouts", "2", "--out", named("new")],
    "dry run": ["profile", DATA, *SCRIPT, "--out", "new", "--dry-run"],
    "group": ["group", named("a"), "--perceptual", f"level {HOSTILE}", "--bins", "2"],
    "report": ["report", named("a")],
    "compare": ["compare", named("a"), named("b"), "--out", named("out")],
    "eval": ["eval", DATA, *SCRIPT, "--rollouts", "2", "--compare", named("b.jsonl"), "--table",
             named("a"), "--reward", "boxed", "--out", named("eval.json")],
    "schema": ["schema"],
}  # fmt: skip
BAD = {
    "failing reward": [
        "profile",
        DATA,
        *SCRIPT,
        "--rollouts",
        "4",
        "--reward",
        "r.py:f",
        "--out",
        "new",
    ],
    "column": ["profile", DATA, "--measures", "pixel", "--out", "new", "--problem-column", HOSTILE],
    "measure": ["group", named("a"), "--perceptual", f"levl {HOSTILE}"],
    "dataset": ["profile", HOSTILE, "--measures", "pixel", "--out", "new"],
    "run": ["report", HOSTILE],
    "option": ["report", f"--{HOSTILE}"],
    "value": ["profile", DATA, "--out", "new", "--limit", HOSTILE],
    "command": [HOSTILE],
    "model": ["profile", DATA, "--out", "new", "--model", HOSTILE, "--engine", "transformers"],
    "bytes": ["report", "\udcff\udc9b"],
}


@pytest.mark.parametrize("what", GOOD)
def test_hostile_text_reaches_no_terminal(hostile, durian, what):
    code, out, err = durian(*GOOD[what])
    assert code == 0, err
    assert plain(out) and plain(err)
    if what not in ("schema", "dry run"):
        assert "\\x1b[31m" in out  # it is told, in print
        assert "[red]z" in out


@pytest.mark.parametrize("what", BAD)
def test_hostile_text_in_an_error_is_one_printed_line(hostile, durian, what):
    before = contents(hostile)
    code, out, err = durian(*BAD[what])
    assert (code, out) == (2, "")
    assert err.startswith("durian: ") and err.count("\n") == 1 and plain(err)
    assert contents(hostile) == before


@pytest.mark.parametrize("what", ["group", "eval", "schema"])
def test_a_terminal_of_colours_gets_richs_own_codes_alone(hostile, durian, monkeypatch, what):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    code, out, err = durian(*GOOD[what])
    assert code == 0, err
    assert plain(SGR.sub("", out)) and plain(err)


def test_group_names_of_a_hostile_manifest_are_no_markup(capsys):
    how = {"measure": HOSTILE, "sizes": {HOSTILE: 3}, "edges": ()}
    cuts = GroupCuts(
        version=1,
        perceptual=PerceptualCuts(percentiles="auto", **how),
        reasoning=ReasoningCuts(bins=1, **how),
    )
    summary = Summary(samples=3, seed=0, spread={}, missing=[], measured=0)
    display.show_group(
        Regrouped(run=HOSTILE, changed=False, groups=cuts, before=cuts, summary=summary)
    )
    out = capsys.readouterr().out
    assert plain(out) and "[red]z[/red]" in out.replace("\n", "")


def test_bars_and_notes_show_hostile_text_in_print():
    file = io.StringIO()
    with Progress(console=Console(file=file, force_terminal=True, width=400)) as bars:
        bar = Bars(bars)
        bar.start("scan", 2)
        bar.note(HOSTILE)
        bar.advance("scan")
    assert plain(SGR.sub("", BARS.sub("", file.getvalue())))
    assert "[red]z[/red]" in file.getvalue()


def test_a_training_and_its_plan_show_hostile_text_in_print(capsys):
    half = Accuracy(accuracy=0.5, low=0.4, high=0.6, n=9, interval="wilson")
    best = BestPolicy(metric="greedy", step=2, accuracy=half, weights=HOSTILE)
    display.show_training(
        TrainingManifest(
            out=HOSTILE, durian="0", created="", dataset=TrainedDataset(name=HOSTILE, split=None),
            table=TrainedTable(run=HOSTILE, model=None), model=HOSTILE, config={},
            counts=RowCounts(rows=2, samples=1, left_out={HOSTILE: 1}),
            plan=None, result=Ends(logged_steps=0), seconds={}, versions={},
            validation=ValidationResult(dataset=HOSTILE, split=HOSTILE, validations=3, first=half,
                                        last=half, best=best, seconds=1.0),
        )
    )  # fmt: skip
    batches = {field.name: 1 for field in fields(BatchPlan)} | {"warnings": ()}
    display.show_training_plan(
        TrainingPlan(
            dataset=HOSTILE, table=HOSTILE, model=HOSTILE, normalizer="durian", weights=(1, 0, 0),
            read={"form": HOSTILE, "problem": HOSTILE, "answer": HOSTILE, "images": [HOSTILE],
                  "notes": [HOSTILE]},
            groups="table", first_prompt=f"{HOSTILE}\n{HOSTILE}", rows=1, left_out={HOSTILE: 1},
            batches=BatchPlan(**batches), longest_prompt=1, parameters_trained=1,
            parameters_left=0, memory_gib={},
            validation=ValidationPlan(dataset=HOSTILE, samples=9, every=1, validations=3,
                                      completions=1350),
        )
    )  # fmt: skip
    out = capsys.readouterr().out
    assert plain(out)
    told = out.replace("\n", " ")
    assert "best policy: step 2, greedy 50.0 % (40.0 to 60.0), in" in told
    assert "validations: 3 of 9 samples of" in told and "every 1 step: 1,350 completions" in told


def test_a_terminal_of_another_encoding_is_shown_escapes(hostile):
    (hostile / "中").mkdir()
    frame = '{"problem": "中", "answer": "1", "images": ["中.png"]}\n'
    (hostile / "中" / "rows.jsonl").write_text(frame)
    (hostile / "中" / "中.png").write_bytes(image(2))
    ran = subprocess.run(
        [sys.executable, "-m", "durian_cli", "profile", "中", "--measures", "pixel", "--out", "new",
         "--dry-run"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, b"dataset: \\u4e2d")


@pytest.mark.parametrize("what", [*GOOD, "pixels"])
def test_json_is_one_strict_object_and_nothing_else(hostile, durian, what):
    pixels = ["profile", DATA, "--measures", "pixel", "--out", "new"]
    code, out, err = durian(*GOOD.get(what, pixels), "--json", "--quiet")
    assert (code, err) == (0, "")
    assert out.isascii() and out.endswith("\n") and out.count("\n") == 1 and plain(out)
    value = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(value, dict) and value


def test_nothing_is_written_outside_the_run_or_by_a_name_of_the_data(hostile, durian, tmp_path):
    before = contents(hostile)
    assert durian(*GOOD["profile"], "--quiet")[0] == 0
    assert durian(*GOOD["compare"], "--quiet")[0] == 0
    new = {name for name in contents(hostile).keys() - before.keys()}
    assert {name.split("/")[0] for name in new} == {named("new"), named("out")}
    inside = {name.partition("/")[2] for name in new}
    assert all(re.fullmatch(r"[a-z_/-]+(-\d+)?\.(html|svg|png|json|parquet)", n) for n in inside)
