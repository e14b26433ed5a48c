"""The same five rows in every accepted form give the same samples."""

import base64
import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.config import DatasetConfig
from durian.readers.dataset import open_dataset
from durian.samples import Sample, sample_id


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(seed) for seed in range(5)]
PROBLEMS = [f'<image>What is "{i}", exactly?\nÄ 图' for i in range(5)]
ANSWERS = ["1/2", "two", "3", "", "é"]
EXPECTED = [
    Sample(
        sample_id=sample_id(PROBLEMS[i], ANSWERS[i], [IMAGES[i]]),
        row=i,
        problem=PROBLEMS[i],
        answer=ANSWERS[i],
        images=(IMAGES[i],),
        question_error=None if ANSWERS[i] else "answer is empty",
    )
    for i in range(5)
]
EMBEDDED = [
    {"problem": PROBLEMS[i], "answer": ANSWERS[i], "images": [{"bytes": IMAGES[i], "path": None}]}
    for i in range(5)
]


def rows_with_paths(folder: Path, column: str, one: bool) -> list[dict]:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(5):
        (folder / f"pictures/{i}.png").write_bytes(IMAGES[i])
        path = f"pictures/{i}.png"
        row = {"problem": PROBLEMS[i], "answer": ANSWERS[i], column: path if one else [path]}
        rows.append(row)
    return rows


def parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(EMBEDDED), folder / "a.parquet", row_group_size=2)
    return folder / "a.parquet"


