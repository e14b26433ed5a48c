"""Prompts made ready for vLLM: in the engine's own process, or in processes beside its scheduler.

Making an image into what a policy reads takes tens of milliseconds and holds the interpreter's lock
for much of them, so that threads would only slow the scheduler down (vllm#58266). A process is
given a prompt's text and images, and gives back what `LLMEngine.add_request` takes.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
import pickle
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any, Protocol

from durian.errors import RunError, one_line
from durian.processes import Beside
from durian.samples import Failed

# What these loggers warn of at import (no Triton, no CUDA on a CPU) is no news to the user.
CHATTER = ("torch.utils.cpp_extension", "vllm.triton_utils.importing", "transformers")
CONFIG_BYTES = 64 * 1024**2
ALIGNED = 64  # bytes: where each tensor begins in the memory that is handed over
CACHE_GB = 1  # of images, in each process: samples that follow one another may show the same


@dataclass(frozen=True, kw_only=True)
class Unready:
    """A prompt to prepare: its text as the template renders it, and its images."""

    text: str
    images: Sequence[Any]
    special: bool  # the tokenizer adds its special tokens


class Preparer(Protocol):
    """Prepares prompts one after another, and gives them back in that order."""

    most: int  # prompts that may be begun at a time

    def begin(self, prompt: Unready) -> None:
        """Take one more prompt; do not wait for it."""

    def ready(self) -> bool:
        """Whether the first of those that were begun would be given without waiting."""

    def take(self) -> Any:
        """Give the first of those that were begun, and forget it.

        Returns:
            What `LLMEngine.add_request` takes, or `Failed`: the prompt cannot be used.
        Raises:
            RunError: nothing can be prepared any more.
        """

    def forget(self) -> None:
        """Give up all that were begun."""

    def close(self) -> None:
        """End what was started."""


class Here:
    """Prepares in the engine's own process, each prompt when it is taken."""

    most = sys.maxsize  # nothing is held for them but what they hold

    def __init__(self, renderer: Any) -> None:
        """Prepare by vLLM's `renderer`."""
        self._renderer = renderer
        self._begun = deque[Unready]()

    def begin(self, prompt: Unready) -> None:
        """See `Preparer.begin`."""
        self._begun.append(prompt)

    def ready(self) -> bool:
        """See `Preparer.ready`."""
        return bool(self._begun)

    def take(self) -> Any:
        """See `Preparer.take`."""
        return prepared(self._renderer, self._begun.popleft())

    def forget(self) -> None:
        """See `Preparer.forget`."""
        self._begun.clear()

    def close(self) -> None:
        """See `Preparer.close`."""


class InProcesses:
    """Prepares in processes beside this one, each prompt in that which has the fewest in hand."""

    def __init__(self, processes: int) -> None:
        """Start them: they import vLLM while the engine loads the policy."""
        self.processes = processes
        self._workers = [
            _Worker(Beside(f"{__name__}:serve", f"process {n} of {processes} for prompts", cores=1))
            for n in range(1, processes + 1)
        ]
        # So many that none runs out of them during a step of the engine, and no more: each is an
        # open file on its way.
        self.most = 8 * processes
        self._begun = deque[_Worker]()  # of each prompt that was begun
        self._shown: Sequence[Any] = ()  # the images of the last
        self._next: _Worker | None = None  # which had it

    def load(self, vllm_config: Any) -> None:
        """Let each process build the renderer of this vLLM config.

        Raises:
            RunError: one of them cannot.
        """
        # Without the loaded layers, that is all weights and the whole cache of keys and values.
        config, compiled = copy(vllm_config), copy(vllm_config.compilation_config)
        compiled.static_forward_context = {}
        config.compilation_config = compiled
        pickled = bytes(ForkingPickler.dumps(config))  # it knows a model's own config classes
        assert len(pickled) < CONFIG_BYTES, "vLLM's config holds more than it did"
        for worker in self._workers:
            worker.send(pickled)
        for worker in self._workers:
            worker.receive()

    def begin(self, prompt: Unready) -> None:
        """See `Preparer.begin`."""
        # The same images again, as of a greedy and of sampled completions, are made once: by the
        # process that has them.
        if self._next is None or not prompt.images or prompt.images is not self._shown:
            self._next = min(self._workers, key=lambda one: one.in_hand)
        self._shown = prompt.images
        self._next.send(prompt)
        self._begun.append(self._next)

    def ready(self) -> bool:
        """See `Preparer.ready`."""
        return bool(self._begun) and self._begun[0].process.pipe.poll()

    def take(self) -> Any:
        """See `Preparer.take`."""
        return self._begun.popleft().receive()

    def forget(self) -> None:
        """See `Preparer.forget`."""
        with suppress(RunError):  # of a process that died: whoever needs it next is told
            while self._begun:
                self.take()

    def close(self) -> None:
        """See `Preparer.close`."""
        for worker in self._workers:
            worker.process.close()
        self._workers = []


def loaded(beside: InProcesses | None, engine: Any) -> tuple[Preparer, str]:
    """The processes, ready for this `LLMEngine`, or its own where they cannot do its work.

    Returns:
        Beside it what to tell of that, after a full line; "" where nothing was started.
    """
    if beside is None:
        return Here(engine.renderer), ""
    try:
        beside.load(engine.vllm_config)
    except Exception as error:  # of a model's own config or processor, whatever comes
        beside.close()
        why = one_line(error)
        return Here(engine.renderer), f"; its own process prepares the prompts ({why})"
    return beside, f"; {beside.processes} processes prepare the prompts"


