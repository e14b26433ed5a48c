"""Chunks measured on an existing Ray cluster: one engine an actor, parts written by the driver.

Ray places the actors, carries chunks to them, and starts a lost one again wherever there is room.
What is ours is only which actor has which chunk. A lost actor's chunks go to those that live:
its place may be gone for good, and nothing may wait for it. What a chunk comes to depends on the
chunk alone, so the tables are those of a run on one machine.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private.services import get_ray_address_from_environment  # what 'auto' means
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    RayError,
    RayTaskError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from durian.config import ProfileConfig
from durian.errors import ConfigError, RunError, one_line
from durian.images.decode import size
from durian.measuring.decoding import decoded
from durian.measuring.measuring import (
    Measured,
    Models,
    kept,
    shown,
    signing,
    stages,
    start_stages,
    together,
)
from durian.readers.scan import DatasetIndex
from durian.readers.stand_ins import StandIn
from durian.rewards.custom import NAMED
from durian.rewards.graders import graders
from durian.run.progress import Progress, Silent, Stopwatch, timed
from durian.samples import Sample

HELD = 2  # chunks an actor has at a time: one at work, one being scored or already carried there
AHEAD = 2 * HELD  # chunks an actor's worth that may be begun past the first unfinished one
LOSSES = 3  # of actors, over one chunk, before the chunk is taken for their cause
REACH_SECONDS = 10.0  # for the head of a cluster to answer
PLACE_SECONDS = 600.0  # for Ray to give a first actor, or another once all are lost


# Bounds of one chunk: what an actor holds, and what is lost with it.
ENCODED_BYTES = 128 * 1024**2
DECODED_PIXELS = 256 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive samples of one part."""

    numbers: list[int] = field(default_factory=list)  # of its samples in the dataset index
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The resources that one actor asks of the cluster."""

    node: str  # id of the node it was planned for; another one will do
    cpus: int
    gpus: int = 0


class Worker:
    """One actor: decodes a chunk with its CPUs and measures it with an engine of its own."""

    def __init__(
        self,
        config: ProfileConfig,
        folder: str,
        threads: int,
        draws: bool = True,
    ) -> None:
        """Remember what to load; loading is left to the first chunk, so that it can fail.

        Args:
            folder: the driver's working folder, from which paths in `config` may be relative.
        """
        self._config, self._threads, self._draws = config, threads, draws
        self._models: Models | None = None
        self._drawing = threading.Lock()
        graders().limit(threads)  # the node's other cores are other actors'
        with suppress(OSError):  # not on this node: such a path is then reported by its name
            os.chdir(folder)

    def check(self, expected: str) -> str:
        """The address of this actor's node.

        Raises:
            ConfigError: its Durian is of another version than the driver's.
        """
        node: str = ray.util.get_node_ip_address()
        if (found := version("durian-rl")) != expected:
            raise ConfigError(
                f"node {node} of the Ray cluster has durian {found}, and this is durian "
                f"{expected}; install one version on all nodes"
            )
        return node

    def measure(
        self, chunk: Chunk, copies: Sequence[int], stand_ins: Sequence[StandIn] = ()
    ) -> Measured:
        """Measure a chunk that is not decoded; while it is scored, the next may be drawn."""
        watch = Stopwatch()
        with self._drawing:
            models = self._models = self._models or Models(
                self._config, Silent(), draws=self._draws, stand_ins=stand_ins
            )
            seen = decoded(
                chunk.samples,
                keep=kept(self._config, draws=self._draws),
                pixel_limit=self._config.pixel_limit,
                workers=self._threads,
                progress=Silent(),
                bounds=models.bounds,
                sign=signing(self._config),
            )
            begun = list(models.measure(timed(seen, "images", watch), copies, watch))
        return together(models.rows(begun, watch), watch)


@dataclass(eq=False, kw_only=True)
class _Task:
    """One chunk on its way; its samples are in Ray's object store, by the driver."""

    place: int  # in the order of the chunks
    numbers: Sequence[int]  # of its samples
    arguments: tuple[Any, Sequence[int], Any]  # the chunk by reference, its copies, stand-ins
    losses: int = 0


