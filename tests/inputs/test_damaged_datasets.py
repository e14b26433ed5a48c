"""Datasets of every kind, damaged: refused in one line, or a row with its reason; never a crash."""

import io
import json
import tarfile

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest

PROFILE = ["--measures", "pixel", "--out", "run", "--json", "--quiet"]
DEEP = b"[" * 100_000 + b"]" * 100_000
DIGITS = b"1" * 5_000


def frame():
    return pl.DataFrame({"problem": ["What?", "Who?"], "answer": ["1", "2"]})


def tar(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def content_of(kind):
    file, table = io.BytesIO(), frame().to_arrow()
    match kind:
        case "parquet":
            frame().write_parquet(file)
        case "arrow":
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        case "csv":
            frame().write_csv(file)
        case "json":
            return json.dumps(frame().to_dicts()).encode()
        case "jsonl":
            frame().write_ndjson(file)
        case "tar":
            return tar(*((f"{n}.json", json.dumps(row).encode())
                         for n, row in enumerate(frame().to_dicts())))  # fmt: skip
    return file.getvalue()


KINDS = ["parquet", "arrow", "csv", "json", "jsonl", "tar"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_short_is_refused_or_read_as_far_as_it_goes(
    tmp_path, monkeypatch, durian, kind, at
):
    monkeypatch.chdir(tmp_path)
    content = content_of(kind)
    (tmp_path / f"cut.{kind}").write_bytes(content[: int(len(content) * at)])
    code, out, err = durian("profile", f"cut.{kind}", *PROFILE)
    if code == 0:  # its lines are whole, or the last one is a row with its reason
        assert kind in ("csv", "jsonl", "tar") and 1 <= json.loads(out)["counts"]["rows"] <= 2
        return
    assert (code, out) == (2, "")
    assert err.startswith("durian: ") and err.count("\n") == 1
    assert f"cut.{kind}" in err or "the dataset has no rows" in err
    assert not (tmp_path / "run").exists()


REFUSED = [
    # file, its content, what is said of it
    ("a.parquet", b"\0" * 999, "a.parquet: cannot be read as Parquet"),
    ("a.arrow", b"ARROW1\0\0" + b"\xff" * 99, "a.arrow: cannot be read as Arrow"),
    ("a.arrow", b"\xff" * 99, "a.arrow: cannot be read as Arrow"),
    ("a.json", b"[" + DEEP, "a.json: cannot be read as JSON"),
    ("a.json", b"[" + DIGITS + b"]", "a.json: cannot be read as JSON"),
    ("a.json", b"[1, 2]", "a.json: neither one JSON object a line nor an array of them"),
    ("a.json", b"[]", "the dataset has no rows"),
    ("a.json", b'{"problem": "\xff"', "a.json: neither one JSON object a line nor an array"),
    ("a.jsonl", b"", "the dataset has no rows"),
    ("a.jsonl", b"\0\n\0\n", "a.jsonl: neither one JSON object a line nor an array of them"),
    ("a.jsonl", b'{"question": 1}\n', "a.jsonl: no column 'problem'"),
    ("a.csv", b"problem,answer\n", "the dataset has no rows"),
    ("a.csv", b"\xff\xfe,answer\n1,2\n", "a.csv: cannot be read as CSV"),
    ("a.csv", b"problem,problem\n1,2\n", "a.csv: column 'problem' stands there twice"),
    ("a.tar", b"\xff" * 2048, "a.tar: cannot be read as tar"),
    ("a.tar", tar(), "the dataset has no rows"),
    ("d/dataset_dict.json", b"[]", "dataset_dict.json: damaged"),
    ("d/dataset_dict.json", b'{"splits": 3}', "dataset_dict.json: damaged"),
    ("d/dataset_dict.json", b'{"splits": [' + DEEP + b"]}", "dataset_dict.json: damaged"),
    ("d/state.json", b'{"_data_files": ["x"]}', "state.json: damaged"),
    ("d/state.json", b'{"_data_files": [{"filename": 1}]}', "state.json: damaged"),
    ("d/state.json", b'{"_data_files": [{"filename": "gone.arrow"}]}', "gone.arrow"),
    ("d/state.json", b'{"_data_files": []}', "state.json: damaged"),
    ("d/notes.md", b"", "d: no .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files"),
    ("a.parquet/x.txt", b"", "a.parquet: no .parquet"),
    ("a.exe", b"", "a.exe: not a kind of file that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "content", "said"), REFUSED)
def test_a_dataset_that_cannot_be_read_is_refused(
    tmp_path, monkeypatch, durian, file, content, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(content)
    dataset = file.split("/")[0]
    for args in (
        ["profile", dataset, *PROFILE],
        ["profile", dataset, *PROFILE, "--dry-run"],
        ["eval", dataset, "--engine", "scripted", "--model", dataset, "--quiet"],
    ):
        if args[0] == "eval" and not (tmp_path / dataset).is_file():
            continue  # no script is a folder
        code, out, err = durian(*args)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("durian: ") and said in err
    assert {path.name for path in tmp_path.iterdir()} == {dataset}


GOOD = b'{"problem": "What?", "answer": "1"}\n'
ROWS = [
    # a line beside a good one, and the reason its row is given; a question spoils no image
    (b'{"problem": null, "answer": "1"}', None),
    (b'{"problem": "", "answer": NaN}', None),
    (b'{"problem": ["a"], "answer": "1"}', None),
    (b'{"problem": "\\ud800", "answer": "1"}', None),
    (b'{"problem": "x", "answer": ' + DIGITS + b"}", "line 2 is not JSON"),
    (b'{"problem": "x", "answer": 1e999}', None),
    (b'{"problem": "x", "answer": "1", "images": ' + DEEP + b"}", "line 2 is not JSON"),
    (b'{"problem": "x", "answer": "1", "images": [1, null]}', "image is of type int"),
    (b'{"problem": "x", "answer": "1", "images": {"a": "b"}}', "image is a dict of a; it needs"),
    (b'{"problem": "x", "answer": "1", "images": ["\\u0000.png"]}', "image not found"),
    (b'{"problem": "x", "answer": "1", "images": ["' + b"a" * 5_000 + b'"]}', "image cannot be"),
    (b'{"problem": "x", "answer": "1", "images": ["/"]}', "image path leaves the dataset folder"),
    (b'{"problem": "x", "answer": "1", "a": {"b": [1]}, "": 1, "\\u0000": "x"}', None),
    (b'{"problem": "' + b"x" * 1_000_000 + b'", "answer": "1"}', None),
    ("{\"problem\": \"🤷‍♀️ ﷺ \u202e مرحبا\", \"answer\": \"½\"}".encode(), None),
    (b'{"problem": "x", "answer": "1", "sample_id": "y", "image_id": 3}', None),
    (b"[]", "line 2 is not a JSON object"),
    (b"\xff", "line 2 is not UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), ROWS, ids=[str(n) for n in range(len(ROWS))])
def test_a_bad_row_is_a_row_with_its_reason(tmp_path, monkeypatch, durian, line, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("durian.report.render_run", lambda *_, **__: None)  # slow, and not asked
    monkeypatch.setattr("durian.profile.check_summary", lambda run: {})
    (tmp_path / "rows.jsonl").write_bytes(GOOD + line + b"\n")
    code, out, err = durian("profile", "rows.jsonl", *PROFILE)
    assert (code, err) == (0, "")
    counts = json.loads(out)["counts"]
    assert counts["rows"] == 2
    reasons = counts["failed_by_reason"]
    reasons.pop("no image", None)  # of rows that are well, and have none
    if reason is None:
        assert reasons == {}
    else:
        [(found, count)] = reasons.items()
        assert reason in found and count == 1


def test_odd_members_of_a_tar_are_bad_rows_or_none(tmp_path, monkeypatch, durian, png):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.tar").write_bytes(
        tar(
            ("../../up.json", GOOD),  # nothing is unpacked
            ("a.json", GOOD),
            ("a.\N{SUPERSCRIPT TWO}.png", png),  # a digit that is no number
            (f"a.{'7' * 5_000}.png", png),
            ("b.json", b"[1]"),
            ("c.json", DEEP),
            ("d.problem.txt", b"\xff"),
        )
    )
    code, out, err = durian("profile", "odd.tar", *PROFILE)
    assert (code, err) == (0, "")
    assert json.loads(out)["counts"]["failed_by_reason"] == {
        "no image": 2,
        "c.json is not JSON; no image": 1, "d.problem.txt is not UTF-8; no image": 1,
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"odd.tar", "run"}


def test_one_id_for_two_samples_is_refused(tmp_path, monkeypatch, durian):
    monkeypatch.chdir(tmp_path)
    frame().with_columns(id=pl.lit("x")).write_parquet("twice.parquet")
    code, _, err = durian("profile", "twice.parquet", "--id-column", "id", *PROFILE)
    assert code == 2 and "id 'x' stands for different samples in rows 0 and 1" in err


def test_names_that_no_file_system_has_are_refused(tmp_path, monkeypatch, durian):
    monkeypatch.chdir(tmp_path)
    for args in (
        ["profile", "x" * 5_000, *PROFILE],
        ["profile", "x" * 5_000 + ".parquet", *PROFILE],
        ["report", "x" * 5_000],
        ["group", "x" * 5_000],
        ["compare", "x" * 5_000, "y"],
        ["schema", "--config", "x" * 5_000],
    ):
        code, out, err = durian(*args)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("durian: ")
    assert not list(tmp_path.iterdir())
