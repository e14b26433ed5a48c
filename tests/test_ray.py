"""Profiles over a Ray cluster of two nodes on this machine: the local run's tables, come what may.

What is lost is lost at a set moment: the reward of `judge.py`, on the node that is to be the
victim, tells the test that it is at work and goes no further, and elsewhere it waits until the
test has struck.
"""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster

from pipelines import ray_pool
from pipelines.config import ProfileConfig
from pipelines.errors import ConfigError, RunError
from pipelines.profile import profile_dataset
from pipelines.progress import Silent
from pipelines.ray_pool import Ask, plan_actors
from pipelines.samples import sample_id

ROOT = Path(__file__).parent.parent
ROWS, ROLLOUTS, PART = 96, 2, 8
TABLES = [f"{name}.parquet" for name in ("difficulty", "rollouts", "columns", "thumbnails")]

JUDGE = """
import os, signal
from pathlib import Path

HERE = Path(__file__).parent

def judge(reward_input):
    if (HERE / "victim").exists():
        import ray
        if ray.get_runtime_context().get_node_id() == (HERE / "victim").read_text():
            (HERE / "struck").write_text(str(os.getpid()))  # waits for the test to read it
            signal.pause()
        (HERE / "gate").open().close()  # waits for the test to open it
    return float(reward_input["response"].endswith(reward_input["ground_truth"]))
"""


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each; what they start finds this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 2}
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "object_store_memory": 10**8, "_system_config": soon},
        )
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def second_node(cluster):
    """The node beside the head; another one, should a test before have killed it."""
    if not cluster.worker_nodes:
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
    return next(iter(cluster.worker_nodes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dataset of noise images, a script with two rollouts a sample, and a reward."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    rows, script = [], []
    for number in range(ROWS):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file, "PNG")
        rows.append((f"Question {number}?", str(number % 7), [file.getvalue()]))
        key = sample_id(*rows[-1][:2], rows[-1][2])
        script += [
            {"sample_id": key, "rollout": r, "n_tokens": 3 + r, "sum_logprob": -rng.random(),
             "completion": f"It is {(number + r) % 7}", "finish_reason": "stop"}
            for r in range(ROLLOUTS)
        ]  # fmt: skip
    rows.append(("Damaged?", "1", [b"no image"]))
    table = pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row")
    table.write_parquet(folder / "noise.parquet")
    (folder / "script.jsonl").write_text("\n".join(map(json.dumps, script)))
    (folder / "judge.py").write_text(JUDGE)
    os.mkfifo(folder / "struck")
    os.mkfifo(folder / "gate")
    return folder


@pytest.fixture
def settings(folder, tmp_path):
    """Settings of a profile of that dataset."""

    def settings(out: str = "run", *, scripted: bool = True, **further) -> ProfileConfig:
        policy = {"engine": "scripted", "model": str(folder / "script.jsonl"),
                  "rollouts": ROLLOUTS, "reward": f"{folder / 'judge.py'}:judge"}  # fmt: skip
        return ProfileConfig(**{
            "dataset": str(folder / "noise.parquet"), "out": str(tmp_path / out),
            "part_size": PART, **(policy if scripted else {"measures": ("pixel",)}), **further,
        })  # fmt: skip

    return settings


@pytest.fixture(scope="module")
def local(folder, tmp_path_factory) -> Path:
    """The scripted run that Ray had no part in."""
    out = tmp_path_factory.mktemp("local") / "run"
    profile_dataset(
        ProfileConfig(
            dataset=str(folder / "noise.parquet"), out=str(out), part_size=PART, engine="scripted",
            model=str(folder / "script.jsonl"), rollouts=ROLLOUTS,
            reward=f"{folder / 'judge.py'}:judge",
        )
    )  # fmt: skip
    return out


class Heard(Silent):
    """Keeps the notes, and counts the steps."""

    def __init__(self) -> None:
        self.notes, self.steps = [], {}

    def advance(self, stage: str, steps: int = 1) -> None:
        self.steps[stage] = self.steps.get(stage, 0) + steps

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def strike(folder):
    """Kill in the midst of a chunk: call it with the victim's node and what to do to it."""
    threads = []

    def strike(node, kill) -> None:
        (folder / "victim").write_text(node.node_id)

        def wait() -> None:
            pid = int((folder / "struck").read_text())
            (folder / "victim").unlink()
            kill(pid)
            # Open for both ways waits for nobody; those who open it to read go on.
            threads[0].gate = os.open(folder / "gate", os.O_RDWR)

        threads.append(threading.Thread(target=wait))
        threads[0].start()

    yield strike
    threads[0].join()
    os.close(threads[0].gate)


def same(run: Path, other: Path) -> bool:
    return all((run / name).read_bytes() == (other / name).read_bytes() for name in TABLES)


def test_images_alone_come_to_the_local_runs_tables(cluster, settings, tmp_path):
    profile_dataset(settings("here", scripted=False))
    heard = Heard()
    there = settings("there", scripted=False, distributed="ray", ray_address=cluster.address)
    profile_dataset(there, progress=heard)
    assert same(tmp_path / "there", tmp_path / "here")
    assert heard.notes == ["measuring on Ray with 2 actors"]
    assert heard.steps["images"] == ROWS + 1
    assert not ray.is_initialized()


def test_a_node_killed_in_the_midst_of_a_chunk_changes_nothing(
    cluster, second_node, settings, local, strike, tmp_path
):
    strike(second_node, lambda pid: cluster.remove_node(second_node, allow_graceful=False))
    heard = Heard()
    profile_dataset(settings(distributed="ray", ray_address=cluster.address), progress=heard)
    assert same(tmp_path / "run", local)
    assert [note for note in heard.notes if "was lost; its samples are done again" in note]
    assert heard.steps["images"] == heard.steps["rollouts"] == ROWS + 1


def test_a_killed_actor_is_started_again_and_changes_nothing(
    cluster, second_node, settings, local, strike, tmp_path
):
    strike(second_node, lambda pid: os.kill(pid, signal.SIGKILL))
    heard = Heard()
    profile_dataset(settings(distributed="ray", ray_address=cluster.address), progress=heard)
    assert same(tmp_path / "run", local)
    assert [note for note in heard.notes if "was lost; its samples are done again" in note]
    assert heard.steps["images"] == heard.steps["rollouts"] == ROWS + 1
