"""A training killed at any of its writes resumes to the same weights, and leaves nothing more."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from tests.faults.faulty import files, points_of, some


@pytest.fixture(scope="module")
def command(settings, held_out, tmp_path_factory) -> list[object]:
    """`train` for four steps, two checkpoints, three validations, without its --out's folder."""
    given = {key: value for key, value in settings.items() if key not in ("dataset", "grpo")}
    durian = {"rollout_batch": given.pop("rollout_batch"), "dynamic_sampling": "spread"}
    grpo = settings["grpo"] | {"max_steps": 4, "save_total_limit": 1}
    grpo["lr_scheduler_type"] = "constant"  # or a step too many would change nothing
    config = tmp_path_factory.mktemp("config") / "train.yaml"
    config.write_text(yaml.safe_dump({**given, "durian": durian, "grpo": grpo}))
    return ["train", settings["dataset"], "--config", config, "--quiet", "--out"]


@pytest.fixture(scope="module")
def whole(command, training_server, tmp_path_factory) -> Path:
    """The training that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    ended = training_server.durian(*command, out)
    assert ended.code == 0, ended.said
    (kept,) = out.glob("checkpoint-*")  # one of two, as save_total_limit asks
    assert kept.name == "checkpoint-4"
    # A training that resumes draws the second rollout batch's from where the first one had got to.
    steps = json.loads((out / "log.json").read_text())["steps"]
    assert all(step["durian/reserve_drawn"] > 0 for step in steps if "durian/refilled" in step)
    return out


@pytest.fixture(scope="module")
def operations(whole, training_server) -> list[str]:
    """Its durable operations."""
    return training_server.operations()


def assert_same_training(out: Path, whole: Path) -> None:
    name = "model.safetensors"
    assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert files(out) == files(whole)


def test_a_training_killed_at_any_write_resumes_to_the_same_weights(
    command, training_server, whole, operations, tmp_path
):
    points = points_of(operations)
    # The last one: all steps are taken, and the manifest is not there.
    last = operations.index("replace manifest.json")
    # Past the samples' preparation; DURIAN_KILLS=1000 tries them all.
    for at, when in [*some(points[len(points) // 8 :], 2), (last, "before")]:
        out = tmp_path / f"{at}-{when}"
        killed = training_server.durian(*command, out, at=at, when=when)
        assert killed.code == -signal.SIGKILL, (at, when, killed)
        ended = training_server.durian(*command, out)
        assert ended.code == 0, (at, when, ended)
        assert_same_training(out, whole)
        shutil.rmtree(out)


@pytest.mark.parametrize(
    ("number", "code", "how"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_a_training_with_its_code_and_how_to_resume(
    command, training_server, whole, operations, tmp_path, number, code, how
):
    out = tmp_path / "out"
    checkpoint = operations.index("replace durian.json")  # the first one
    stopped = training_server.durian(*command, out, at=checkpoint + 2, signal=number)
    assert (stopped.code, stopped.last) == (
        code,
        f"durian: {how}; a profile or training that has begun resumes by the same command",
    )
    assert training_server.durian(*command, out).code == 0
    assert_same_training(out, whole)
