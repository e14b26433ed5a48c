"""Profiles over a Ray cluster of two nodes on this machine: the local run's tables, come what may.

What is lost is lost at a set moment: the reward of `judge.py`, on the node that is to be the
victim, tells the test that it is at work and goes no further, and elsewhere it waits until the
test has struck.
"""

import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster
from ray.exceptions import ObjectLostError

from durian.config import ProfileConfig
from durian.errors import ConfigError, RunError
from durian.measuring import ray_pool
from durian.measuring.measuring import Measured
from durian.measuring.ray_pool import HELD, Ask, Chunk, Worker, cut_chunks, plan_actors
from durian.profile import profile_dataset
from durian.rewards.graders import Graders
from durian.run.progress import Silent
from durian.samples import Sample, sample_id

ROOT = Path(__file__).parents[2]
ROWS, ROLLOUTS, PART = 96, 2, 8
# The actors must have the images that stand in for others.
BLIND = {"measures": ("pixel", "confidence", "consensus", "blind"), "blind": "other",
         "blind_rollouts": 1}  # fmt: skip
TABLES = [f"{name}.parquet" for name in ("difficulty", "rollouts", "columns", "thumbnails")]

JUDGE = """
import os, signal, threading
from pathlib import Path

HERE = Path(__file__).parent

def judge(reward_input):
    assert threading.current_thread() is threading.main_thread()  # so that it may use signals
    # In an actor: the command itself tries the reward on the first row.
    import ray
    in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id()
    if in_actor and (HERE / "victim").exists():
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
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "pipelines")]))
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
             "completion": f"It is {(number + r) % 7}", "finish_reason": "stop",
             "blind": r == ROLLOUTS}
            for r in range(ROLLOUTS + 1)
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
            "part_size": PART,
            **(policy if scripted else {"measures": ("pixel", "duplicates")}), **further,
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
    assert heard.notes[0] == "measuring on Ray with 2 actors"
    assert heard.steps["images"] == ROWS + 1
    assert not ray.is_initialized()


def test_actors_ask_without_the_image_as_the_local_run_does(cluster, settings, tmp_path):
    profile_dataset(settings("here", reward="boxed", **BLIND))
    there = {"distributed": "ray", "ray_address": cluster.address}
    profile_dataset(settings("there", reward="boxed", **BLIND, **there))
    assert same(tmp_path / "there", tmp_path / "here")
    said = pl.read_parquet(tmp_path / "there" / "rollouts.parquet")
    assert said["blind"].sum() == ROWS


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


class Stops(Silent):
    """Ctrl-C once 40 samples are drawn: five parts of eight. Images are decoded further ahead."""

    def __init__(self) -> None:
        self.steps = 0

    def advance(self, stage: str, steps: int = 1) -> None:
        self.steps += steps if stage == "rollouts" else 0
        if self.steps >= 40:
            raise KeyboardInterrupt


@pytest.mark.parametrize("begun_on", ["ray", None])
def test_a_run_begun_on_ray_is_finished_here_and_the_other_way_round(
    cluster, second_node, settings, local, tmp_path, begun_on
):
    def where(on):
        return {"distributed": on, "ray_address": cluster.address if on else None}

    with pytest.raises(KeyboardInterrupt):
        profile_dataset(settings(**where(begun_on)), progress=Stops())
    assert not ray.is_initialized()
    kept = list((tmp_path / "run" / "parts").glob("part-*.parquet"))
    # Which parts are whole by then hangs on the pace of the reward here, and of the chunks there:
    # the first may come last.
    assert len(kept) <= 5
    heard = Heard()
    profile_dataset(settings(**where(None if begun_on else "ray")), progress=heard)
    assert heard.steps["images"] == ROWS + 1 - PART * len(kept)
    assert same(tmp_path / "run", local)


def test_ctrl_c_ends_with_130_and_leaves_no_actor(cluster, second_node, folder, tmp_path):
    (folder / "victim").write_text(second_node.node_id)
    process = subprocess.Popen(
        [sys.executable, "-m", "durian_cli", "profile", str(folder / "noise.parquet"),
         "--engine", "scripted", "--model", str(folder / "script.jsonl"), "--reward",
         f"{folder / 'judge.py'}:judge", "--rollouts", str(ROLLOUTS), "--part-size", "8",
         "--out", str(tmp_path / "run"),
         "--distributed", "ray", "--ray-address", cluster.address],
        stderr=subprocess.PIPE, text=True,
        # A shell's background jobs ignore SIGINT, and so would the child of a test run as one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    actor = os.pidfd_open(int((folder / "struck").read_text()))  # in the midst of a chunk
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    (folder / "victim").unlink()
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "durian: interrupted; a profile or training that has begun resumes by the same command"
    )
    assert select.select([actor], [], [], 60)[0]  # it is gone, or soon is
    os.close(actor)


def test_what_is_measured_but_lost_on_its_way_is_measured_again(
    cluster, settings, tmp_path, monkeypatch
):
    # As when a node dies between the end of a chunk and its fetching.
    lost, fetch = [], ray.get

    def get(reference):
        answer = fetch(reference)
        if isinstance(answer, Measured) and not lost:
            lost.append(answer)
            raise ObjectLostError(reference.hex(), "", "")
        return answer

    monkeypatch.setattr(ray_pool.ray, "get", get)
    few = {"scripted": False, "limit": 20}
    profile_dataset(settings("here", **few))
    profile_dataset(settings("there", **few, distributed="ray", ray_address=cluster.address))
    assert lost and same(tmp_path / "there", tmp_path / "here")


def test_a_chunk_that_ends_each_of_its_actors_ends_the_run(
    cluster, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_pool, "LOSSES", 1)
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "def judge(reward_input):\n"
        "    if reward_input['response'] == 'It is 4':  # of sample 4, in the first part\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return 0.0\n"
    )
    deadly = settings(
        reward=f"{tmp_path / 'deadly.py'}:judge", limit=8, distributed="ray",
        ray_address=cluster.address,
    )  # fmt: skip
    with pytest.raises(RunError, match="samples 0 to 7 were lost 2 times, each time with the"):
        profile_dataset(deadly)


def test_what_is_wrong_in_an_actor_is_told_as_it_would_be_here(cluster, settings, tmp_path):
    (tmp_path / "other.jsonl").write_text('{"completion": "red"}\n')
    wrong = {"model": str(tmp_path / "other.jsonl")}
    with pytest.raises(ConfigError) as here:
        profile_dataset(settings("here", **wrong))
    with pytest.raises(ConfigError) as there:
        profile_dataset(settings("there", **wrong, distributed="ray", ray_address=cluster.address))
    assert str(there.value) == str(here.value)
    assert "no column 'sample_id'" in str(here.value)


def test_nodes_of_another_version_are_refused(cluster, settings, monkeypatch):
    ours = version("durian-rl")
    monkeypatch.setattr(ray_pool, "version", lambda package: "99.0")  # of the driver alone
    with pytest.raises(ConfigError, match=rf"node .* has durian {ours}, and this is durian 99\.0"):
        profile_dataset(settings(distributed="ray", ray_address=cluster.address))


def test_a_node_without_durian_is_refused(cluster, settings, tmp_path):
    # Python runs this file as it starts; Ray's workers then find no such package.
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['durian'] = None")
    ray.init(
        address=cluster.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}},
    )
    try:
        with pytest.raises(ConfigError, match="no actor could be started .* install this Durian"):
            profile_dataset(settings(distributed="ray"))
        assert ray.is_initialized()  # a connection that was there before is left as it was
    finally:
        ray.shutdown()


def test_an_actor_draws_the_next_chunk_while_it_scores_the_last(settings, monkeypatch):
    monkeypatch.setattr(ray_pool, "graders", lambda: Graders(1))
    worker = Worker(settings(), os.getcwd(), 1)
    drawn = {first: threading.Event() for first in (0, 1)}

    class Scored:
        bounds = None

        def measure(self, samples, copies, watch):
            drawn[copies[0]].set()
            return copies

        def rows(self, begun, watch):
            # Chunk 0 is not scored before chunk 1 is drawn.
            drawn[1].wait(60)
            yield Measured(seconds={"rewards": begun[0]})

    worker._models = Scored()
    with ThreadPoolExecutor(HELD) as threads:
        begun = []
        for first, event in drawn.items():
            begun.append(threads.submit(worker.measure, Chunk(numbers=[first]), [first]))
            event.wait(60)
        assert [one.result().seconds for one in begun] == [{"rewards": 0}, {"rewards": 1}]


def test_a_boxed_answer_comes_to_the_local_runs_tables(cluster, second_node, settings, tmp_path):
    few = {"reward": "boxed", "limit": 20}
    profile_dataset(settings("here", **few))
    profile_dataset(settings("there", **few, distributed="ray", ray_address=cluster.address))
    assert same(tmp_path / "there", tmp_path / "here")


def test_a_part_that_is_drawn_on_a_cluster_grows_here_to_the_local_run(
    cluster, second_node, settings, tmp_path
):
    few = {"reward": "boxed", "limit": 20}
    on_ray = {"distributed": "ray", "ray_address": cluster.address}
    profile_dataset(settings("there", **few, sample=12, **on_ray))
    profile_dataset(settings("part", **few, sample=12))
    assert same(tmp_path / "there", tmp_path / "part")
    profile_dataset(settings("there", **few, **on_ray))
    profile_dataset(settings("here", **few))
    assert same(tmp_path / "there", tmp_path / "here")


def node(name: str, alive: bool = True, **resources: float) -> dict:
    return {"NodeID": name, "Alive": alive, "Resources": {"memory": 1e9, **resources}}


def asked(nodes, **settings) -> list[Ask]:
    return plan_actors(ProfileConfig(dataset="d", out="o", distributed="ray", **settings), nodes)


def test_images_and_scripts_take_one_cpu_an_actor():
    nodes = [node("a", CPU=2.0, GPU=4.0), node("b", CPU=1.0), node("c", False, CPU=9.0)]
    one_each = [Ask(node="a", cpus=1)] * 2 + [Ask(node="b", cpus=1)]
    assert asked(nodes, measures=("pixel",)) == one_each
    assert asked(nodes, engine="scripted", model="rollouts.parquet") == one_each


def test_a_policy_takes_its_gpus_and_its_share_of_the_nodes_cpus():
    # a: 5 GPUs hold 2 policies of 2, each with 16 // 2 CPUs; b: 2 GPUs hold 1; c has no GPU.
    nodes = [node("a", CPU=16, GPU=5), node("b", CPU=3, GPU=2), node("c", CPU=64)]
    assert asked(nodes, model="m", tensor_parallel=2) == [
        Ask(node="a", cpus=8, gpus=2), Ask(node="a", cpus=8, gpus=2), Ask(node="b", cpus=3, gpus=2),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="tensor-parallel is 8, and no node .* more than 5 GPUs"):
        asked(nodes, model="m", tensor_parallel=8)


def test_without_gpus_a_policy_takes_a_node():
    nodes = [node("a", CPU=4), node("head"), node("b", CPU=2)]
    assert asked(nodes, model="m") == [Ask(node="a", cpus=4), Ask(node="b", cpus=2)]
    with pytest.raises(ConfigError, match="tensor-parallel is 2, and no node .* more than 0 GPUs"):
        asked(nodes, model="m", tensor_parallel=2)
    with pytest.raises(ConfigError, match="has no CPU to work with"):
        asked([node("head")], measures=("pixel",))


def test_without_ray_the_extra_is_named(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"distributed ray needs ray, .*; pip install .\.\[ray\]"):
        profile_dataset(settings(distributed="ray"))


@pytest.mark.parametrize(
    ("bound", "images", "keep", "expected"),
    [
        # A chunk is whole once it reaches a bound, and at the end of its part. Two images reach
        # 1.5 times one image's bytes: 2, 2, 1 of the part of five, 2 of that of two.
        ("ENCODED_BYTES", 1.5, False, [(0, 2), (2, 2), (4, 1), (5, 2)]),
        # Three images reach 250 pixels of 100 each, but those that nobody keeps do not count.
        ("DECODED_PIXELS", 250, True, [(0, 3), (3, 2), (5, 2)]),
        ("DECODED_PIXELS", 250, False, [(0, 5), (5, 2)]),
    ],
)
def test_chunks_end_at_the_bounds_and_at_the_ends_of_parts(
    monkeypatch, bound, images, keep, expected
):
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG")
    samples = [
        Sample(sample_id=str(row), row=row, problem="", answer="", images=(file.getvalue(),))
        for row in range(7)
    ]
    of_one = len(file.getvalue()) if bound == "ENCODED_BYTES" else 1
    monkeypatch.setattr(ray_pool, bound, images * of_one)
    cut = cut_chunks(samples, [(3, range(5)), (4, range(5, 7))], keep=keep)
    assert [(chunk.numbers[0], len(chunk.samples)) for chunk in cut] == expected
