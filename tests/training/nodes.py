"""`durian train` on machines that are pretended: torchrun's own agents, two processes each.

`main` takes an order as JSON: `argv` of the command, `keep` (a folder) and `kill_after` (a step, or
null). It prints the exit codes of the two agents. The processes are forked from one that has
imported all: four fresh ones would import for more than a minute.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, get_args_parser
from transformers import TrainerCallback

import durian.train
import durian.training.trainer
from durian_cli.app import main as durian_command

NODES, EACH = 2, 2


class Kept(durian.training.trainer.DurianTrainer):
    """Keeps what its process learns from, and ends its machine where that is ordered."""

    order: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if (step := self.order["kill_after"]) is not None and os.environ["GROUP_RANK"] == "1":
            self.add_callback(PowerCut(step))

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        out: dict[str, Any] = super()._generate_and_score_completions(inputs)
        rows = zip((x["sample_id"] for x in inputs), out["advantages"].tolist(), strict=True)
        keep(self.order, "advantages", list(rows))
        return out


class PowerCut(TrainerCallback):  # type: ignore[misc]
    """Ends a machine: its agent and all of its processes."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._step:
            os.killpg(0, signal.SIGKILL)


def keep(order: dict[str, Any], what: str, value: Any) -> None:
    """Add a line to a file of this process."""
    with (Path(order["keep"]) / f"{what}-{os.environ['RANK']}.jsonl").open("a") as file:
        file.write(json.dumps(value) + "\n")


def worker(order: dict[str, Any]) -> None:
    """One process of the launch; its variables are torchrun's."""
    Kept.order = order
    durian.train.DurianTrainer = Kept  # type: ignore[misc]
    prepare = durian.train.prepare_samples

    def prepared(*given: Any) -> None:
        keep(order, "prepared", True)
        prepare(*given)

    durian.train.prepare_samples = prepared
    torch.set_num_threads(1)
    sys.argv = ["durian", *order["argv"]]
    try:
        durian_command()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"durian ended with {ended.code}") from ended


def agent(order: dict[str, Any], port: int) -> int:
    """As `torchrun --nnodes 2 --nproc_per_node 2`, but its processes are forked."""
    asked = ["--nnodes", f"{NODES}", "--nproc_per_node", f"{EACH}", "--rdzv_backend", "c10d",
             "--rdzv_endpoint", f"127.0.0.1:{port}", "--local_addr", "127.0.0.1",
             "--rdzv_id", f"{port}", "script"]  # fmt: skip
    config, _, _ = config_from_args(get_args_parser().parse_args(asked))
    config.start_method = "fork"
    try:
        elastic_launch(config, worker)(order)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def launch(order: dict[str, Any]) -> list[int]:
    """The exit codes of the machines' agents, in their order."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = int(door.getsockname()[1])
    agents = []
    for _ in range(NODES):
        if (child := os.fork()) == 0:
            os.setsid()
            os._exit(agent(order, port))
        agents.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in agents]


def main(argv: list[str]) -> int:
    """Run one order."""
    print(json.dumps(launch(json.loads(argv[0]))), flush=True)
    return 0