def parquet_of_raw_bytes(folder: Path) -> Path:
    rows = [{**row, "images": IMAGES[i]} for i, row in enumerate(EMBEDDED)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return folder / "a.parquet"


def parquet_shards(folder: Path) -> Path:
    for part, (first, end) in enumerate([(0, 3), (3, 5)]):
        name = f"train-{part:05}-of-00002.parquet"
        (folder / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(EMBEDDED[first:end]), folder / "data" / name)
    pq.write_table(pa.Table.from_pylist(EMBEDDED[:1]), folder / "data/test-00000-of-00001.parquet")
    return folder


def jsonl(folder: Path) -> Path:
    rows = rows_with_paths(folder, "images", one=False)
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8-sig")
    return folder / "a.jsonl"


def json_lines(folder: Path) -> Path:
    rows = rows_with_paths(folder, "image", one=True)
    (folder / "a.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "a.json"


def json_array(folder: Path) -> Path:
    rows = rows_with_paths(folder, "image", one=True)
    (folder / "a.json").write_text(json.dumps(rows, indent=1), encoding="utf-8-sig")
    return folder / "a.json"


def csv_file(folder: Path) -> Path:
    rows = rows_with_paths(folder, "image", one=True)
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["problem", "answer", "image"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "a.csv"


def arrow_stream(folder: Path) -> Path:
    table = pa.Table.from_pylist(EMBEDDED)
    with pa.OSFile(str(folder / "a.arrow"), "wb") as f, pa.ipc.new_stream(f, table.schema) as out:
        out.write_table(table, max_chunksize=2)
    return folder / "a.arrow"


def arrow_file(folder: Path) -> Path:
    table = pa.Table.from_pylist(EMBEDDED)
    with pa.OSFile(str(folder / "a.arrow"), "wb") as f, pa.ipc.new_file(f, table.schema) as out:
        out.write_table(table, max_chunksize=2)
    return folder / "a.arrow"


def hf_dataset():
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {
            "problem": datasets.Value("string"),
            "answer": datasets.Value("string"),
            "images": datasets.List(datasets.Image()),
        }
    )
    return datasets, datasets.Dataset.from_list(EMBEDDED, features=features)


def save_to_disk(folder: Path) -> Path:
    hf_dataset()[1].save_to_disk(folder / "saved", num_shards=2)
    return folder / "saved"


def save_dict_to_disk(folder: Path) -> Path:
    datasets, made = hf_dataset()
    both = datasets.DatasetDict({"test": made.select([0]), "train": made})
    both.save_to_disk(folder / "saved")
    return folder / "saved"


def image_folder(folder: Path) -> Path:
    rows = rows_with_paths(folder / "train", "file_name", one=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train/metadata.jsonl").write_text(lines)
    return folder


def image_folder_of_many(folder: Path) -> Path:
    rows = rows_with_paths(folder, "file_names", one=False)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def webdataset(folder: Path) -> Path:
    for part, numbers in enumerate([range(2), range(2, 5)]):
        members = []
        for i in numbers:
            row = json.dumps({"problem": PROBLEMS[i], "answer": ANSWERS[i]}).encode()
            members += [(f"./x/{i:04}.PNG", IMAGES[i]), (f"./x/{i:04}.json", row)]
        tar(folder / f"shard-{part:06}.tar", members)
    return folder


def webdataset_of_texts(folder: Path) -> Path:
    members = []
    for i in range(5):
        members += [
            (f"{i}.answer.txt", ANSWERS[i].encode()),
            (f"{i}.0.png", IMAGES[i]),
            (f"{i}.problem.txt", PROBLEMS[i].encode()),
        ]
    return tar(folder / "a.tar", members)


FORMS = [
    parquet, parquet_of_raw_bytes, parquet_shards, jsonl, json_lines, json_array, csv_file,
    arrow_stream, arrow_file, save_to_disk, save_dict_to_disk, image_folder, image_folder_of_many,
    webdataset, webdataset_of_texts,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_same_samples(tmp_path, form):
    reader = open_dataset(DatasetConfig(dataset=str(form(tmp_path))))
    assert list(reader.samples()) == EXPECTED
    assert list(reader.samples()) == EXPECTED  # again from the beginning


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_rows_that_are_asked_for(tmp_path, form):
    dataset = str(form(tmp_path))
    reader = open_dataset(DatasetConfig(dataset=dataset))
    assert list(reader.samples(start=3)) == EXPECTED[3:]
    assert list(reader.samples(start=9)) == []
    assert list(reader.samples(rows={4, 0, 2, 17})) == [EXPECTED[i] for i in (0, 2, 4)]
    assert list(reader.samples(start=1, rows=[0, 2])) == [EXPECTED[2]]
    assert list(reader.samples(rows=[])) == []
    limited = open_dataset(DatasetConfig(dataset=dataset, limit=3))
    assert list(limited.samples()) == EXPECTED[:3]
    assert list(limited.samples(start=2)) == EXPECTED[2:3]
    assert list(limited.samples(rows=[1, 3])) == EXPECTED[1:2]


def test_a_shard_gives_the_images_of_a_key_by_number(tmp_path):
    order = ["10", "2", "0", "1"]
    row = json.dumps({"problem": "p", "answer": "1"}).encode()
    shard = tar(tmp_path / "a.tar", [("k.json", row), *((f"k.{n}.png", n.encode()) for n in order)])
    [sample] = open_dataset(DatasetConfig(dataset=str(shard))).samples()
    assert sample.images == (b"0", b"1", b"2", b"10")


def test_a_damaged_member_of_a_shard_is_an_error_of_that_row_alone(tmp_path):
    row = json.dumps({"problem": "p", "answer": "1"}).encode()
    shard = tar(tmp_path / "a.tar", [("a.json", row), ("b.json", b"{"), ("c.json", row)])
    samples = list(open_dataset(DatasetConfig(dataset=str(shard))).samples())
    assert [sample.error for sample in samples] == [None, "b.json is not JSON", None]


PNG = b"\x89PNG\r\n\x1a\n and no more of it than how it begins"


def test_rows_of_messages_options_and_several_images_come_from_a_shard_too(tmp_path):
    text, other = base64.b64encode(PNG).decode(), base64.b64encode(PNG + b"b").decode()
    asked = [{"role": "user", "content": "<image>p"}, {"role": "assistant", "content": "1"}]
    for row, members, expected in (
        ({"messages": asked}, {"png": PNG}, ("<image>p", "1", (PNG,))),
        ({"prompt": asked[:1], "reward_model": {"ground_truth": "1"}, "images": [{"bytes": text}]},
         {}, ("<image>p", "1", (PNG,))),
        ({"problem": "<image 2>, <image 1>?", "answer": 1, "choices": ["x", "y"], "image_1": text,
          "image_2": f"data:image/png;base64,{other}"},
         {}, ("<image>, <image>?\nA. x\nB. y", "B", (PNG + b"b", PNG))),
        ({"problem": "<image 2>, <image 1>?", "answer": "1"}, {"1.png": PNG, "2.png": PNG + b"b"},
         ("<image>, <image>?", "1", (PNG + b"b", PNG))),
    ):  # fmt: skip
        inner = [(f"k.{ending}", data) for ending, data in members.items()]
        shard = tar(tmp_path / "a.tar", [*inner, ("k.json", json.dumps(row).encode())])
        options = {"options_column": "choices"} if "choices" in row else {}
        [sample] = open_dataset(DatasetConfig(dataset=str(shard), **options)).samples()
        assert (sample.problem, sample.answer, sample.images) == expected


def test_a_member_that_cannot_be_decoded_is_an_image_all_the_same(tmp_path):
    row = json.dumps({"problem": "p", "answer": "1"}).encode()
    shard = tar(tmp_path / "a.tar", [("k.json", row), ("k.heic", b"h"), ("k.svg", b"<svg/>")])
    [sample] = open_dataset(DatasetConfig(dataset=str(shard))).samples()
    assert sample.images == (b"h", b"<svg/>")  # in no order of their own


def test_a_key_that_stands_twice_in_a_member_is_told(tmp_path):
    shard = tar(tmp_path / "a.tar", [("a.json", b'{"problem": "p", "answer": "1"}'),
                                     ("k.json", b'{"problem": "p", "problem": "q"}')])  # fmt: skip
    samples = list(open_dataset(DatasetConfig(dataset=str(shard))).samples())
    assert [sample.error for sample in samples] == [None, "k.json has the key 'problem' twice"]


def test_images_of_a_shard_s_rows_beside_its_members_are_said(tmp_path):
    text = base64.b64encode(PNG).decode()
    row = json.dumps({"problem": "p", "answer": "1", "image": text}).encode()
    shard = tar(tmp_path / "a.tar", [("k.json", row), ("k.png", PNG)])
    reader = open_dataset(DatasetConfig(dataset=str(shard)))
    assert reader.described["notes"] == [
        "images in image are not read; --images-column images,image reads them too"
    ]


READ_OFFLINE = """
import sys
from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.readers.dataset import open_dataset

for dataset, split in (("org/geo", "train"), ("org/geo", "nosuch"), ("org/absent", "train")):
    try:
        reader = open_dataset(DatasetConfig(dataset=dataset, split=split))
        for sample in [*reader.samples(), *reader.samples(start=3), *reader.samples(rows=[1])]:
            print(reader.name, sample.row, sample.sample_id, sample.error)
    except DatasetError as error:
        print(error)
"""


def test_a_dataset_in_the_cache_of_the_hub_is_read_without_network(tmp_path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub/datasets--org--geo"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(revision)
    snapshot = repo / "snapshots" / revision
    snapshot.mkdir(parents=True)
    parquet_shards(snapshot)
    # Its own process: the libraries read these variables once, when they are imported.
    done = subprocess.run(
        [sys.executable, "-c", READ_OFFLINE],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [0, 1, 2, 3, 4, 3, 4, 1]
    *samples, no_split, absent = done.stdout.splitlines()
    assert samples == [f"org/geo {i} {EXPECTED[i].sample_id} None" for i in rows]
    assert no_split.startswith("org/geo: cannot be loaded: Unknown split")
    assert absent == (
        "org/absent: no such file or folder, and the Hugging Face Hub cannot be reached; "
        "pass a local path"
    )
