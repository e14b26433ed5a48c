"""`durian export`: what it says, what it refuses, and that nothing is left half."""

import json
import re
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.in_process import durian
from tests.export.conftest import N, questions


def table_of(page: str, number: int = 0) -> list[list[str | int]]:
    """The rows of a table of the page: what each is of, and its counts."""
    body = re.findall(r"<tbody>(.*?)</tbody>", page, re.S)[number]
    rows = re.findall(r"<tr><th[^>]*>(.*?)</th>(.*?)</tr>", body, re.S)
    return [
        [name, *(int(cell.replace(",", "")) for cell in re.findall(r"<td[^>]*>([\d,]+)<", cells))]
        for name, cells in rows
    ]


def test_it_says_what_was_chosen_and_how_to_launch(run, tmp_path):
    out = tmp_path / "out"
    code, said, _ = durian(
        "export", run, "--to", "easyr1", "--out", out, "--filter", "pass_rate > 0", "-q"
    )
    assert (code, said) == (0, "")
    code, said, _ = durian(
        "export", run, "--to", "easyr1", "--out", out, "--filter", "pass_rate > 0"
    )
    assert code == 0
    # Samples 0, 5 and 10 have none right.
    assert said.startswith(f"Of {N} samples of 1 run, 9 may be taken.\n")
    assert "train.parquet has 9 samples in 10 rows." in said
    assert "durian.plugins.durian_easyr1" in said.splitlines()[-1]
    assert not list(tmp_path.glob(".*"))


def test_json_is_the_record_beside_the_files(run, tmp_path):
    out = tmp_path / "out"
    code, said, _ = durian("export", run, "--to", "parquet", "--out", out, "--json", "-q")
    assert code == 0 and json.loads(said) == json.loads((out / "export.json").read_text())


def test_the_control_is_a_training_set_and_no_validation_set(run, tmp_path):
    code, said, _ = durian(
        "export", run, "--to", "verl", "--out", tmp_path / "out", "--select", "4", "--control",
        "random", "--balance", "kind=a:1,c:1",
    )  # fmt: skip
    assert code == 0 and "Of 12 samples of 1 run, 4 were chosen.\n" in said
    assert "control.parquet" not in said.splitlines()[-1]
    found = json.loads((tmp_path / "out" / "export.json").read_text())["categories"]
    # Four of each kind there are, and two of each that was asked for in both sets.
    assert found["sets"] == ["train", "control"]
    assert found["rows"] == {"a": [4, 4, 2, 2], "b": [4, 4, 0, 0], "c": [4, 4, 2, 2]}
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "What was taken, by kind" in page and "could not be written" not in page
    # Of the categories' table each row: in the tables, may be taken, train, control.
    assert table_of(page) == [["a", 4, 4, 2, 2], ["b", 4, 4, 0, 0], ["c", 4, 4, 2, 2]]


def test_the_page_says_what_a_filter_left_by_category(run, tmp_path):
    code, _, _ = durian(
        "export", run, "--to", "verl", "--out", tmp_path / "out", "--balance", "kind", "-q",
        "--filter", "pass_rate > 0", "--select", "3",
    )  # fmt: skip
    assert code == 0
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    # None right have 0 (a), 5 (b) and 10 (c).
    assert table_of(page) == [["a", 4, 3, 1], ["b", 4, 3, 1], ["c", 4, 3, 1]]
    assert "Of 12 samples of 1 run, 9 may be taken and 3 were chosen." in page


def test_order_limit_and_parts_work_together(run, tmp_path):
    out = tmp_path / "out"
    code, _, _ = durian(
        "export", run, "--to", "parquet", "--out", out, "--order", "hard_first", "--limit", "8",
        "--parts", "train=0.75,val=0.25", "-q",
    )  # fmt: skip
    assert code == 0
    # Confidence falls with i: the hardest are 11 to 4; those of one image (2 k, 2 k + 1) together.
    train, val = questions(out / "train.parquet"), questions(out / "val.parquet")
    assert sorted(train + val) == list(range(4, 12)) and len(val) == 2
    assert train == sorted(train, reverse=True) and val[0] // 2 == val[1] // 2


