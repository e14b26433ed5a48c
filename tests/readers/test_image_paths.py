"""Image paths in data files are data: what lies outside the folders that were named is not read."""

import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from durian.config import DatasetConfig, ProfileConfig
from durian.errors import ConfigError, DatasetError
from durian.profile import profile_dataset
from durian.readers import image_files
from durian.readers.dataset import open_dataset
from durian.readers.image_files import ImageFiles
from durian.samples import Sample, sample_id
from durian_cli.app import app


def png(gray: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), gray).save(file, "PNG")
    return file.getvalue()


INSIDE, OUTSIDE = png(1), png(2)


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    """home/secret.png beside home/set, which holds the dataset and in.png."""
    home = tmp_path / "home"
    (home / "set" / "deep").mkdir(parents=True)
    (home / "set" / "in.png").write_bytes(INSIDE)
    (home / "secret.png").write_bytes(OUTSIDE)
    (home / "settled").mkdir()  # its name begins like the dataset's
    (home / "settled" / "x.png").write_bytes(OUTSIDE)
    monkeypatch.chdir(home)


def write(name: str, *images: object) -> None:
    rows = (
        {"problem": f"p{number}", "answer": "1", "images": [image]}
        for number, image in enumerate(images)
    )
    Path(name).write_text("\n".join(map(json.dumps, rows)))


def read(dataset: str, **options: object) -> list[Sample]:
    return list(open_dataset(DatasetConfig(dataset=dataset, **options)).samples())


def leaves(path: str) -> str:
    return f"image path leaves the dataset folder: {path}; name its folder with --image-root"


def test_a_path_that_leaves_the_dataset_is_refused_and_keeps_its_own_id():
    os.symlink("../secret.png", "set/link.png")
    os.symlink("/", "set/root")
    here = os.getcwd()
    bad = [
        "../secret.png",
        "deep/../../secret.png",
        f"{here}/secret.png",
        "link.png",
        f"root{here}/secret.png",
        "../settled/x.png",
        "/etc/hostname",
        "/dev/zero",
        "/proc/self/environ",
        "/nowhere/at/all.png",
        "..",
    ]
    write("set/a.jsonl", *bad)
    samples = read("set/a.jsonl")
    assert [sample.images for sample in samples] == [(b"",)] * len(bad)
    assert [sample.error for sample in samples] == [leaves(path) for path in bad]
    assert samples[0].sample_id == sample_id("p0", "1", [b"../secret.png"])


def test_a_path_that_leaves_is_refused_in_the_image_feature_too():
    write("set/a.jsonl", {"bytes": None, "path": "../secret.png"})
    assert read("set/a.jsonl")[0].error == leaves("../secret.png")


def test_paths_within_the_dataset_are_read_however_they_are_written():
    os.symlink("../in.png", "set/deep/link.png")
    good = ["in.png", "deep/../in.png", f"{os.getcwd()}/set/in.png", "deep/link.png"]
    write("set/a.jsonl", *good)
    assert [(sample.images, sample.error) for sample in read("set/a.jsonl")] == [
        ((INSIDE,), None)
    ] * len(good)


def test_a_dataset_named_by_a_link_is_read():
    write("set/a.jsonl", "in.png")
    os.symlink("set", "link")
    os.symlink(os.path.abspath("set/a.jsonl"), "set/deep/b.jsonl")
    assert read("link")[0].images == read("link/*.jsonl")[0].images == (INSIDE,)
    # A linked file's paths begin where its link is; the folder that was named holds both.
    write("set/a.jsonl", "../in.png")
    assert read("set/deep/b.jsonl")[0].error == leaves("../in.png")
    assert read("set/d*/b.jsonl")[0].images == (INSIDE,)


def test_the_named_folder_counts_not_only_the_file_s():
    Path("set/train").mkdir()
    write("set/train/a.jsonl", "../in.png")
    assert read("set/train/a.jsonl")[0].error == leaves("../in.png")
    assert read("set")[0].images == read("set/**/*.jsonl")[0].images == (INSIDE,)


def test_image_root_opens_a_folder_and_relative_paths_begin_there():
    Path("pool").mkdir()
    Path("pool/far.png").write_bytes(OUTSIDE)
    here = os.getcwd()
    write("set/a.jsonl", "far.png", f"{here}/pool/far.png", f"{here}/set/in.png", "../secret.png")
    samples = read("set/a.jsonl", image_root="pool")
    assert [sample.images for sample in samples] == [(OUTSIDE,), (OUTSIDE,), (INSIDE,), (b"",)]
    assert samples[3].error == leaves("../secret.png")


