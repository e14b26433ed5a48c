"""The processes of one launch (torchrun, accelerate): how many, which one, and waiting for all."""

from __future__ import annotations

import os


def launched_processes() -> int:
    """How many processes this launch has; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_rank() -> int:
    """Which process of the launch this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def join_launch() -> None:
    """Join the process group, and wait until every process has."""
    if launched_processes() == 1:
        return
    import torch
    from accelerate import PartialState

    if torch.cuda.is_available():
        state = PartialState()
    else:
        state = PartialState(cpu=True, backend="gloo")
    state.wait_for_everyone()
