"""One S3 server for all tests of the room, and what stands between it and each of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from durian.places import store
from tests.places.servers import Between, folder_by_http, passing_on, s3_server

# No key is checked; without any, nothing that is there is replaced.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


@dataclass
class Bucket:
    """A bucket of one test, and the server before it."""

    name: str
    at: str  # the host and port behind that
    between: Between

    def put(self, local: Path, inner: str = "") -> str:
        """Put a file or folder there, past what is between; its address."""
        key = inner or local.name
        for file in sorted(local.rglob("*")) if local.is_dir() else [local]:
            if file.is_file():
                below = f"/{file.relative_to(local).as_posix()}" if local.is_dir() else ""
                self.ask("PUT", f"/{quote(key + below)}", file.read_bytes())
        return f"s3://{self.name}/{key}"

    def ask(self, method: str, path: str = "", body: bytes = b"") -> bytes:
        """Ask the server itself, as no library of ours does."""
        answer = passing_on(self.at)(method, f"/{self.name}{path}", SIGNED, body)
        assert answer.status < 300, answer
        return answer.body


@pytest.fixture(scope="session")
def _s3() -> Iterator[str]:
    with s3_server() as at:
        yield at


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between tries, and no long one for a server that says nothing."""
    monkeypatch.setattr(store, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(store, "READ_SECONDS", 0.3)


@pytest.fixture
def bucket(
    _s3: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """An empty bucket."""
    with Between(passing_on(_s3)).serving() as between:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PLANTEDKEYID")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret/key")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{between.at}")
        name = f"bucket-{abs(hash(request.node.nodeid)):x}"
        bucket = Bucket(name, _s3, between)
        bucket.ask("PUT")
        yield bucket


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[..., Between]]:
    """Serves folders by HTTP, with ranges or without."""
    from contextlib import ExitStack

    with ExitStack() as servers:

        def serve(folder: Path, *, ranges: bool = True) -> Between:
            between = Between(folder_by_http(folder, ranges=ranges))
            return servers.enter_context(between.serving())

        yield serve
