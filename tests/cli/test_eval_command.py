"""`durian eval` from outside: exit codes, the exact line, and what is on the disk."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from durian.samples import sample_id
from durian_cli.app import main

ESCAPE = "\x1b[31m"  # would turn the terminal red


@pytest.fixture
def durian(monkeypatch, capsys):
    """The command line in this process: exit code, stdout, stderr."""

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["durian", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return call


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, png: bytes, monkeypatch) -> Path:
    """data.parquet: two samples and a damaged one; a.jsonl right in both, b.jsonl in one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("How many?", "2", [png]), ("Which?", "red", [png]), ("And?", "2", [b"no image"])]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(
        "data.parquet"
    )
    for name, answers in (("a", ["2", "red"]), ("b", ["2", "blue"]), (f"{ESCAPE}c", ["1", "1"])):
        lines = [
            {"sample_id": sample_id(problem, answer, [png]), "rollout": number, "n_tokens": 4,
             "completion": f"<think>so</think> \\boxed{{{said}}}", "sum_logprob": -1.0,
             "finish_reason": "stop"}
            for (problem, answer, _), said in zip(rows, answers, strict=False)
            for number in range(2)
        ]  # fmt: skip
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "begun" / "parts").mkdir(parents=True)
    (tmp_path / "taken.json").mkdir()
    return tmp_path


BASE = ("eval", "data.parquet", "--engine", "scripted", "--rollouts", 2)


def test_json_is_one_object_and_the_file_holds_the_same(durian):
    Path("eval.json").write_text("of an earlier run")
    code, out, _ = durian(*BASE, "--model", "a.jsonl", "--out", "eval.json", "--json")
    assert code == 0
    found = json.loads(out)
    assert json.loads(Path("eval.json").read_text()) == found
    assert not list(Path().glob("*.tmp"))
    assert found["models"][0]["greedy"]["accuracy"] == 1.0
    assert (found["counts"]["judged"], found["counts"]["failed"]) == (2, 1)


def test_a_folder_is_kept_and_told_again(durian):
    asked = (*BASE, "--model", "a.jsonl", "--compare", "b.jsonl", "--out", "kept")
    code, out, _ = durian(*asked)
    assert code == 0
    assert out.splitlines()[-2:] == ["written: kept/rollouts.parquet", "page:    kept/index.html"]
    names = {path.name for path in Path("kept").iterdir()}
    assert names == {"summary.json", "rollouts.parquet", "index.html", "manifest.json"}
    # Finished, it tells what it found: the script may be gone.
    assert durian(*asked)[:2] == (0, out)
    code, out, _ = durian(*asked, "--json")
    assert json.loads(out) == json.loads(Path("kept/summary.json").read_text())


def test_pass_at_is_on_the_page_and_on_the_terminal(durian):
    # b.jsonl is right twice in the one sample and never in the other: half, however many.
    asked = (*BASE, "--model", "b.jsonl", "--pass-at", "1,2", "--out", "kept")
    code, out, err = durian(*asked)
    assert code == 0, err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[lines.index("right at least once samples pass@1 pass@2") + 1] == (
        "all 2 50.0 % 50.0 %"
    )
    page = " ".join(re.sub("<[^>]+>", " ", Path("kept/index.html").read_text()).split())
    assert "A right one among several samples pass@1 pass@2 all 2 50.0" in page
    assert durian(*asked)[:2] == (0, out)  # read back


def test_the_terminal_is_told_what_was_found_and_what_was_left_out(durian):
    code, out, _ = durian(*BASE, "--model", "a.jsonl", "--compare", "b.jsonl")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "accuracy of a.jsonl" in lines
    assert "all 2 100.0 % 100.0 %" in lines  # two samples of one image
    assert any("(no interval: 1 image" in line for line in lines)
    assert any(line.startswith("all 2 50.0 %") for line in lines)
    assert "a.jsonl minus b.jsonl, in points" in lines
    assert any(line.startswith("all 2 +50.0") for line in lines)
    assert "1 of 3 samples failed; in no rate:" in lines
    assert any(line.startswith("1 x cannot decode image") for line in lines)
    assert any(line.endswith("above 0, a.jsonl is right more often.") for line in lines)


