"""What the parts of the GPU check share: a small training, its launches, and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "data" / "tiny_policy"
ROWS = 8  # two rollout batches of four prompts an epoch: four optimizer steps
GENERATIONS = 4
KL_AT_START = 1e-3  # the reference is the policy: more is another model
LOGPROB_GAP = 0.1  # nats a token, between vLLM and the trainer, at step 1
TORN = 1e-3  # a weight may differ by this much after a resume on a GPU, whose sums are not ordered

Facts = dict[str, Any]


class Wrong(Exception):
    """The part fails; `facts` say how."""

    def __init__(self, why: str, facts: Facts) -> None:
        super().__init__(why)
        self.facts = facts


class Skipped(Exception):
    """The part cannot be run here."""


@dataclass(frozen=True)
class Place:
    """Where a part works, and on what."""

    out: Path  # of the whole check
    work: Path  # of this part
    gpu: bool

    @property
    def rows(self) -> Path:
        return self.out / "profile_on_gpu" / "rows.parquet"

    @property
    def table(self) -> Path:
        return self.out / "profile_on_gpu" / "run"


def settings(place: Place, **changes: Any) -> dict[str, Any]:
    """Of a training of four prompts x four completions a rollout batch, two steps each."""
    given: dict[str, Any] = {
        "table": str(place.table),
        "model": str(POLICY),
        "rollout_batch": 4,
        "grpo": {
            "num_generations": GENERATIONS,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "gradient_checkpointing": False,
            "max_steps": 2,
            "save_steps": 2,
            "log_completions": True,
        },
    }
    grpo = given["grpo"] | changes.pop("grpo", {})
    return given | changes | {"grpo": grpo}


def train(place: Place, name: str, *, rows: Path | None = None, **changes: Any) -> Facts:
    """Train in this process; gives the facts that `Watched` kept."""
    import durian.train
    from durian.config import TrainConfig
    from tests.gpu.launched import Watched

    facts = place.work / f"{name}.facts.json"
    Watched.order = {"facts": str(facts)}
    durian.train.DurianTrainer = Watched
    given = settings(place, **changes)
    out = place.work / name
    durian.train.train_policy(
        TrainConfig(dataset=str(rows or place.rows), out=str(out), **given), progress=None
    )
    return {
        **json.loads(facts.read_text()),
        "manifest": json.loads((out / "manifest.json").read_text()),
    }


def launch(
    place: Place,
    name: str,
    *,
    processes: int = 1,
    shared: bool = False,
    environ: dict[str, str] | None = None,
    kill_after: int | None = None,
    **changes: Any,
) -> tuple[int, Facts]:
    """Train in launched processes, as the command line does; gives the exit code and the facts."""
    given = settings(place, **changes)
    durian = {"rollout_batch": given.pop("rollout_batch")}
    config = place.work / f"{name}.yaml"
    config.write_text(json.dumps(given | {"durian": durian}))  # JSON is YAML
    facts = place.work / f"{name}.facts.json"
    facts.unlink(missing_ok=True)
    pretended = ("shared" if shared else None) if place.gpu else "cpu"
    order = {"pretend": pretended, "kill_after": kill_after, "facts": str(facts)}
    arguments = ["train", str(place.rows), "--config", str(config), "--out", str(place.work / name)]
    count = processes if place.gpu else max(2, processes)
    code = (_torchrun if place.gpu else _forked)(count, environ or {}, order, arguments)
    return code, json.loads(facts.read_text()) if facts.exists() else {}


def _torchrun(count: int, environ: dict[str, str], order: Facts, arguments: list[str]) -> int:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(count),
        "--master_addr", "127.0.0.1", "--master_port", str(free_port()),
        "-m", "tests.gpu.launched", json.dumps(order), *arguments,
    ]  # fmt: skip
    return subprocess.run(command, env={**os.environ, **environ}, check=False).returncode


def _forked(count: int, environ: dict[str, str], order: Facts, arguments: list[str]) -> int:
    """The same without a launcher: forked once the imports, most of the time, are done."""
    from tests.gpu.launched import run

    port = str(free_port())
    children = {}
    for rank in range(count):
        if (child := os.fork()) == 0:
            os.environ.update(
                environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                LOCAL_WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
            )  # fmt: skip
            sys.argv = ["durian", *arguments]
            code = 1
            try:
                run(order)
            except SystemExit as ended:
                code = int(ended.code or 0)
            except BaseException:  # whatever it is, it must end in this child
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children[child] = rank
    worst = 0
    while children:
        child, status = os.wait()
        children.pop(child)
        code = os.waitstatus_to_exitcode(status)
        if code and not worst:
            worst = code
            for other in children:  # as torchrun does: the others would wait for ever
                os.kill(other, signal.SIGKILL)
    return worst


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def weights(folder: Path) -> dict[str, Any]:
    """The whole model's weights in a folder; none where there are none."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        found |= load_file(file)
    return found


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of a weight; infinite where the two do not have the same ones."""
    if not one or one.keys() != other.keys():
        return float("inf")
    return max(float((one[k].float() - other[k].float()).abs().max()) for k in one)


def logged(out: Path) -> list[Facts]:
    """The steps of log.json."""
    return [step for step in json.loads((out / "log.json").read_text())["steps"] if "loss" in step]


def as_killed(whole: Path, out: Path, step: int) -> None:
    """A copy of a finished training as a kill after the checkpoint of `step` would leave it."""
    shutil.copytree(whole, out)
    for path in out.iterdir():
        number = path.name.partition("checkpoint-")[2]
        if number and int(number) > step:
            shutil.rmtree(path)
        elif path.name in ("manifest.json", "log.json", "model.safetensors"):
            path.unlink()


def order_of(out: Path) -> dict[int, list[str]]:
    """By step: the samples that a training drew completions for."""
    found = {}
    for file in sorted((out / "completions").glob("*.parquet")):
        rows = pq.read_table(file).to_pydict()
        found[int(rows["step"][0])] = rows["sample_id"]
    return found


def check(facts: Facts, *claims: tuple[bool, str]) -> Facts:
    """The facts; raises `Wrong` with all claims that do not hold."""
    broken = [why for holds, why in claims if not holds]
    if broken:
        raise Wrong("; ".join(broken), facts)
    return facts


FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_SYNC_MODULE_STATES": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
ZERO3 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
}
