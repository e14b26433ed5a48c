"""What a server does wrong: the run goes on where it may pass, and else ends in one line."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from durian.config import DatasetConfig, ProfileConfig
from durian.errors import DatasetError, RunError
from durian.places import store
from durian.profile import profile_dataset
from durian.readers.dataset import open_dataset
from tests.places.servers import Answer


@pytest.fixture
def rows(photo_shapes: Path) -> pl.DataFrame:
    return pl.read_parquet(photo_shapes).head(12)


def read(dataset: str, **options: object) -> list[str]:
    samples = open_dataset(DatasetConfig(dataset=dataset, **options)).samples()  # type: ignore[arg-type]
    return [sample.sample_id for sample in samples]


def is_range(method: str, path: str, answer: Answer) -> bool:
    """A part of a data file."""
    return method == "GET" and answer.status == 206


def failing(status: int, code: str):
    body = f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode()

    def fault(method, path, answer):
        if is_range(method, path, answer):
            return Answer(status, {"Content-Type": "application/xml"}, body)

    return fault


def cut(method, path, answer):
    if is_range(method, path, answer):
        return Answer(206, answer.headers, answer.body, cut=True)


def stalled(method, path, answer):
    if is_range(method, path, answer):
        return Answer(206, answer.headers, answer.body, stall=True)


FAULTS = {
    "500": failing(500, "InternalError"),
    "503": failing(503, "SlowDown"),
    "429": failing(429, "TooManyRequests"),
    "a cut body": cut,
    "a stall": stalled,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_passes_after_two_tries_changes_nothing(bucket, rows, tmp_path, fault):
    rows.write_parquet(tmp_path / "a.parquet")
    there = bucket.put(tmp_path / "a.parquet")
    bucket.between.fails(fault, times=2)
    assert read(there) == read(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_does_not_pass_over_http_is_one_line(web, rows, tmp_path, fault):
    rows.write_parquet(tmp_path / "a.parquet")
    server = web(tmp_path)
    server.fails(fault, times=2)
    assert len(read(f"http://{server.at}/a.parquet")) == 12
    server.fails(fault)
    with pytest.raises(RunError, match=r"a.parquet: cannot be read after 6 tries \(.*same command"):
        read(f"http://{server.at}/a.parquet")


def test_a_server_that_fails_midway_keeps_parts_and_the_run_resumes(bucket, photo_shapes, tmp_path):
    rows = pl.read_parquet(photo_shapes)
    for number in range(3):
        rows[80 * number : 80 * number + 80].write_parquet(tmp_path / f"{number}.parquet")
        bucket.put(tmp_path / f"{number}.parquet")
    opened = 0

    def third_file_of_the_second_pass(method, path, answer):
        nonlocal opened
        if method == "HEAD" and path.endswith("2.parquet"):
            opened += 1
        if opened >= 3 and path.endswith("2.parquet"):
            return Answer(503, {}, b"")

    def profile(out: str, dataset: str) -> Path:
        config = ProfileConfig(
            dataset=dataset, measures=("pixel",), part_size=10, out=str(tmp_path / out)
        )
        profile_dataset(config)
        return tmp_path / out

    there = f"s3://{bucket.name}"
    bucket.between.fails(third_file_of_the_second_pass)
    with pytest.raises(RunError, match=r"2.parquet: cannot be read after 6 tries"):
        profile("run", there)
    kept = sorted(part.name for part in (tmp_path / "run" / "parts").glob("part-*"))
    assert kept and kept[0] == "part-00000.parquet"
    bucket.between.fault = None
    resumed = profile("run", there)
    whole = profile("whole", str(tmp_path / "?.parquet"))
    name = "difficulty.parquet"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_what_is_denied_from_the_start_is_wrong_input(bucket, rows, tmp_path):
    rows.write_parquet(tmp_path / "a.parquet")
    there = bucket.put(tmp_path / "a.parquet")
    expired = failing(403, "ExpiredToken")
    bucket.between.fails(expired)
    with pytest.raises(DatasetError, match=r"a.parquet: access is denied \(.*because.*\); check"):
        read(there)
    assert len(bucket.between.requests) < 6  # not asked again


def test_credentials_that_expire_are_said_with_what_to_do(bucket, rows, tmp_path):
    rows.write_parquet(tmp_path / "a.parquet")
    reader = open_dataset(DatasetConfig(dataset=bucket.put(tmp_path / "a.parquet")))
    bucket.between.fails(failing(403, "ExpiredToken"))
    with pytest.raises(RunError, match=r"access is denied now \(.*\); what is finished is kept"):
        list(reader.samples())


@pytest.mark.parametrize("size", ["same", "other"])
def test_an_object_that_changes_is_noticed(bucket, rows, tmp_path, size):
    rows.write_parquet(tmp_path / "a.parquet")
    there = bucket.put(tmp_path / "a.parquet")
    reader = open_dataset(DatasetConfig(dataset=there))
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[::-1] if size == "same" else data * 2)
    bucket.put(tmp_path / "a.parquet")
    with pytest.raises(RunError, match="the dataset was changed while it was read .*a.parquet is"):
        list(reader.samples())


def test_a_file_that_changes_between_two_ranges_is_noticed(web, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("durian.places.served.BLOCK", 4096)
    lines = [json.dumps({"problem": f"p{n}", "answer": "1"}) for n in range(4000)]
    file = tmp_path / "a.jsonl"
    for there in (f"http://{web(tmp_path).at}/a.jsonl", f"s3://{bucket.name}/a.jsonl"):
        file.write_text("\n".join(lines))
        bucket.put(file)
        samples = open_dataset(DatasetConfig(dataset=there)).samples()
        next(samples)
        file.write_text("\n".join(lines).replace("p", "q"))
        bucket.put(file)
        with pytest.raises(RunError, match="the dataset was changed while it was read"):
            list(samples)


def test_the_waits_grow(bucket, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(store, "FIRST_WAIT", 0.5)
    monkeypatch.setattr(store, "_pause", lambda ended, seconds: waits.append(seconds))
    monkeypatch.setattr(store.random, "uniform", lambda low, high: low)
    bucket.between.fails(lambda method, path, answer: Answer(503, {}, b""))
    with pytest.raises(RunError):
        read(f"s3://{bucket.name}/a.parquet")
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_server_without_ranges_gives_a_small_file_whole(web, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("durian.places.served.BLOCK", 4096)
    rows.write_parquet(tmp_path / "a.parquet")
    server = web(tmp_path, ranges=False)
    assert len(read(f"http://{server.at}/a.parquet")) == 12
    monkeypatch.setattr(store, "LARGEST_WHOLE", 1000)
    with pytest.raises(DatasetError, match=re.escape("its server sends whole files only")):
        read(f"http://{server.at}/a.parquet")
