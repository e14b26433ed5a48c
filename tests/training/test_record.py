"""What is kept of a training's log."""

import json

from durian.records import from_json
from durian.training.manifest import TrainingManifest
from durian.training.record import finite_log, write_results
from tests.training.test_card import MANIFEST


def test_a_nan_in_the_log_ends_no_training(tmp_path):
    nan, inf = float("nan"), float("inf")
    logged = [{"step": 1, "reward": 0.5, "grad_norm": nan}, {"step": 2, "reward": None, "kl": inf}]
    log = finite_log(logged)
    assert log == [{"step": 1, "reward": 0.5}, {"step": 2}]
    write_results(tmp_path, log, from_json(TrainingManifest, MANIFEST))
    assert json.loads((tmp_path / "log.json").read_text())["steps"] == log
    assert (tmp_path / "manifest.json").exists()