@dataclass(eq=False, kw_only=True)
class _Actor:
    """One actor as the driver sees it."""

    handle: Any
    node: str = ""  # where it was when last heard of
    present: bool = False  # it answered, and was not lost since
    held: int = 0  # chunks it has


def check_cluster(config: ProfileConfig) -> None:
    """Refuse a cluster that cannot be reached, or has no room for one engine.

    Raises:
        ConfigError: see above.
    """
    with _connected(config.ray_address):
        plan_actors(config, ray.nodes())


def measure_on_ray(
    config: ProfileConfig,
    samples: Iterable[Sample],
    parts: Sequence[tuple[int, Sequence[int]]],
    index: DatasetIndex,
    progress: Progress,
    *,
    draws: bool = True,
    done: int = 0,
) -> Generator[Measured, None, None]:
    """Measure as `measure_here` does, over a cluster; memory does not grow with the dataset.

    Raises:
        ConfigError: no cluster, or one that does not fit; or as `measure_here`, from an actor.
        RunError: the cluster is gone, a chunk loses every actor, or as `measure_here`.
    """
    with _connected(config.ray_address):
        asks = plan_actors(config, ray.nodes(), draws=draws)
        progress.note(f"measuring on Ray with {len(asks)} actor{'s' * (len(asks) > 1)}")
        start_stages(config, parts, progress, draws=draws, done=done)
        actors = [_start(config, ask, draws) for ask in asks]
        pool = _Pool(actors, stages(config, draws=draws), index, progress)
        try:
            keep = kept(config, draws=draws)
            measured = pool.measure(cut_chunks(samples, parts, keep=keep))
            for _, places in parts:
                yield together(_of_part(measured, len(places)), Stopwatch())
        except RayTaskError as error:  # what was raised in an actor, with Ray's own text around it
            raise error.cause from error
        except RayError as error:
            raise RunError(
                f"Ray stopped ({one_line(error)}); what is finished is kept, and the same "
                "command resumes it"
            ) from error
        finally:
            pool.end()


def cut_chunks(
    samples: Iterable[Sample], parts: Iterable[tuple[int, Sequence[int]]], *, keep: bool
) -> Iterator[Chunk]:
    """Cut samples into what an actor is given at a time; a chunk never spans two parts.

    Args:
        keep: whether the decoded images will be kept, which bounds a chunk's pixels.
    """
    stream = iter(samples)
    for _, numbers in parts:
        chunk, encoded, pixels = Chunk(), 0, 0
        for number in numbers:
            sample = next(stream)
            chunk.numbers.append(number)
            chunk.samples.append(sample)
            encoded += sum(map(len, sample.images))
            pixels += _pixels(sample) if keep else 0
            if encoded >= ENCODED_BYTES or pixels >= DECODED_PIXELS or number == numbers[-1]:
                yield chunk
                chunk, encoded, pixels = Chunk(), 0, 0


def _pixels(sample: Sample) -> int:
    sizes = [size(data) for data in sample.images]
    return sum(width * height for width, height in filter(None, sizes))


def _of_part(chunks: Iterator[Measured], samples: int) -> Iterator[Measured]:
    """The next chunks, until they hold so many samples."""
    while samples > 0:
        measured = next(chunks)
        samples -= len(measured.difficulty)
        yield measured


