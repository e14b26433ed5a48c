"""What opens a server stands in no file, log, manifest or error."""

import os
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from durian.errors import one_line, without_secrets
from durian.places import place_of
from durian_cli.app import app
from tests.places.servers import Answer

PLANTED = ("plantedname", "plantedpassword", "plantedsignature", "PLANTEDKEYID", "planted/secret")


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/a.parquet?X-Amz-Signature=s&b=c", "https://h/a.parquet?..."),
        ("https://name:word@h:80/a b", "https://h:80/a b"),
        ("GET 'https://token@h/x?y' failed", "GET 'https://h/x?...' failed"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("is it? see http://h/x, or ask", "is it? see http://h/x, or ask"),
    ],
)  # fmt: skip
def test_of_an_address_only_what_is_no_secret_is_shown(text, shown):
    assert without_secrets(text) == one_line(text) == shown
    if "://" in text[:8]:
        assert str(place_of(text)) == shown.removesuffix("?...") if text[0] == "h" else True


def test_a_signed_address_leaves_no_trace_in_a_run(web, photo_shapes, tmp_path):
    pl.read_parquet(photo_shapes).head(8).write_parquet(tmp_path / "a.parquet")
    server = web(tmp_path)
    signed = f"http://plantedname:plantedpassword@{server.at}/a.parquet?sig=plantedsignature"
    out = tmp_path / "run"
    words = ["profile", signed, "--measures", "pixel", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert all("sig=plantedsignature" in path for _, path, _ in server.requests)
    assert server.headers[0]["Authorization"].startswith("Basic ")
    server.fails(lambda method, path, answer: Answer(403, {}, b""))
    failed = CliRunner().invoke(app, words)
    said = done.output + failed.output + one_line(str(failed.exception), longest=None)
    assert failed.exit_code and "access is denied" in said
    for secret in PLANTED:
        assert secret not in said and secret.encode() not in everything(out)


def test_keys_of_the_environment_leave_no_trace(bucket, photo_shapes, tmp_path):
    pl.read_parquet(photo_shapes).head(8).write_parquet(tmp_path / "a.parquet")
    there, out = bucket.put(tmp_path / "a.parquet"), tmp_path / "run"
    done = CliRunner().invoke(app, ["profile", there, "--measures", "pixel", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "PLANTEDKEYID" in bucket.between.headers[0]["Authorization"]
    echo = " ".join([os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]])
    body = f"<Error><Code>InvalidAccessKeyId</Code><Message>{echo}</Message></Error>".encode()
    bucket.between.fails(lambda method, path, answer: Answer(403, {}, body))
    failed = CliRunner().invoke(app, ["profile", there, "--measures", "pixel", "--out", str(out)])
    said = one_line(str(failed.exception), longest=None)
    assert failed.exit_code and "access is denied" in said
    for secret in PLANTED:
        assert secret not in done.output + said and secret.encode() not in everything(out)