def test_no_name_becomes_markup_in_the_page(durian, folder):
    name = '"><img src=x onerror=alert(1)><b>.jsonl'
    (folder / name).write_bytes((folder / "a.jsonl").read_bytes())
    code, _, err = durian(*BASE, "--model", name, "--compare", name, "--out", "kept")
    assert code == 0, err
    page = Path("kept/index.html").read_text()
    assert "<img" not in page and "<b>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&lt;b&gt;.jsonl" in page


def test_quiet_shows_nothing(durian):
    assert durian(*BASE, "--model", "a.jsonl", "-q") == (0, "", "")


def test_what_could_steer_a_terminal_is_shown_harmless(durian):
    code, out, err = durian(*BASE, "--model", f"{ESCAPE}c.jsonl", "--compare", f"{ESCAPE}c.jsonl")
    assert code == 0
    assert "\x1b" not in out + err and "\\x1b[31mc.jsonl" in out + err


def test_options_come_from_yaml_and_the_command_line_wins(durian):
    Path("c.yaml").write_text("model: b.jsonl\nengine: scripted\nrollouts: 7\nlimit: 2\n")
    code, out, _ = durian("eval", "data.parquet", "--config", "c.yaml", "--rollouts", 0, "--json")
    assert code == 0
    settings = json.loads(out)["settings"]
    assert (settings["model"], settings["rollouts"], settings["limit"]) == ("b.jsonl", 0, 2)


WRONG = [
    # arguments after `durian eval data.parquet --engine scripted`, and the one line on stderr
    ([], "Missing option '--model'"),
    (["--model", "none.jsonl"], "model 'none.jsonl': No such file or directory"),
    (["--model", "a.jsonl", "--compare", "none.jsonl"], "model 'none.jsonl': No such file"),
    (["--model", "a.jsonl", "--rollouts", "-1"], "rollouts is -1; it must be 0 or more"),
    (["--model", "a.jsonl", "--temperature", "0"],
     "temperature is 0, which is greedy; pass --rollouts 0 for it alone"),
    (["--model", "a.jsonl", "--pass-at", "1,some"], "pass-at is '1,some'; write whole numbers, li"),
    (["--model", "a.jsonl", "--rollouts", "4", "--pass-at", "2,5"],
     "pass-at 5 needs 1 to --rollouts completions of each sample, and rollouts is 4; pass"),
    (["--model", "a.jsonl", "--engine", "vlm"], "--engine is given twice; give it once"),
    (["--model", "a.jsonl", "--table", "nowhere"], "nowhere: is not a run folder"),
    (["--model", "a.jsonl", "--table", "begun"], "begun: is not complete: run its profile again"),
    (["--model", "a.jsonl", "--out", "a.jsonl"], "a.jsonl: is a file; --out names a folder"),
    (["--model", "a.jsonl", "--out", "."], ".: holds other files and no run; choose another --out"),
    (["--model", "a.jsonl", "--out", "taken.json"],
     "out: taken.json is a folder; give a file, or a folder's name without .json"),
    (["--model", "a.jsonl", "--out", "new.json", "--fresh"],
     "fresh throws the unfinished parts of a folder away, and out names none; leave it out"),
    (["--model", "a.jsonl", "--out", "no/eval.json"], "out: no folder no; make it first"),
    (["--model", "a.jsonl", "--answer-column", "solution"], "no column 'solution'"),
    (["--model", "a.jsonl", "--reward", "mine.py:f"], "mine.py"),
    (["--model", "a.jsonl", "--prompt-template", "none.jinja"], "none.jinja"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_wrong_input_is_one_line_exit_2_and_nothing_written(durian, folder, args, line):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    code, out, err = durian("eval", "data.parquet", "--engine", "scripted", *args)
    said = err.splitlines()[-1]
    assert (code, out) == (2, "") and said.startswith("durian: ")
    assert line in said
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_where_nothing_could_be_judged_the_exit_is_1(durian):
    three = [3 if value == 2 else value for value in BASE]
    code, out, err = durian(*three, "--model", "a.jsonl")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "durian: none of 3 samples could be judged: 2 x 2 scripted rollouts for this sample, not 3"
    )


def test_it_runs_as_a_command_of_its_own(folder):
    done = subprocess.run(
        [sys.executable, "-m", "durian_cli", *map(str, BASE), "--model", "a.jsonl", "--json"],
        capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["samples"] == 3
