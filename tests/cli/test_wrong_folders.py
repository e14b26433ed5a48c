"""Each command pointed at the wrong folder: one line that says what to do, and nothing written."""

import shutil
import warnings
from pathlib import Path

import polars as pl
import pytest

from tests.cli.in_process import durian

with warnings.catch_warnings():  # what TRL and vLLM warn of while they are imported is theirs
    warnings.simplefilter("ignore")
    from trl import GRPOTrainer  # noqa: F401

NO_RUN = "is not a run folder (no manifest.json); give the --out of a profile"
NO_MODEL = "no config.json in it; is it a model folder?"
POLICY = ["--model", "policy"]

WRONG = [
    (["profile", "empty"], "empty: no .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files in "
     "this folder; pass one that holds some"),
    (["profile", "pictures"], "pictures: images, and no metadata.jsonl that says what is asked of "
     "them; write one there, with a line like "
     '{"file_name": "a/1.png", "problem": "", "answer": ""} for each image'),
    (["profile", "run"], "run: a run folder, which a profile wrote; pass the dataset itself"),
    (["profile", "policy"],
     "policy: a model folder, which is for --model; pass the dataset itself"),
    (["profile", "pictures/a/1.png"], "pictures/a/1.png: not a kind of file that can be read; pass "
     ".parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files"),
    (["profile", ""], "dataset is empty; name a file, a folder or a hub id"),
    (["profile", "rows.parquet", "--out", ""], "out is empty; name a folder to write"),
    (["profile", "rows.parquet", "--out", "pictures"],
     "pictures: holds other files and no run; choose another --out"),
    (["profile", "rows.parquet", "--model", "empty"], f"model 'empty': {NO_MODEL}"),
    (["profile", "rows.parquet", "--model", "run", "--engine", "scripted"],
     "model 'run': Is a directory; pass a rollouts table, like RUN/rollouts.parquet"),
    (["profile", "rows.parquet", *POLICY, "--prompt-template", "empty"],
     "prompt-template: empty: Is a directory; pass a Jinja2 file"),
    (["profile", "rows.parquet", "--config", "empty"],
     "config: empty: Is a directory; pass a YAML file"),
    (["profile", "split", "--split", "trian"],
     "split: no split 'trian' (found: test, train); pass --split train"),
    (["profile", "rows.parquet", "--split", "trian"],
     "rows.parquet: no split 'trian' (found: rows.parquet, of no split or another); leave --split "
     "out, or pass the files of that split"),
    (["report", "empty"], f"empty: {NO_RUN}"),
    (["report", "run/report"], f"run/report: {NO_RUN}"),
    (["group", "policy", "--bins", "3"], f"policy: {NO_RUN}"),
    (["export", "empty", "--to", "verl"], f"empty: {NO_RUN}"),
    (["export", "run", "--to", "verl", "--out", "pictures"],
     "pictures: holds other files and no export; choose another --out"),
    (["export", "run", "--to", "verl", "--dataset", "empty"],
     "empty: no .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar files in this folder; pass one "
     "that holds some"),
    (["compare", "run", "empty"], f"empty: {NO_RUN}"),
    (["compare", "nowhere", "run"], f"nowhere: {NO_RUN}"),
    (["eval", "empty", *POLICY], "empty: no .parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar "
     "files in this folder; pass one that holds some"),
    (["eval", "rows.parquet", "--model", "run"], f"model 'run': {NO_MODEL}"),
    (["eval", "rows.parquet", *POLICY, "--table", "empty"], f"empty: {NO_RUN}"),
    (["train", "rows.parquet", "--table", "empty", *POLICY], f"empty: {NO_RUN}"),
    (["train", "rows.parquet", "--table", "run", "--model", "empty"], f"model 'empty': {NO_MODEL}"),
    (["train", "policy", "--table", "run", *POLICY],
     "policy: a model folder, which is for --model; pass the dataset itself"),
    (["train", "rows.parquet", "--table", "run", *POLICY, "--out", "run"],
     "run: holds other files and no training; choose another --out"),
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tiny_policy: Path, photo_shapes: Path, tmp_path_factory) -> Path:
    """A dataset, its run, a policy, pictures alone, and a folder of nothing."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "empty").mkdir()
    (folder / "pictures" / "a").mkdir(parents=True)
    rows = pl.read_parquet(photo_shapes).head(4)
    (folder / "pictures" / "a" / "1.png").write_bytes(rows["images"][0][0]["bytes"])
    rows.write_parquet(folder / "rows.parquet")
    (folder / "split").mkdir()
    for name in ("train", "test"):
        rows.write_parquet(folder / "split" / f"{name}.parquet")
    shutil.copytree(tiny_policy, folder / "policy")
    made = durian("profile", str(folder / "rows.parquet"), "--measures", "pixel", "--out",
                  str(folder / "run"), "--quiet")  # fmt: skip
    assert made == (0, "", "")
    return folder


@pytest.mark.parametrize(("args", "line"), WRONG, ids=[" ".join(args) for args, _ in WRONG])
def test_a_wrong_folder_is_one_line_and_nothing_is_written(world, monkeypatch, args, line):
    monkeypatch.chdir(world)
    before = {p: p.stat().st_mtime_ns for p in world.rglob("*")}
    if args[0] == "profile" and not {"--model", "--config"} & set(args):
        args = [*args, "--measures", "pixel"]
    if args[0] in ("profile", "train", "export") and "--out" not in args:
        args = [*args, "--out", "out"]
    assert durian(*args) == (2, "", f"durian: {line}\n")
    assert {p: p.stat().st_mtime_ns for p in world.rglob("*")} == before


def test_pictures_alone_are_measured_once_the_line_is_followed(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "pictures", "pictures")
    Path("pictures/metadata.jsonl").write_text(
        '{"file_name": "a/1.png", "problem": "", "answer": ""}\n'
    )
    code, _, said = durian("profile", "pictures", "--measures", "pixel", "--out", "out", "-q")
    assert (code, said) == (0, "")
    table = pl.read_parquet("out/difficulty.parquet")
    assert table["error"].to_list() == [None] and table["pixel_entropy"][0] > 0