def test_the_commands_take_image_root():
    write("set/a.jsonl", "secret.png", "gone.png")
    arguments = ["profile", "set/a.jsonl", "--measures", "pixel", "--out", "run"]
    shown = CliRunner().invoke(app, [*arguments, "--image-root", ".", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["counts"]["failed_by_reason"] == {
        "image not found: gone.png": 1
    }
    with pytest.raises(DatasetError, match="no image of the first 2 rows can be read"):
        profile_dataset(ProfileConfig(dataset="set/a.jsonl", measures=("pixel",), out="run2"))


@pytest.mark.parametrize("root", ["nowhere", "secret.png"])
def test_an_image_root_that_is_no_folder_is_told(root):
    write("set/a.jsonl", "in.png")
    with pytest.raises(ConfigError, match=f"image-root is '{root}'; no such folder: check"):
        read("set/a.jsonl", image_root=root)


def test_a_linked_image_folder_works_once_image_root_names_where_it_leads():
    Path("disk/images").mkdir(parents=True)
    Path("disk/images/x.png").write_bytes(INSIDE)
    os.symlink(os.path.abspath("disk/images"), "set/images")
    write("set/a.jsonl", "images/x.png")
    assert read("set/a.jsonl")[0].error == leaves("images/x.png")
    assert read("set/a.jsonl", image_root="disk/images")[0].images == (INSIDE,)


def test_a_snapshot_of_the_hub_may_link_to_its_own_blobs():
    snapshot, blobs = Path("hub/datasets--o--n/snapshots/abc"), Path("hub/datasets--o--n/blobs")
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_bytes(INSIDE)
    os.symlink("../../blobs/123", snapshot / "x.png")
    os.symlink("../../../../secret.png", snapshot / "y.png")
    write(f"{snapshot}/a.jsonl", "x.png", "y.png")
    samples = read(str(snapshot))
    assert samples[0].images == (INSIDE,) and samples[1].error == leaves("y.png")


def test_what_is_no_file_is_not_waited_for():
    os.mkfifo("set/pipe.png")  # nobody writes to it: a plain open would wait for ever
    os.symlink("loop.png", "set/loop.png")
    write("set/a.jsonl", "pipe.png", "loop.png", "deep", "x" * 5000)
    assert [sample.error for sample in read("set/a.jsonl")] == [
        "image is not a file: pipe.png",
        "image cannot be read: loop.png (Too many levels of symbolic links)",
        "image cannot be read: deep (Is a directory)",
        f"image cannot be read: {'x' * 97}... (File name too long)",
    ]


def test_a_huge_file_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr(image_files, "LARGEST_BYTES", 1000)
    with open("set/big.png", "wb") as file:
        file.truncate(1001)  # a hole: no data on disk
    assert ImageFiles(Path("set"), [Path("set")]).read("big.png") == (
        "image file has 1001 bytes, more than 1000: big.png"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x.png",
        "http://169.254.169.254/latest/meta-data",
        "HTTP://EXAMPLE.ORG/X",
        "s3://bucket/x.png",
        "ftp://h/x.png",
        "file:///etc/hostname",
        "hf://datasets/o/n/x.png",
    ],
)
def test_a_url_is_refused_and_nothing_is_fetched(url, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    write("set/a.jsonl", url, {"bytes": None, "path": url})
    for sample in read("set/a.jsonl"):
        assert sample.error == "image is a URL; name its folder with --image-root"


# WebDataset shards


def shard(*members: tarfile.TarInfo | tuple[str, bytes]) -> str:
    with tarfile.open("set/a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            name, data = ("", b"") if isinstance(member, tarfile.TarInfo) else member
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return "set/a.tar"


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def everything() -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(Path().rglob("*"))
    }


def test_hostile_members_of_a_shard_write_nothing_and_read_nothing_outside():
    row = b'{"problem": "p", "answer": "1"}'
    name = shard(
        ("../../escape.json", row),
        ("../../escape.png", INSIDE),
        ("/absolute.json", row),
        ("/absolute.png", INSIDE),
        ("a.json", row),
        special("a.png", tarfile.SYMTYPE, "../secret.png"),
        special("a.0.png", tarfile.LNKTYPE, "../secret.png"),
        special("a.1.png", tarfile.CHRTYPE),
        special("a.2.png", tarfile.FIFOTYPE),
        special("a.3.png", tarfile.DIRTYPE),
        ("b.json", b'{"problem": "p", "answer": "1", "images": "../secret.png"}'),
        ("c.json", b'{"problem": "p", "answer": "1", "images": ["in.png"]}'),
        ("d.json", row),
        ("d.\u00b2.png", INSIDE),  # a digit to isdigit(), and none to int()
        (f"d.{'9' * 5000}.png", OUTSIDE),  # more digits than int() takes
    )
    before = everything()
    samples = read(name)
    assert everything() == before and not Path("../escape.json").exists()
    assert [(sample.images, sample.error) for sample in samples] == [
        ((INSIDE,), None),
        ((INSIDE,), None),
        ((), None),  # links and devices are no images
        ((b"",), leaves("../secret.png")),
        ((INSIDE,), None),
        ((OUTSIDE, INSIDE), None),  # a number before a word
    ]


def field(header: bytearray, start: int, value: bytes) -> None:
    """Write a field of a tar header, and its checksum: the sum of bytes, its own as spaces."""
    header[start : start + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()


def test_a_member_of_more_bytes_than_the_shard_takes_no_memory():
    name = shard(("a.json", b'{"problem": "p", "answer": "1"}'), ("a.png", b"x" * 512))
    data = bytearray(Path(name).read_bytes())
    header = data[1024:1536]  # of the second member: after one header and one block
    field(header, 124, b"\x80" + (10**15).to_bytes(11, "big"))
    Path(name).write_bytes(data[:1024] + header + data[1536:])
    with pytest.raises(DatasetError, match=r"a\.png reaches beyond the end of the file"):
        read(name)


def test_a_sparse_member_is_passed_over():
    name = shard(("a.json", b'{"problem": "p", "answer": "1"}'), ("a.png", b"x" * 512))
    data = bytearray(Path(name).read_bytes())
    header = data[1024:1536]
    header[156:157] = tarfile.GNUTYPE_SPARSE
    field(header, 386, b"%011o\0%011o\0" % (0, 512))  # one piece, and zeros up to
    field(header, 483, b"\x80" + (10**13).to_bytes(11, "big"))  # its real size, 10 TB
    Path(name).write_bytes(data[:1024] + header + data[1536:])
    with tarfile.open(name) as tar:  # as tarfile itself understands it
        assert [(m.issparse(), m.size) for m in tar.getmembers()][1] == (True, 10**13)
    assert [(sample.images, sample.error) for sample in read(name)] == [((), None)]
