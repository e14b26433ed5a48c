"""Every form of a dataset is read from a server as it is read here, images by path among them."""

import gzip
import json
import os
import tarfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from durian.config import DatasetConfig
from durian.errors import ConfigError, DatasetError
from durian.places import place_of
from durian.readers.dataset import open_dataset
from durian.samples import Sample

ROWS = [{"problem": f"what is {n}?", "answer": str(n)} for n in range(5)]


@pytest.fixture
def forms(tmp_path, png) -> Path:
    """A folder with a dataset of each form."""
    folder = tmp_path / "forms"
    folder.mkdir()
    frame = pl.DataFrame(ROWS)
    lines = "\n".join(map(json.dumps, ROWS))
    frame.write_parquet(folder / "a.parquet")
    (folder / "a.jsonl").write_text(lines)
    (folder / "b.json").write_text(json.dumps({"train": ROWS}))
    frame.write_csv(folder / "a.csv")
    frame.write_csv(folder / "a.tsv", separator="\t")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "d.jsonl.zst").write_bytes(pa.compress(lines.encode(), "zstd", asbytes=True))
    for name, new in (("a.arrow", pa.ipc.new_file), ("b.arrow", pa.ipc.new_stream)):
        with new(str(folder / name), frame.to_arrow().schema) as writer:
            writer.write_table(frame.to_arrow())
    saved = folder / "saved" / "train"
    saved.mkdir(parents=True)
    (saved / "data-0.arrow").write_bytes((folder / "b.arrow").read_bytes())
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    (saved.parent / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    pictures = folder / "pictures"
    (pictures / "deep").mkdir(parents=True)
    (pictures / "deep" / "x y.png").write_bytes(png)
    named = [row | {"file_name": "deep/x y.png"} for row in ROWS]
    (pictures / "metadata.jsonl").write_text("\n".join(map(json.dumps, named)))
    with tarfile.open(folder / "a.tar", "w") as tar:
        for number, row in enumerate(ROWS):
            for ending, data in (("json", json.dumps(row).encode()), ("png", png)):
                (tmp_path / "member").write_bytes(data)
                tar.add(tmp_path / "member", f"{number}.{ending}")
    return folder


NAMES = ["a.parquet", "a.jsonl", "b.json", "a.csv", "a.tsv", "c.jsonl.gz", "d.jsonl.zst", "a.arrow",
         "b.arrow", "saved", "pictures", "a.tar", "[ac].jsonl*", "**/metadata.jsonl"]  # fmt: skip


def read(dataset: str | Path, **options: object) -> list[Sample]:
    config = DatasetConfig(dataset=str(dataset), **options)  # type: ignore[arg-type]
    return list(open_dataset(config).samples())


def test_each_form_in_a_bucket_is_read_as_here(bucket, forms):
    there = bucket.put(forms)
    for name in NAMES:
        assert read(f"{there}/{name}") == read(forms / name), name


def test_each_form_on_a_web_server_is_read_as_here(web, forms):
    server = web(forms.parent)
    for name in NAMES:
        assert read(f"http://{server.at}/forms/{name}") == read(forms / name), name


def test_any_kind_of_server_that_fsspec_knows_will_do(forms):
    import fsspec

    fsspec.filesystem("memory").put(str(forms), "/set", recursive=True)
    for name in ("a.parquet", "pictures", "*.tsv"):
        assert read(f"memory://set/{name}") == read(forms / name), name


def test_files_of_a_folder_come_in_the_order_of_their_names(bucket, tmp_path):
    for name in ("b/2.jsonl", "a.jsonl", "b/10.jsonl"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(json.dumps({"problem": name, "answer": "1"}))
    there = bucket.put(tmp_path / "set")
    found = [(sample.problem, sample.source_file) for sample in read(there)]
    assert found == [(s.problem, s.source_file) for s in read(tmp_path / "set")]
    assert [problem for problem, _ in found] == ["a.jsonl", "b/10.jsonl", "b/2.jsonl"]


def test_rows_here_may_name_images_in_a_bucket_that_the_user_names(bucket, tmp_path, png):
    (tmp_path / "1.png").write_bytes(png)
    there = bucket.put(tmp_path / "1.png", "images/deep/1.png").rpartition("/deep")[0]
    elsewhere = bucket.put(tmp_path / "1.png", "private/1.png")
    cells = [f"{there}/deep/1.png", "deep/1.png", elsewhere, f"{there}/../private/1.png",
             f"{there}/2.png", "http://169.254.169.254/latest", "../private/1.png"]  # fmt: skip
    rows = [{"problem": "what?", "answer": "1", "images": [cell]} for cell in cells]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    samples = read(file, image_root=there)
    assert [len(sample.images[0]) > 0 for sample in samples] == [True, True] + 5 * [False]
    out = "name its folder with --image-root"
    assert [str(sample.error).partition(": ")[0] for sample in samples[2:]] == [
        "image is a URL outside the dataset folder", "image path leaves the dataset folder",
        "image not found", "image is a URL outside the dataset folder",
        "image path leaves the dataset folder",
    ]  # fmt: skip
    assert str(samples[2].error).endswith(out)
    asked = {path for _, path, _ in bucket.between.requests}
    assert not any("private" in path for path in asked)
    assert read(file)[0].error == "image is a URL; name its folder with --image-root"


def test_an_encoded_way_out_of_the_folder_is_no_way(web, tmp_path, png):
    (tmp_path / "set").mkdir()
    (tmp_path / "secret.png").write_bytes(png)
    row = {"problem": "what?", "answer": "1", "images": ["%2e%2e/secret.png"]}
    (tmp_path / "set" / "a.jsonl").write_text(json.dumps(row))
    server = web(tmp_path)
    (sample,) = read(f"http://{server.at}/set/a.jsonl")
    assert str(sample.error).startswith("image path leaves the dataset folder")
    assert not any("secret" in path for _, path, _ in server.requests)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("s3://b/a.parquet", "s3fs", "s3"), ("gs://b/a.parquet", "gcsfs", "gcs"),
     ("az://b/a.parquet", "adlfs", "az"), ("https://h/a.parquet", "aiohttp", "http"),
     ("hf://datasets/o/n", "huggingface_hub", "hub")],
)  # fmt: skip
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, name, package, extra):
    from durian import errors

    present = errors._is_installed
    monkeypatch.setattr(errors, "_is_installed", lambda one: one != package and present(one))
    with pytest.raises(ConfigError, match=rf"needs {package}.*pip install \"\.\[{extra}\]\""):
        open_dataset(DatasetConfig(dataset=name))


