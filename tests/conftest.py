"""What tests of several rooms need."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from tests.faults.faulty import ForkServer

ROOT = Path(__file__).parent.parent

# No test is about time: Hypothesis's deadline of 200 ms fails what a busy machine holds up.
settings.register_profile("durian", deadline=None)
settings.load_profile("durian")


# Rooms whose files share an engine or trainings by fixtures: each is run by one process.
SHARING = ("training", "engines", "faults")
# The longest first, so that none is begun when the other processes have nothing left.
LONGEST = ("gpu", "training", "end_to_end", "engines", "measuring", "faults", "cli", "rewards")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `-n`, keep what shares a fixture together, and begin with the longest rooms."""
    place = {room: number for number, room in enumerate(LONGEST)}
    rooms = {item: item.path.relative_to(ROOT / "tests").parts[0] for item in items}
    for item, room in rooms.items():
        name = room if room in SHARING else str(item.path)
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: place.get(rooms[item], len(place)))


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
