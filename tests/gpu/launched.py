"""`durian` in one process of a launch, watched, and, where it must be, with devices pretended.

Usage: torchrun ... -m tests.gpu.launched ORDER train ...

ORDER is JSON: `pretend` (null, "cpu" or "shared"), `kill_after` (a step, or null), `facts` (a file
that the first process writes). With "cpu" accelerate believes in GPUs and every tensor stays on
the CPU: its FSDP2 and ZeRO-3 engines run as they are, over gloo. With "shared" all processes use
the one GPU, over gloo: NCCL refuses two of them on one device.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from transformers import TrainerCallback
from trl import GRPOConfig

import durian.train
import durian.training.arguments
from durian.training.trainer import DurianTrainer
from durian_cli.app import main


class _AsOnGpus(GRPOConfig):
    """TRL's arguments without what Durian sets where there is no GPU."""

    def __init__(self, **given: Any) -> None:
        super().__init__(
            **{k: v for k, v in given.items() if k not in ("use_cpu", "ddp_backend", "bf16")},
            bf16=False,
        )


def pretend(kind: str) -> None:
    """Make accelerate take gloo for what it does on several GPUs."""

    def backend(*_: Any, **__: Any) -> tuple[str, DistributedType]:
        return "gloo", DistributedType.MULTI_GPU

    PartialState._prepare_backend = backend
    os.environ["ACCELERATE_BYPASS_DEVICE_MAP"] = "true"  # no device ids for DDP on a CPU
    if kind == "shared":
        os.environ["LOCAL_RANK"] = "0"  # or the second process asks for GPU number 1
    if kind == "cpu":
        PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
        durian.train.join_launch = lambda timeout: PartialState()
        durian.training.arguments.GRPOConfig = _AsOnGpus


class Watched(DurianTrainer):
    """Tells what the trainer was given and made, and dies where it is ordered to."""

    order: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        facts = {
            "device_map": {
                k: str(v) for k, v in getattr(given["model"], "hf_device_map", {}).items()
            }
        }
        super().__init__(**given)
        state = PartialState()
        facts |= {
            "backend": state.backend,
            "device": str(state.device),
            "distributed": str(self.accelerator.distributed_type),
            "processes": self.accelerator.num_processes,
            "batches": [],
        }
        self.facts = facts
        if (step := self.order.get("kill_after")) is not None:
            self.add_callback(_Killer(step))

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        out = super()._generate_and_score_completions(inputs)
        batch, mask = self._batch, out["completion_mask"]
        pixels = out.get("pixel_values")
        self.facts["batches"].append(
            {
                "samples": [x["sample_id"] for x in inputs],
                "tokens": mask.sum(dim=1).tolist(),
                "reasoning_group": batch.reasoning_group.tolist(),
                "pixels": None
                if pixels is None
                else [list(pixels.shape), str(pixels.dtype), pixels.device.type],
            }  # fmt: skip
        )
        return out

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        super().save_model(output_dir, _internal_call)
        if torch.cuda.is_available():
            self.facts["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if self.accelerator.is_main_process and self.order.get("facts"):
            Path(self.order["facts"]).write_text(json.dumps(self.facts))


class _Killer(TrainerCallback):
    """Ends the first process as a power cut would."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._step and state.is_world_process_zero:
            os.kill(os.getpid(), signal.SIGKILL)


def run(order: dict[str, Any]) -> None:
    """The command line in `sys.argv`, as ordered."""
    if (kind := order.get("pretend")) is not None:
        pretend(kind)
    Watched.order = order
    durian.train.DurianTrainer = Watched
    main()


if __name__ == "__main__":
    run(json.loads(sys.argv.pop(1)))