@pytest.mark.parametrize(
    ("name", "said"),
    [("s4://b/a.parquet", "s4:// is no known kind of server"),
     ("zip://a.parquet::s3://b/a.zip", "one address within another"),
     ("s3:///a.parquet", "names no bucket")],
)  # fmt: skip
def test_an_address_that_means_nothing_is_one_line(name, said):
    with pytest.raises(DatasetError, match=said):
        open_dataset(DatasetConfig(dataset=name))


def test_what_is_not_there_is_one_line(bucket, web, tmp_path):
    for root in (f"s3://{bucket.name}", f"http://{web(tmp_path).at}", "s3://no-such-bucket"):
        with pytest.raises(DatasetError, match="no such file or folder; check the address"):
            open_dataset(DatasetConfig(dataset=f"{root}/none.parquet"))
        with pytest.raises(DatasetError, match="no file matches; check the pattern"):
            open_dataset(DatasetConfig(dataset=f"{root}/none*.parquet"))


def test_the_hub_is_read_by_its_own_file_system(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_plantedplanted")
    place = place_of("hf://datasets/org/name/data/a.parquet")
    assert str(place) == "hf://datasets/org/name/data/a.parquet"
    assert type(place.store.fs).__name__ == "HfFileSystem"
    assert os.environ["HF_TOKEN"] not in repr(place)
