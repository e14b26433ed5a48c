"""What the tests of imported logs share."""

import pytest

from tests.logs.world import write_dataset


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Figures that are not drawn, and few redraws: none of it is looked at here."""
    monkeypatch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
    monkeypatch.setattr("durian.rendering.page.encode_figure", lambda *_: b"")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The questions of `world`, as a file."""
    return write_dataset(tmp_path_factory.mktemp("data"))
