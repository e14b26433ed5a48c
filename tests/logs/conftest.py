"""What the tests of imported logs share."""

import pytest

from durian.rewards.boxed import BoxedReward
from tests.logs.world import write_dataset


@pytest.fixture(autouse=True, scope="module")
def light():
    """Figures that are not encoded, few redraws, and graders that last beyond one import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.rendering.page.encode_figure", lambda *_: b"")
        patch.setattr(BoxedReward, "close", lambda _: None)
        yield


@pytest.fixture(scope="module")
def no_figures():
    """Pages of texts and tables alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.rendering.page.report_figures", lambda summary, units: [])
        yield


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The questions of `world`, as a file."""
    return write_dataset(tmp_path_factory.mktemp("data"))
