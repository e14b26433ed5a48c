"""The planted run, alone and with a second one."""

from pathlib import Path

import pytest

from tests.viewer.planted import write_planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder; its dataset lies beside it."""
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def improved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("improved"), model="later", improved=True)
