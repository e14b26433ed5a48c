"""Shards as they are written, and as a Slurm array has them."""

import pytest

from durian.config import Shard
from durian.config.shard import read_shard, slurm_shard
from durian.errors import ConfigError


def array(task: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def test_shards_cover_all_parts_once_and_differ_by_one_at_most():
    for total, count in ((10, 4), (3, 5), (0, 2), (8, 8), (1000, 7)):
        parts = [Shard(number, count).parts(total) for number in range(1, count + 1)]
        assert [part for own in parts for part in own] == list(range(total))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (array(1, 1, 4, 4), Shard(1, 4)),  # --array=1-4
        (array(3, 0, 3, 4), Shard(4, 4)),  # --array=0-3
        (array(7, 3, 9, 4, step=2), Shard(3, 4)),  # --array=3-9:2 is 3, 5, 7, 9
        (array(5, 5, 5, 1), Shard(1, 1)),  # --array=5
    ],
)
def test_a_task_of_an_array_is_a_shard_wherever_its_numbers_start(environment, shard):
    assert slurm_shard(environment) == shard


def test_what_no_shard_can_be_told_from_is_refused_by_its_name(monkeypatch):
    with pytest.raises(ConfigError, match=r"array's 3 numbers are no range from 1 to 7: submit"):
        slurm_shard(array(5, 1, 7, 3))  # --array=1,5,7
    lacking = array(1, 1, 4, 4)
    del lacking["SLURM_ARRAY_TASK_COUNT"]
    with pytest.raises(ConfigError, match="and SLURM_ARRAY_TASK_COUNT is not set: submit with"):
        slurm_shard(lacking)
    for name in array(1, 1, 4, 4):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ConfigError, match="SLURM_ARRAY_TASK_ID, .* are not set: submit with sbatch"
    ):
        read_shard("slurm")
    for wrong in ("0/4", "5/4", "1/0"):
        with pytest.raises(ConfigError, match=f"shard is {wrong}; shards count from 1"):
            read_shard(wrong)
    for unread in ("4", "1/", "-1/4", "1/4/2", "first"):
        with pytest.raises(ValueError, match=f"^{unread}$"):
            read_shard(unread)
