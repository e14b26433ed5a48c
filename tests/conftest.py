"""What tests of several rooms need."""

import io
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

from tests.faults.faulty import ForkServer

ROOT = Path(__file__).parent.parent

# No test is about time: Hypothesis's deadline of 200 ms fails what a busy machine holds up.
settings.register_profile("durian", deadline=None)
settings.load_profile("durian")


# Rooms whose files share an engine or trainings by fixtures: each is run by one process.
SHARING = ("training", "engines", "faults")
# The longest first, so that none is begun when the other processes have nothing left.
LONGEST = (
    "gpu",
    "training",
    "end_to_end",
    "engines",
    "families",
    "measuring",
    "faults",
    "cli",
    "rewards",
)


def _room(file: str) -> str:
    return Path(file).parts[1]


class ByRoom(LoadScopeScheduling):
    """With `-n`, one process runs all of a room whose files share fixtures; else all of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _room(file) if _room(file) in SHARING else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByRoom:
    return ByRoom(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest rooms."""
    place = {room: number for number, room in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(_room(item.nodeid), len(place)))


@pytest.fixture
def png() -> bytes:
    """A PNG, half black and half white: exactly 1 bit of pixel entropy."""
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, 8:] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def training_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Forks trainings, and launches of many processes: their imports take most of a minute."""
    server = ForkServer(tmp_path_factory.mktemp("server"), "training")
    yield server
    server.close()


@pytest.fixture(scope="session")
def tiny_policy() -> Path:
    """The policy that ships."""
    return ROOT / "data" / "tiny_policy"


@pytest.fixture(scope="session")
def photo_shapes() -> Path:
    """The test rows of photo_shapes, 600 of them."""
    return ROOT / "data" / "photo_shapes" / "test.parquet"


@pytest.fixture(scope="session")
def policy_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny policy, made once and only when asked for.

    Skips where its processor lacks a package.
    """
    from tests.families.policies import POLICIES, save_policy  # for seconds

    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        needs = POLICIES[family].needs
        if needs and find_spec(needs) is None:
            pytest.skip(f"the processor of {family} needs {needs}")
        if family not in made:
            made[family] = save_policy(family, tmp_path_factory.mktemp("families") / family)
        return made[family]

    return get
