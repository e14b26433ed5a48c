"""What is kept of a training: its log, and what it depends on."""

import json
import shutil

import pytest

from durian.config import TrainConfig
from durian.records import from_json
from durian.training.manifest import TrainingManifest
from durian.training.record import finite_log, training_identity, write_results
from tests.training.test_card import MANIFEST


def test_a_nan_in_the_log_ends_no_training(tmp_path):
    nan, inf = float("nan"), float("inf")
    logged = [{"step": 1, "reward": 0.5, "grad_norm": nan}, {"step": 2, "reward": None, "kl": inf}]
    log = finite_log(logged)
    assert log == [{"step": 1, "reward": 0.5}, {"step": 2}]
    write_results(tmp_path, log, from_json(TrainingManifest, MANIFEST))
    assert json.loads((tmp_path / "log.json").read_text())["steps"] == log
    assert (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("vllm_gpu_memory_utilization", 0.2, True),  # what one changes after an out-of-memory
        ("vllm_enable_sleep_mode", True, True),
        ("ddp_timeout", 7200, True),
        ("log_multimodal", False, True),
        ("save_steps", 4, True),
        ("push_to_hub", True, True),
        ("learning_rate", 1e-5, False),
        ("beta", 0.04, False),
        ("num_generations", 8, False),
    ],
)
def test_only_what_the_weights_depend_on_is_part_of_a_training(settings, field, value, same):
    config = TrainConfig(**settings | {"grpo": {}}, out="out", reward="boxed")
    one, other = (training_identity(config, grpo, "dataset") for grpo in ({}, {field: value}))
    assert (one == other) is same


def test_another_table_is_another_training(settings, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "difficulty.parquet").open("ab") as file:
        file.write(b"changed")
    one, other = (
        training_identity(
            TrainConfig(**settings | {"grpo": {}, "table": str(table)}, out="out", reward="boxed"),
            {}, "dataset",
        )
        for table in (run, tmp_path / "run")
    )  # fmt: skip
    assert one != other