def plan_actors(
    config: ProfileConfig, nodes: Sequence[Mapping[str, Any]], *, draws: bool = True
) -> list[Ask]:
    """Plan as many actors as the cluster has room for, each with its share of a node.

    A policy or its encoder takes `tensor_parallel` GPUs and a like share of the node's CPUs, or,
    in a cluster without GPUs, all CPUs of a node. Images and scripts take one CPU an actor.

    Args:
        nodes: as `ray.nodes()` gives them.
    Raises:
        ConfigError: there is room for none.
    """
    each, asks = config.tensor_parallel, list[Ask]()
    weights = shown(config, draws=draws) and config.engine != "scripted"
    rooms = {
        node["NodeID"]: tuple(int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
        for node in nodes
        if node["Alive"]
    }
    most_gpus = max((gpus for _, gpus in rooms.values()), default=0)
    if weights and (most_gpus or each > 1):
        if most_gpus < each:
            raise ConfigError(
                f"tensor-parallel is {each}, and no node of the Ray cluster has more than "
                f"{most_gpus} GPUs; pass a smaller --tensor-parallel"
            )
        for node, (cpus, gpus) in rooms.items():
            count = gpus // each
            asks += [Ask(node=node, cpus=cpus // count, gpus=each) for _ in range(count)]
        return asks
    # Without GPUs an engine uses all cores by threads, so a node has one; images and scripts need
    # no engine, and as many actors as there are cores decode side by side.
    for node, (cpus, _) in rooms.items():
        count = min(cpus, 1) if weights else cpus
        asks += [Ask(node=node, cpus=cpus // count) for _ in range(count)]
    if not asks:
        raise ConfigError(
            "the Ray cluster has no CPU to work with; add a node to it, or start its head with "
            "--num-cpus"
        )
    return asks


class _Pool:
    """The actors, each with the chunks that it has now, and the chunks that wait for one."""

    def __init__(
        self, actors: list[_Actor], stages: list[str], index: DatasetIndex, progress: Progress
    ) -> None:
        self._actors, self._index, self._progress = actors, index, progress
        self._stages = stages
        self._waiting: dict[Any, tuple[_Actor, _Task | None]] = {}  # by what Ray will answer
        self._again = deque[_Task]()  # lost with an actor
        self._begun = False  # an actor was there
        # With each chunk, and not to each actor at its start: by then it may have been lost.
        self._stand_ins = ray.put(index.stand_ins)
        for actor in actors:
            self._greet(actor)

    def measure(self, chunks: Iterator[Chunk]) -> Iterator[Measured]:
        """The measured chunks, in order."""
        finished: dict[int, Measured] = {}
        taken, given = 0, 0
        coming: Chunk | None = next(chunks, None)
        while coming is not None or given < taken:
            # Chunks are given in order but finish in any, so those that overtake a slow one wait
            # here in memory. `AHEAD` bounds how many: past it the actors stand still rather than
            # let one slow chunk gather the whole dataset on the driver. Lost chunks go first, for
            # all others wait for them.
            while (actor := self._free()) is not None:
                if self._again:
                    self._give(actor, self._again.popleft())
                elif coming is not None and taken - given < AHEAD * len(self._actors):
                    self._give(actor, self._task(taken, coming))
                    taken, coming = taken + 1, next(chunks, None)
                else:
                    break
            for task, measured in self._answers():
                finished[task.place] = measured
                for stage in self._stages:
                    self._progress.advance(stage, len(task.numbers))
            while given in finished:
                yield finished.pop(given)
                given += 1

    def end(self) -> None:
        """Leave nothing of ours on the cluster."""
        for actor in self._actors:
            with suppress(RayError):  # the cluster is gone
                ray.kill(actor.handle)

    def _free(self) -> _Actor | None:
        free = [actor for actor in self._actors if actor.present and actor.held < HELD]
        return min(free, key=lambda actor: actor.held, default=None)

    def _task(self, place: int, chunk: Chunk) -> _Task:
        copies = [self._index.copies[number] for number in chunk.numbers]
        return _Task(
            place=place,
            numbers=chunk.numbers,
            # Put by the driver, which then owns it: the samples outlive the node of the actor
            # that had them.
            arguments=(ray.put(chunk), copies, self._stand_ins),
        )

    def _give(self, actor: _Actor, task: _Task) -> None:
        actor.held += 1
        self._waiting[actor.handle.measure.remote(*task.arguments)] = actor, task

    def _greet(self, actor: _Actor) -> None:
        # Asked again for as long as Ray takes to place the actor, or to start it anew.
        ask = actor.handle.check.options(max_task_retries=-1)
        self._waiting[ask.remote(version("durian-rl"))] = actor, None

    def _answers(self) -> Iterator[tuple[_Task, Measured]]:
        """Wait for the next actors that answer, and give their measured chunks."""
        # With an actor at work there is no limit: a chunk takes as long as it takes. With none, an
        # answer is waited for only so long, or a cluster whose nodes are all taken would hold the
        # command without a word.
        away = not any(actor.present for actor in self._actors)
        answered, _ = ray.wait(list(self._waiting), timeout=PLACE_SECONDS if away else None)
        if not answered:
            raise RunError(
                f"Ray gave no actor within {PLACE_SECONDS / 60:.0f} minutes: its nodes are busy or "
                "gone (see `ray status`); what is finished is kept, and the same command resumes it"
            )
        for reference in answered:
            actor, task = self._waiting.pop(reference)
            actor.held -= task is not None
            try:
                answer = ray.get(reference)
            except (ActorUnavailableError, ActorDiedError) as error:
                self._lost(actor, task, error)
            except ObjectLostError:  # measured, but lost with its node before it was fetched
                assert task is not None
                self._put_back(task)
            else:
                if task is not None:
                    yield task, answer
                else:
                    actor.node, actor.present, self._begun = answer, True, True

    def _lost(self, actor: _Actor, task: _Task | None, error: RayError) -> None:
        # Each chunk that an actor had fails by itself, so its loss is heard of several times. Only
        # the first marks it absent and greets it anew, which answers when Ray has started it again;
        # the others find it absent and just put their chunk back. A greeting that fails means that
        # Ray has given it up.
        if actor.present:
            actor.present = False
            self._progress.note(f"an actor on {actor.node} was lost; its samples are done again")
            self._greet(actor)
        elif task is None:  # it could not be started, here or anew: durian is not there, ...
            self._actors.remove(actor)
            if not self._actors and self._begun:
                raise error  # all were killed for good, by other hands
            if not self._actors:
                raise ConfigError(
                    f"no actor could be started on the Ray cluster ({one_line(error)}); install "
                    f"this Durian ({version('durian-rl')}) with the same extras on all nodes"
                ) from error
        if task is not None:
            self._put_back(task)

    def _put_back(self, task: _Task) -> None:
        # A chunk that kills its actor (an image that takes all memory) would kill one after
        # another, for as long as Ray starts new ones. One lost by bad luck is done elsewhere.
        task.losses += 1
        if task.losses > LOSSES:
            raise RunError(
                f"samples {task.numbers[0]} to {task.numbers[-1]} were lost {task.losses} "
                "times, each time with the actor that measured them: look for its end in Ray's "
                "logs (memory?); what is finished is kept, and the same command resumes it"
            )
        self._again.append(task)


def _start(config: ProfileConfig, ask: Ask, draws: bool) -> _Actor:
    # Affinity is soft and restarts have no end: where a node is lost for good, its actor moves to
    # any other that has room.
    actor = ray.remote(Worker).options(
        num_cpus=ask.cpus,
        num_gpus=ask.gpus,
        # A user's own reward is called in the actor's main thread: it may use signals.
        max_concurrency=HELD if draws and config.needs_rollouts and config.reward in NAMED else 1,
        max_restarts=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(ask.node, soft=True),
    )
    threads = config.workers or max(1, ask.cpus)
    return _Actor(handle=actor.remote(config, os.getcwd(), threads, draws))


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster, or the one that this process has already."""
    if ray.is_initialized():
        yield
        return
    address = address or "auto"
    try:
        found = _reachable(address)
        ray.init(address=found, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise ConfigError(
            f"ray-address '{address}': no Ray cluster can be used there ({one_line(error)}); "
            "start one with `ray start --head`, or pass --ray-address HOST:PORT of its head"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reachable(address: str) -> str:
    """HOST:PORT of a cluster's head, if something answers there."""
    if address == "auto":
        address = get_ray_address_from_environment(address, None)
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise ConfigError(f"ray-address is '{address}'; write auto, or HOST:PORT of its head")
    # Ray itself would try for minutes, and fill the terminal the while; and what it finds for
    # 'auto' may be left of a cluster that is gone.
    socket.create_connection((host, port), REACH_SECONDS).close()
    return address
