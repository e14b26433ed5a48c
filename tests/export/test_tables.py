"""The runs' tables beside the exported rows: run folders again, pushed with them."""

import json

import yaml
from datasets import load_dataset

import durian
from durian.config import ExportConfig
from durian.export import export_run
from tests.cli.in_process import durian as command
from tests.export.conftest import G, N, ids


def test_tables_are_run_folders_beside_the_rows(export):
    found, out = export("verl", tables=True)
    assert found.tables == ["tables/first"]
    copied = durian.open_run(out / "tables" / "first")
    assert copied.difficulty["sample_id"].to_list() == ids()[:N]
    names = {path.name for path in (out / "tables" / "first").iterdir()}
    assert {"manifest.json", "difficulty.parquet", "rollouts.parquet", "report"} <= names
    assert "log.txt" not in names and "parts" not in names
    assert not (export("verl")[1] / "tables").exists()  # only where asked for


def test_two_runs_of_one_name_have_a_folder_each(run, other_run, tmp_path):
    other = tmp_path / "elsewhere" / run.name
    other.parent.mkdir()
    other.symlink_to(other_run)
    named = (str(run), str(other))
    result = export_run(ExportConfig(runs=named, to="jsonl", out=str(tmp_path / "o"), tables=True))
    assert result.tables == ["tables/first", "tables/second"]
    same = (str(run), str(run.parent / "first"))
    result = export_run(ExportConfig(runs=same, to="jsonl", out=str(tmp_path / "p"), tables=True))
    assert result.tables == ["tables/first", "tables/first-2"]


def test_the_hub_shows_them_as_further_parts_of_the_dataset(export, tmp_path):
    _, out = export("parquet", tables=True)
    header = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert [part["config_name"] for part in header["configs"]] == [
        "default", "difficulty", "rollouts",
    ]  # fmt: skip
    cache = str(tmp_path / "cache")
    table = load_dataset(str(out), "difficulty", cache_dir=cache)["train"]
    assert table["sample_id"][:] == ids()[:N] and len(table) == N
    assert len(load_dataset(str(out), "rollouts", cache_dir=cache)["train"]) == N * G
    assert len(load_dataset(str(out), cache_dir=cache)["train"]) == N + 1  # one row is a copy


def test_the_terminal_says_where_they_lie(run, tmp_path):
    out = tmp_path / "out"
    code, said, _ = command("export", run, "--to", "parquet", "--out", out, "--tables")
    assert code == 0 and f"tables:  {out}/tables/first" in said
    assert json.loads((out / "export.json").read_text())["tables"] == ["tables/first"]