@dataclass
class _Worker:
    """One process, seen from the engine's."""

    process: Beside
    in_hand: int = 0

    def send(self, thing: Any) -> None:
        try:
            hand_over(self.process.pipe, thing)
        except OSError as error:
            raise self.process.died() from error
        self.in_hand += 1

    def receive(self) -> Any:
        """Wait for what it gives; its failure is raised here."""
        try:
            given = handed(self.process.pipe)
        except (EOFError, OSError) as error:
            raise self.process.died() from error
        self.in_hand -= 1
        if isinstance(given, RunError):
            raise given
        return given


def prepared(renderer: Any, prompt: Unready, *, own_cache: bool = False) -> Any:
    """The prompt as vLLM's own processor prepares it: tokens, and the pixels as tensors.

    Args:
        own_cache: images that were made before come from the renderer's memory, whole; else only
            their names do, and the engine's memory has them.
    Returns:
        What `LLMEngine.add_request` takes, or `Failed`: the processor refuses the prompt.
    Raises:
        RunError: the processor stopped.
    """
    from vllm.exceptions import VLLMValidationError
    from vllm.renderers.inputs.preprocess import parse_model_prompt

    given: dict[str, Any] = {"prompt": prompt.text}
    if prompt.images:
        given["multi_modal_data"] = {"image": list(prompt.images)}
    tokens = renderer.default_cmpl_tok_params.with_kwargs(add_special_tokens=prompt.special)
    try:
        parsed = parse_model_prompt(renderer.model_config, given)
        (rendered,) = renderer.render_cmpl([parsed], tokens, skip_mm_cache=own_cache)
    except (ValueError, TypeError, VLLMValidationError) as error:  # too long, too thin, ...
        return refused(error)
    except (RuntimeError, MemoryError) as error:
        raise RunError(f"vLLM stopped: {one_line(error)}") from error
    return rendered


def refused(error: BaseException) -> Failed:
    """The reason of a prompt that vLLM does not take."""
    # What vLLM wraps around a processor's error holds the address of an image: of no use to a
    # reader, and another one each time.
    while error.__cause__ is not None:
        error = error.__cause__
    return Failed(f"prompt refused: {one_line(error)}")


def hush() -> None:
    """Leave out what libraries warn of when vLLM is imported."""
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.ERROR)


def serve(pipe: Connection) -> None:
    """The life of one process: build the renderer, then prepare until the pipe ends."""
    warnings.simplefilter("ignore")  # of vLLM's own use of torch and transformers
    hush()
    try:
        renderer = _renderer(pickle.loads(handed(pipe)))
    except EOFError:
        raise
    except Exception as error:  # whatever comes
        hand_over(pipe, RunError(f"prompts cannot be prepared beside vLLM: {one_line(error)}"))
        return
    hand_over(pipe, None)
    while True:
        prompt = handed(pipe)
        try:
            hand_over(pipe, prepared(renderer, prompt, own_cache=True))
        except RunError as error:
            hand_over(pipe, error)


def _renderer(vllm_config: Any) -> Any:
    from vllm.renderers import renderer_from_config

    multimodal = vllm_config.model_config.multimodal_config
    multimodal.mm_processor_cache_gb = min(CACHE_GB, multimodal.mm_processor_cache_gb)
    return renderer_from_config(vllm_config)


def hand_over(pipe: Connection, thing: Any) -> None:
    """Give a thing to the process at the pipe's other end, tensors and images by shared memory.

    The memory has no name: it is gone with the last process that holds it, however that ends, and
    /dev/shm, which is small in many containers, need not hold it.
    """
    buffers = list[pickle.PickleBuffer]()
    file = io.BytesIO()
    _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(thing)
    parts = [file.getbuffer(), *(buffer.raw() for buffer in buffers)]
    memory = os.memfd_create("durian")
    try:
        os.ftruncate(memory, sum(map(_room, map(len, parts))))
        with mmap.mmap(memory, 0) as mapped:
            begin = 0
            for part in parts:
                mapped[begin : begin + len(part)] = part
                begin += _room(len(part))
        pipe.send([len(part) for part in parts])
        send_handle(pipe, memory, None)
    finally:
        os.close(memory)


def handed(pipe: Connection) -> Any:
    """Take what `hand_over` gives; its tensors stay where they are, and are this process's own."""
    import torch

    sizes: list[int] = pipe.recv()
    memory = recv_handle(pipe)
    try:
        # Mapped by torch, since Python's mmap would keep a file open for each prompt in hand.
        whole = torch.from_file(
            f"/proc/self/fd/{memory}",
            shared=False,
            size=sum(map(_room, sizes)),
            dtype=torch.uint8,
        )
    finally:
        os.close(memory)
    parts, begin = list[Any](), 0
    for size in sizes:
        parts.append(whole[begin : begin + size].numpy())
        begin += _room(size)
    return pickle.loads(parts[0], buffers=parts[1:])


def _room(size: int) -> int:
    return max(1, -(-size // ALIGNED)) * ALIGNED


class _Pickler(pickle.Pickler):
    """Puts what tensors and images hold beside the pickle, not into it."""

    def reducer_override(self, thing: Any) -> Any:
        import torch
        from PIL import Image

        if isinstance(thing, torch.Tensor):
            held: Any = thing.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
            return _tensor, (pickle.PickleBuffer(held), thing.dtype, tuple(thing.shape))
        if isinstance(thing, Image.Image):
            return _image, (thing.mode, thing.size, pickle.PickleBuffer(thing.tobytes()))
        return NotImplemented


def _tensor(held: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    import torch

    if not len(held):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(held, dtype=dtype).view(shape)


def _image(mode: str, size: tuple[int, int], held: Any) -> Any:
    from PIL import Image

    return Image.frombuffer(mode, size, held, "raw", mode, 0, 1)
