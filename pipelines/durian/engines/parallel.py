"""Several engines side by side on one machine, each a process with GPUs (or cores) of its own.

Processes of our own, since `vllm.LLM` refuses `data_parallel_size` above 1 in one process and
points to just this: one process a replica.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar

from durian.config import SamplingConfig
from durian.engines.base import Finished, RolloutEngine, nth_seed
from durian.errors import ConfigError, DurianError, RunError, one_line
from durian.samples import Failed, Prompt, Rollout

Opener = Callable[[SamplingConfig], RolloutEngine]  # defined in a module, so that it pickles
Thing = TypeVar("Thing")
CLOSE_SECONDS = 30.0  # to end by itself, before it is made to


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
    share: list[int] = field(default_factory=list)  # places of the prompts that it has now


class ParallelEngine:
    """`data_parallel` engines of one kind. Prompts are dealt out by turns, whoever is faster.

    So what a call draws depends on its prompts, its seed and the number of processes, never on
    their timing. Another number gives other draws of the same policy: each process has a seed of
    its own (two with one seed would draw alike), and other prompts share a batch. Greedy
    completions and scripted ones are the same for any number.
    """

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
            self._answers("ready", lambda count: None)
        except BaseException:
            self._end()
            raise

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int,
        finished: Finished,
        greedy: bool = False,
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`; after a failure or an interruption no process is left."""
        results: list[list[Rollout] | Failed] = [Failed("not drawn")] * len(prompts)
        try:
            for rank, worker in enumerate(self._workers):
                # Dealt by turns before anything is drawn, never handed to whoever is free: which
                # prompts share a batch decides what is drawn, so a faster process must not change
                # it. Each has a seed of its own, or neighbours would draw alike.
                worker.share = list(range(rank, len(prompts), len(self._workers)))
                how = {"seed": nth_seed(seed, rank), "greedy": greedy}
                self._send(worker, [prompts[i] for i in worker.share], how)
            drawn = self._answers("drawn", finished)
        except BaseException:
            self._end()
            raise
        for worker, its_results in zip(self._workers, drawn, strict=True):
            for place, rollouts in zip(worker.share, its_results, strict=True):
                results[place] = rollouts
        return results

    def close(self) -> None:
        """End the processes, and with them the policies' memory."""
        for worker in self._workers:
            # Asked before they are made to: an engine may have processes of its own to end first.
            with suppress(OSError):  # it may be gone
                worker.pipe.send(None)
        for worker in self._workers:
            worker.process.join(CLOSE_SECONDS)
        self._end()

    def _send(self, worker: Worker, prompts: list[Prompt], how: dict[str, Any]) -> None:
        try:
            for prompt in prompts:  # one by one: all their pixels in one message would double them
                worker.pipe.send(prompt)
            worker.pipe.send(how)
        except OSError as error:
            raise self._died(worker) from error

    def _answers(self, kind: str, finished: Finished) -> list[Any]:
        """Wait for one answer of a kind from each process, and give them in their order."""
        answers: dict[int, Any] = {}
        waiting = {worker.pipe: rank for rank, worker in enumerate(self._workers)}
        while waiting:
            # All pipes are watched at once, also while one answers: a process that dies (out of
            # memory, a signal) shows as the end of its pipe, and would otherwise be waited for
            # without end.
            for pipe in wait(list(waiting)):
                assert isinstance(pipe, Connection)
                worker = self._workers[waiting[pipe]]
                try:
                    told, content = pipe.recv()
                except (EOFError, OSError) as error:
                    raise self._died(worker) from error
                if told == "finished":
                    finished(content)
                elif told == "failed":
                    raise (
                        content
                        if isinstance(content, ConfigError)
                        else type(content)(f"{worker.name}: {content}")
                    )
                else:
                    assert told == kind
                    answers[waiting.pop(pipe)] = content
        return [answers[rank] for rank in range(len(self._workers))]

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
        prompts: list[Prompt] = []
        while (message := pipe.recv()) is not None:
            if isinstance(message, Prompt):
                prompts.append(message)
                continue
            drawn = engine.generate(
                prompts, finished=lambda count: pipe.send(("finished", count)), **message
            )
            pipe.send(("drawn", drawn))
            prompts = []
        engine.close()
    except Exception as error:  # engines raise whatever comes, and the parent must be told
        pipe.send(
            ("failed", error if isinstance(error, DurianError) else RunError(one_line(error)))
        )


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()  # killed, it could not tell us: no policy may stay in a GPU's memory
    os._exit(1)