def test_a_config_file_names_the_runs_too(run, tmp_path):
    (tmp_path / "e.yaml").write_text(f"runs: [{run}]\nto: parquet\nout: {tmp_path / 'out'}\n")
    code, _, said = durian("export", "--config", tmp_path / "e.yaml", "-q")
    assert (code, said) == (0, "")


REFUSED = [
    (["--to", "trl2"], "to is 'trl2'; it must be one of verl, easyr1, swift"),
    (["--out", "full"], "full: holds other files and no export; choose another --out"),
    (["--out", "full/file"], "full/file: is no folder; choose another --out"),
    (["--out", "full/file/below"], "full/file/below: cannot be written"),
    (["--dataset", "nowhere.parquet"], "nowhere.parquet: no such file or folder"),
    (["--dataset", "other.jsonl"], "the table has none of the 1 rows; give the dataset that was"),
    (["--filter", "pass_rate > 1"], "filter: no sample of 12 passes"),
    (["--balance", "colour"], "balance: no column 'colour' in the table"),
    (["--parts", "a=1,b=1"], "parts is 'a=1,b=1', whose shares sum to 2"),
    (["--select", "13"], "select is 13, and 12 samples are left to draw from"),
    (["--mix", "0.5,0.5"], "mix has 2 shares for 1 runs"),
    (["--push-to-hub", "a/b"], "push-to-hub needs a token; set HF_TOKEN in the environment"),
]


@pytest.mark.parametrize(("args", "said"), REFUSED, ids=[" ".join(args) for args, _ in REFUSED])
def test_wrong_input_is_one_line_and_nothing_is_written(run, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "other.jsonl").write_text('{"problem": "other", "answer": "1", "images": []}\n')
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    given = {"--to": "parquet", "--out": "deep/er/out", **dict([args])}
    code, out, err = durian("export", run, *sum(map(list, given.items()), []), "-q")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("durian: ") and said in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_export_is_replaced_whole(run, tmp_path):
    out = tmp_path / "out"
    for form, left in (("slime", "train.jsonl"), ("verl", "train.parquet")):
        assert durian("export", run, "--to", form, "--out", out, "-q")[0] == 0
        assert [p.name for p in out.glob("train*")] == [left]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # What is refused leaves the export that is there.
    assert durian("export", run, "--to", "verl", "--out", out, "--select", "99", "-q")[0] == 2
    assert pq.read_metadata(out / "train.parquet").num_rows == N + 1


