"""One S3 server for all tests of the room, and what stands between it and each of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3fs

from durian.places import store
from tests.places.servers import Between, folder_by_http, passing_on, s3_server


@dataclass
class Bucket:
    """A bucket of one test, and the server before it."""

    name: str
    between: Between

    def put(self, local: Path, inner: str = "") -> str:
        """Put a file or folder there; its address."""
        address = f"s3://{self.name}/{inner or local.name}"
        s3fs.S3FileSystem(skip_instance_cache=True).put(str(local), address, recursive=True)
        self.between.counted()
        return address


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
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
        between.counted()
        yield Bucket(name, between)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[..., Between]]:
    """Serves folders by HTTP, with ranges or without."""
    from contextlib import ExitStack

    with ExitStack() as servers:

        def serve(folder: Path, *, ranges: bool = True) -> Between:
            between = Between(folder_by_http(folder, ranges=ranges))
            return servers.enter_context(between.serving())

        yield serve
