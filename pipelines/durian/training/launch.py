"""The processes of one launch (torchrun, accelerate): how many, which one, who waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

DDP_TIMEOUT = 1800  # seconds; GRPOConfig's own default


def launched_processes() -> int:
    """Number of processes of this launch; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_rank() -> int:
    """Rank of this process in the launch, from 0."""
    return int(os.environ.get("RANK", "0"))


def under_launcher() -> bool:
    """Whether a launcher started this process: then the trainer places the model, on its device."""
    return "LOCAL_RANK" in os.environ


def join_launch(timeout: float) -> None:
    """Join the process group.

    Args:
        timeout: seconds after which a process that waits for another gives up.
    """
    if launched_processes() == 1:
        return
    import torch
    from accelerate import PartialState

    given = {"timeout": timedelta(seconds=timeout)}
    if torch.cuda.is_available():
        PartialState(**given)
    else:
        PartialState(cpu=True, backend="gloo", **given)


@contextmanager
def first_prepares() -> Iterator[None]:
    """Let the first process do what is inside while the others wait for it, however long.

    They ask the launch's store now and then: a collective would give up after its timeout, and
    the rows of a large dataset take longer to read, its images to look at. The launch has been
    joined by then: only so is there a store under every launcher.
    """
    if launched_processes() == 1:
        yield
        return
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(*where, is_master=False)
    prepared = f"durian/prepared/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    if process_rank() == 0:
        yield
        store.set(prepared, "yes")
    else:
        while not store.check([prepared]):
            time.sleep(0.2)
        yield