def test_a_kill_in_the_middle_leaves_nothing_half(run, tmp_path):
    # A process that stops within its writing, until it is killed there.
    out = tmp_path / "out"
    code = (
        "import sys, time\n"
        "from durian.exporting import files\n"
        "from durian_cli.app import main\n"
        "def stop(self, row, size):\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(600)\n"
        "files.ParquetRows.add = stop\n"
        f"words = ['export', {str(run)!r}, '--to', 'verl', '--out', {str(out)!r}, '-q']\n"
        "sys.argv = ['durian', *words]\n"
        "main()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "writing\n"
    assert not out.exists() and (tmp_path / ".out.unfinished").is_dir()
    # Meanwhile the same export is refused.
    done, _, said = durian("export", run, "--to", "verl", "--out", out, "-q")
    assert done == 2 and "out: is in use by process" in said
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert not out.exists()
    assert durian("export", run, "--to", "verl", "--out", out, "-q")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert pq.read_metadata(out / "train.parquet").num_rows == N + 1


def test_a_kill_between_the_renames_loses_no_export(run, tmp_path):
    # Then the old folder lies beside its place; the next attempt puts it back, and replaces it.
    out = tmp_path / "out"
    assert durian("export", run, "--to", "verl", "--out", out, "-q")[0] == 0
    out.rename(tmp_path / ".out.replaced")
    assert durian("export", run, "--to", "verl", "--out", out, "--select", "99", "-q")[0] == 2
    assert pq.read_metadata(out / "train.parquet").num_rows == N + 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_page_and_the_card_hold_foreign_texts_as_texts(run, tmp_path):
    # The name of a dataset, and the values of its columns, are other people's.
    hostile = "<script>alert(1)</script>"
    manifest = json.loads((run / "manifest.json").read_text())
    copy = tmp_path / "run"
    copy.mkdir()
    for file in run.glob("*.parquet"):
        (copy / file.name).write_bytes(file.read_bytes())
    manifest["dataset"]["name"] = f"{hostile}](http://x) | \n# x"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "out"
    assert durian("export", copy, "--to", "verl", "--out", out, "-q")[0] == 0
    page, card = (out / "report" / "index.html").read_text(), (out / "README.md").read_text()
    assert hostile not in page and "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in card and "\n# x" not in card and "](http://x)" not in card


def test_the_card_tells_columns_policy_draws_counts_and_shows_the_curves(run, tmp_path):
    out = tmp_path / "out"
    assert durian("export", run, "--to", "swift", "--out", out, "-q")[0] == 0
    card = (out / "README.md").read_text()
    for told in (
        "| durian_perceptual | double | bits |", "pixel\\_entropy",
        "| durian_confidence | double |",
        '"rollouts": 4', '"temperature": 1.0', "boxed of Durian", "| rows, samples | 13, 12 |",
        "perceptual groups", "| train.parquet | 12 | 13 |", "(report/curves.png)",
    ):  # fmt: skip
        assert told in card, told
    assert (out / "report" / "curves.png").read_bytes() == b"drawn"
    assert re.search(r"path: train\.parquet", card)


def test_rows_that_are_elsewhere_or_of_no_table_are_counted(run, tmp_path):
    # An image is another one now: so is the id, and the sample that was profiled is absent.
    rows = pq.read_table(run.parent / "first.parquet").to_pylist()
    rows[1]["images"][0]["bytes"] = rows[5]["images"][0]["bytes"]
    changed = tmp_path / "changed.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, pq.read_schema(run.parent / "first.parquet")), changed
    )
    out = tmp_path / "out"
    code, said, _ = durian("export", run, "--to", "verl", "--out", out, "--dataset", changed)
    assert code == 0
    assert "1 chosen sample has no row in the dataset." in said
    assert "1 row of the dataset is in no table." in said


def test_a_row_whose_image_cannot_be_decoded_is_left_out_with_its_reason(tmp_path, png, no_figures):
    # A trainer would end with it after hours. The table knows the sample, and that it failed.
    dataset, made = tmp_path / "data.parquet", tmp_path / "run"
    rows = [
        {
            "problem": f"<image>q{i}", "answer": "1", "images": [{"bytes": data, "path": None}],
            "sample_id": f"theirs {i}",
        }
        for i, data in enumerate([png, png[:45], png])
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), dataset)
    assert durian("profile", dataset, "--measures", "pixel", "--out", made, "-q")[0] == 0
    code, said, _ = durian("export", made, "--to", "parquet", "--out", tmp_path / "out")
    assert code == 0
    assert "1 row of chosen samples could not be written.\n  1 x cannot decode" in said
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "1 row of chosen samples could not be written." in page
    [[reason, count]] = table_of(page, 1)
    assert str(reason).startswith("cannot decode") and count == 1
    # Of those that are drawn it is none: as many are written as were asked for.
    two = ("export", made, "--to", "parquet", "--out", tmp_path / "out", "--select", "2")
    code, said, _ = durian(*two)
    assert code == 0 and "Of 3 samples of 1 run, 2 may be taken.\ntrain.parquet has 2 " in said
    code, _, err = durian(*two[:-1], "3")
    assert code == 2 and "select is 3, and 2 samples are left to draw from" in err
    written = pq.read_table(tmp_path / "out" / "train.parquet")
    assert written["problem"].to_pylist() == ["<image>q0", "<image>q2"]
    # Ids of the dataset's own are no reason to lose them, nor ours.
    assert written["own_sample_id"].to_pylist() == ["theirs 0", "theirs 2"]
    assert len({*written["sample_id"].to_pylist()} - {"theirs 0", "theirs 2"}) == 2
