"""One fork server a session, one dataset, and the run of it that nothing interrupted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faulty import ForkServer, make_dataset


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    server = ForkServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`profile` of a small dataset, without its --out."""
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def whole(server: ForkServer, profile: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = server.durian(*profile, "--out", run)
    assert ended.code == 0, ended.said
    return run
