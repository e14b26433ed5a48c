"""A training killed at any of its writes resumes to the same weights, and leaves nothing more."""

import shutil
import signal

import pytest
import yaml

from tests.faults.faulty import ForkServer, files, points_of, some


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = ForkServer(tmp_path_factory.mktemp("server"), "training")
    yield server
    server.close()


def test_a_training_killed_at_any_write_resumes_to_the_same_weights(settings, server, tmp_path):
    given = {key: value for key, value in settings.items() if key not in ("dataset", "grpo")}
    durian = {"rollout_batch": given.pop("rollout_batch")}
    grpo = settings["grpo"] | {"max_steps": 4, "save_total_limit": 1}
    grpo["lr_scheduler_type"] = "constant"  # or a step too many would change nothing
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump({**given, "durian": durian, "grpo": grpo}))
    command = ["train", settings["dataset"], "--config", config, "--quiet", "--out"]
    whole = tmp_path / "whole"
    ended = server.durian(*command, whole)
    assert ended.code == 0, ended.said
    points, operations = points_of(server.operations()), server.operations()
    # The last one: all steps are taken, and the manifest is not there.
    last = operations.index("replace manifest.json")
    # Past the samples' preparation; DURIAN_KILLS=1000 tries them all.
    for at, when in [*some(points[len(points) // 8 :], 2), (last, "before")]:
        out = tmp_path / f"{at}-{when}"
        killed = server.durian(*command, out, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        ended = server.durian(*command, out)
        assert ended.code == 0, (at, when, ended)
        weights = "model.safetensors"
        assert (out / weights).read_bytes() == (whole / weights).read_bytes(), (at, when)
        assert files(out) == files(whole), (at, when)
        shutil.rmtree(out)
