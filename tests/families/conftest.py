"""The tiny policies of all families, each made once a session and only when asked for."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.families.policies import POLICIES, save_policy


@pytest.fixture(scope="session")
def policy_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny policy; skips where its processor lacks a package."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        needs = POLICIES[family].needs
        if needs and find_spec(needs) is None:
            pytest.skip(f"the processor of {family} needs {needs}")
        if family not in made:
            made[family] = save_policy(family, tmp_path_factory.mktemp("families") / family)
        return made[family]

    return get
