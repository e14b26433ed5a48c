"""One seed, config and versions, one table, whatever the workers, the parts, the files' layout."""

import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from durian.config import ProfileConfig
from durian.manifest import not_repeatable
from tests.faults.faulty import SAMPLES, TABLES, ForkServer


def profiled(server: ForkServer, profile: list[str], out: Path, **changed: object) -> Path:
    """The run of a profile with other values for some options, or another dataset."""
    argv = list(profile)
    argv[1] = str(changed.pop("dataset", argv[1]))
    for name, value in changed.items():
        argv[argv.index(f"--{name.replace('_', '-')}") + 1] = str(value)
    ended = server.durian(*argv, "--out", out)
    assert ended.code == 0, ended.said
    return out


@pytest.mark.parametrize("workers", [1, 7])
def test_the_number_of_workers_changes_no_byte(server, profile, whole, tmp_path, workers):
    run = profiled(server, profile, tmp_path / "run", workers=workers)
    for name in TABLES:
        file = f"{name}.parquet"
        assert (run / file).read_bytes() == (whole / file).read_bytes()
    summary = "report/summary.json"
    assert (run / summary).read_bytes() == (whole / summary).read_bytes()


@pytest.mark.parametrize("part_size", [1, 1000])
def test_the_size_of_parts_changes_no_value(server, profile, whole, tmp_path, part_size):
    # Parts are the row groups of the tables: the files differ, what they hold does not.
    run = profiled(server, profile, tmp_path / "run", part_size=part_size)
    parts = -(-SAMPLES // part_size)
    assert pq.ParquetFile(run / "difficulty.parquet").num_row_groups == parts
    for name in TABLES:
        file = f"{name}.parquet"
        assert pq.read_table(run / file).equals(pq.read_table(whole / file), check_metadata=True)


@pytest.mark.parametrize("form", ["row groups of 1", "row groups of 4", "one", "jsonl", "shards"])
def test_how_the_dataset_is_laid_out_changes_no_byte(server, profile, whole, tmp_path, form):
    rows = pl.read_parquet(profile[1])
    folder = tmp_path / "noise"
    folder.mkdir()
    if form == "jsonl":
        # The same images as files beside it: an id goes by their bytes.
        records = rows.to_dicts()
        for number, record in enumerate(records):
            (folder / f"{number}.png").write_bytes(record["images"][0])
            record["images"] = [f"{number}.png"]
        (folder / "noise.jsonl").write_text("\n".join(map(json.dumps, records)))
    elif form == "shards":
        rows.head(2).write_parquet(folder / "a.parquet")
        rows.tail(-2).write_parquet(folder / "b.parquet")
    else:
        size = {"one": SAMPLES}.get(form) or int(form[-1])
        pq.write_table(rows.to_arrow(), folder / "noise.parquet", row_group_size=size)
    run = profiled(server, profile, tmp_path / "run", dataset=folder)
    files = {"jsonl": ["noise.jsonl"] * SAMPLES, "shards": ["a.parquet"] * 2}.get(form)
    if form == "shards":
        files += ["b.parquet"] * (SAMPLES - 2)
    for name in TABLES:
        file = f"{name}.parquet"
        if name == "columns" and files is not None:
            # One column tells the files apart by their names.
            ours, theirs = pq.read_table(run / file), pq.read_table(whole / file)
            assert ours["source_file"].to_pylist() == files
            assert ours.drop_columns("source_file").equals(theirs.drop_columns("source_file"))
        else:
            assert (run / file).read_bytes() == (whole / file).read_bytes(), name


def test_the_manifest_says_what_is_not_repeatable(whole):
    said = json.loads((whole / "manifest.json").read_text())["determinism"]
    assert [line.partition(":")[0] for line in said] == ["created, seconds", "correct"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"measures": ("pixel",)}, ["created, seconds"]),
        ({"measures": ("spectral",), "model": "m"}, ["created, seconds", "spectral_entropy"]),
        ({"model": "m", "engine": "openai", "base_url": "http://h/v1", "reward": "my.py:f"},
         ["created, seconds", "completions, and all that is taken from them",
          "reward, correct, formatted"]),
        ({"model": "m"},
         ["created, seconds", "completions, and all that is taken from them", "correct"]),
    ],
    ids=["pixel", "spectral", "openai", "vllm"],
)  # fmt: skip
def test_each_road_names_what_may_differ(changed, named):
    said = not_repeatable(ProfileConfig(dataset="d", out="o", **changed))
    assert [line.partition(":")[0] for line in said] == named
