"""Several engines side by side on one machine, each a process with GPUs (or cores) of its own.

Processes of our own, since `vllm.LLM` refuses `data_parallel_size` above 1 in one process and
points to just this: one process a replica.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from durian.config import SamplingConfig
from durian.engines.base import Answer, Request, RolloutEngine
from durian.errors import ConfigError, DurianError, RunError, one_line

Opener = Callable[[SamplingConfig], RolloutEngine]  # defined in a module, so that it pickles
Thing = TypeVar("Thing")
CLOSE_SECONDS = 30.0  # to end by itself, before it is made to
BEGIN = "begin"  # a stream; anything else ends the process


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the machine that one engine has."""

    name: str
    gpus: str | None = None  # for CUDA_VISIBLE_DEVICES
    cores: tuple[int, ...] = ()


@dataclass(kw_only=True)
class Worker:
    """One engine process, seen from here."""

    name: str
    process: BaseProcess
    pipe: Connection


class ParallelEngine:
    """`data_parallel` engines of one kind; each pulls the next request when it has room.

    So none waits for the slowest. Which process draws a request hangs on their timing: it changes
    nothing that is greedy, scripted or `repeatable`, and turns the draws of the others.
    """

    told = ""

    def __init__(self, config: SamplingConfig, open_engine: Opener) -> None:
        """Start the processes; all load the policy at once.

        Args:
            open_engine: loads the one engine of a process, in that process.
        Raises:
            ConfigError: too few GPUs or cores, or the policy cannot be loaded.
            RunError: a process died before it was ready.
        """
        self._workers: list[Worker] = []
        spawn = get_context("spawn")  # forked, a process could not use CUDA
        alone = replace(config, data_parallel=1)
        shares = machine_shares(config.data_parallel, config.tensor_parallel)
        try:
            for number, share in enumerate(shares, start=1):
                here, there = spawn.Pipe()
                # No daemon: a tensor-parallel engine has child processes.
                process = spawn.Process(
                    target=serve, args=(there, alone, share, open_engine), daemon=False
                )
                process.start()
                there.close()  # else its death would not show as the pipe's end
                name = f"engine process {number} of {config.data_parallel} ({share.name})"
                self._workers.append(Worker(name=name, process=process, pipe=here))
            for worker in self._workers:
                assert self._told(worker)[0] == "ready"
        except BaseException:
            self._end()
            raise

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """See `RolloutEngine.stream`; after a failure, or ended early, no process is left."""
        coming = iter(requests)
        try:
            for worker in self._workers:
                self._send(worker, BEGIN)
            working = {worker.pipe: worker for worker in self._workers}
            while working:
                # All pipes are watched at once: a process that dies (out of memory, a signal) shows
                # as the end of its pipe, and would otherwise be waited for without end.
                for pipe in wait(list(working)):
                    assert isinstance(pipe, Connection)
                    told, content = self._told(worker := working[pipe])
                    if told == "room":
                        self._send(worker, next(coming, None))
                    elif told == "answer":
                        yield content
                    else:
                        assert told == "ended"
                        del working[pipe]
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """End the processes, and with them the policies' memory."""
        for worker in self._workers:
            # Asked before they are made to: an engine may have processes of its own to end first.
            with suppress(OSError):  # it may be gone
                worker.pipe.send(None)
        for worker in self._workers:
            worker.process.join(CLOSE_SECONDS)
        self._end()

    def _send(self, worker: Worker, message: Any) -> None:
        try:
            worker.pipe.send(message)
        except OSError as error:
            raise self._died(worker) from error

    def _told(self, worker: Worker) -> tuple[str, Any]:
        """Wait for what a process tells; its failure is raised here."""
        try:
            told, content = worker.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died(worker) from error
        if told != "failed":
            return told, content
        if isinstance(content, ConfigError):
            raise content
        raise type(content)(f"{worker.name}: {content}")

    def _died(self, worker: Worker) -> RunError:
        worker.process.join(CLOSE_SECONDS)
        code = worker.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return RunError(
            f"{worker.name} died ({how}); what is finished is kept, and the same command resumes it"
        )

    def _end(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(CLOSE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers = []


def machine_shares(count: int, gpus_each: int) -> list[Share]:
    """Divide this machine into equal parts: the GPUs that are visible, or else the cores.

    Raises:
        ConfigError: there are too few.
    """
    import torch

    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
        return [
            Share(name=f"GPU {','.join(part)}", gpus=",".join(part))
            for part in split(names, count, gpus_each, "GPUs")
        ]
    if not hasattr(os, "sched_getaffinity"):  # macOS binds no process to a core
        return [Share(name="CPU")] * count
    cores = sorted(os.sched_getaffinity(0))
    return [
        Share(name=f"cores {','.join(map(str, part))}", cores=tuple(part))
        for part in split(cores, count, max(1, len(cores) // count), "cores")
    ]


def split(things: list[Thing], count: int, each: int, noun: str) -> list[list[Thing]]:
    """`count` runs of `each` things, in order; what is over is left.

    Raises:
        ConfigError: there are fewer than that.
    """
    if count * each > len(things):
        raise ConfigError(
            f"data-parallel is {count} with {each} {noun} each, and this machine has "
            f"{len(things)} {noun}; pass a smaller --data-parallel"
        )
    return [things[i * each : (i + 1) * each] for i in range(count)]


def serve(pipe: Connection, config: SamplingConfig, share: Share, open_engine: Opener) -> None:
    """The life of one process: load, say so, then draw until told to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    Thread(target=_end_with_parent, daemon=True).start()
    # Before the engine is imported: CUDA and OpenMP look at these once, when they are loaded.
    if share.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.gpus
    if share.cores:
        os.sched_setaffinity(0, share.cores)
        os.environ["OMP_NUM_THREADS"] = str(len(share.cores))
    try:
        engine = open_engine(config)
        pipe.send(("ready", None))
        while pipe.recv() == BEGIN:
            for answer in engine.stream(_pulled(pipe)):
                pipe.send(("answer", answer))
            pipe.send(("ended", None))
        engine.close()
    except Exception as error:  # engines raise whatever comes, and the parent must be told
        pipe.send(
            ("failed", error if isinstance(error, DurianError) else RunError(one_line(error)))
        )


def _pulled(pipe: Connection) -> Iterator[Request]:
    """Ask for one request after another, each when the engine has room for it."""
    # Nothing is sent unasked: both ends would wait for the other to read, once the pipe is full.
    while True:
        pipe.send(("room", None))
        request: Request | None = pipe.recv()
        if request is None:
            return
        yield request


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()  # killed, it could not tell us: no policy may stay in a GPU's memory
    os._exit(1)
