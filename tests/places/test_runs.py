"""A finished run in a bucket is read there; an export is put there; a run is not made there."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import durian
from durian.config import DatasetConfig, ExportConfig, ProfileConfig
from durian.errors import ConfigError, RunFolderError
from durian.export import export_run
from durian.profile import profile_dataset
from durian.readers.dataset import open_dataset
from durian_cli.app import app
from tests.places.servers import Answer


@pytest.fixture(scope="module")
def run(photo_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by pixels over a few photographs, with the dataset beside it."""
    folder = tmp_path_factory.mktemp("run")
    pl.read_parquet(photo_shapes).head(20).write_parquet(folder / "set.parquet")
    profile_dataset(
        ProfileConfig(
            dataset=str(folder / "set.parquet"), measures=("pixel",), out=str(folder / "pixels")
        )
    )
    return folder / "pixels"


def durian_says(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, list(words))
    return found.exit_code, str(found.exception or found.output)


def test_a_run_in_a_bucket_is_opened_and_reported_on(bucket, run, tmp_path):
    there = bucket.put(run)
    opened = durian.open_run(there)
    assert opened.difficulty.equals(durian.open_run(run).difficulty)
    copy = opened.path
    del opened
    assert not copy.exists()
    code, said = durian_says("report", there)
    assert code and "lies on a server, where a run is only read; pass --out FOLDER" in said
    code, said = durian_says("report", there, "--out", str(tmp_path / "page"))
    assert code == 0 and str(tmp_path / "page" / "index.html") in said
    made, kept = (tmp_path / "page" / "summary.json"), run / "report" / "summary.json"
    assert json.loads(made.read_bytes()) == json.loads(kept.read_bytes())
    assert not any(method not in ("GET", "HEAD") for method, _, _ in bucket.between.requests)


def test_two_runs_in_a_bucket_are_compared(bucket, run, tmp_path):
    a, b = bucket.put(run, "a"), bucket.put(run, "b")
    with pytest.raises(ConfigError, match="only read; pass --out FOLDER for the comparison"):
        durian.compare_runs(a, b)
    found = durian.compare_runs(a, b, tmp_path / "page")
    assert (found.samples.both, found.a.run, found.b.run) == (20, a, b)
    with pytest.raises(ConfigError, match="given twice"):
        durian.compare_runs(a, a, tmp_path / "page")


def test_what_is_no_run_there_is_told_by_its_address(bucket, run, tmp_path):
    there = bucket.put(run)
    bucket.ask("PUT", "/pixels/difficulty.parquet", b"damaged")
    with pytest.raises(RunFolderError, match=f"^{there}/difficulty.parquet: "):
        durian.open_run(there)
    with pytest.raises(RunFolderError, match=r"none: is not a run folder \(no manifest.json\)"):
        durian.open_run(f"s3://{bucket.name}/none")


def test_a_run_is_neither_made_nor_changed_in_a_bucket(bucket, run, tmp_path):
    there = f"s3://{bucket.name}/run"
    for words in (["profile", str(run.parent / "set.parquet"), "--measures", "pixel", "--out"],
                  ["group", "--bins", "2"]):  # fmt: skip
        code, said = durian_says(*words, there)
        assert code and ("needs locks and renames" in said or "is only read" in said)
    assert not bucket.between.requests


def test_an_export_is_put_into_a_bucket_and_replaces_an_earlier_one(bucket, run, tmp_path):
    there = f"s3://{bucket.name}/out/set"

    def export(to: str, out: str) -> None:
        export_run(ExportConfig(runs=(str(run),), to=to, out=out))

    export("jsonl", there)
    export("parquet", there)
    export("parquet", str(tmp_path / "here"))
    rows = open_dataset(DatasetConfig(dataset=f"{there}/train.parquet")).samples()
    here = open_dataset(DatasetConfig(dataset=str(tmp_path / "here" / "train.parquet"))).samples()
    assert [sample.sample_id for sample in rows] == [sample.sample_id for sample in here]
    listing = bucket.ask("GET").decode()
    assert "train.jsonl" not in listing and "unfinished" not in listing
    bucket.put(run, "other")
    with pytest.raises(RunFolderError, match="other: holds other files and no export"):
        export("jsonl", f"s3://{bucket.name}/other")


def test_an_upload_that_is_cut_off_is_no_export_and_begins_again(bucket, run):
    there = f"s3://{bucket.name}/set"
    config = ExportConfig(runs=(str(run),), to="jsonl", out=there)
    bucket.between.fails(
        lambda method, path, answer: (
            Answer(503, {}, b"") if method == "PUT" and path.endswith("train.jsonl") else None
        )
    )
    with pytest.raises(durian.errors.RunError, match="train.jsonl: cannot be written after 6"):
        export_run(config)
    assert b"export.json" not in bucket.ask("GET")
    bucket.between.fault = None
    export_run(config)
    assert b"export.json" in bucket.ask("GET") and b"unfinished" not in bucket.ask("GET")
