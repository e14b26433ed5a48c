"""vLLM, embedded: the engine for whole datasets."""

from __future__ import annotations

import gc
import os
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from itertools import count
from typing import Any

from durian.config import SamplingConfig
from durian.engines.adapter import changes_vision, vllm_rank
from durian.engines.agreement import Agreement
from durian.engines.base import Answer, Key, Request, Room
from durian.engines.chat import Chat, cannot_load, finite, load_chat
from durian.engines.faults import WAY_OUT
from durian.engines.preparing import (
    InProcesses,
    Unready,
    hush,
    loaded,
    refused,
)
from durian.engines.sampling_args import vllm_params
from durian.errors import ConfigError, RunError, one_line, way_out
from durian.samples import Failed, FinishReason, Rollout

# Set only where the user has not; vLLM and torch read them when they are imported.
DEFAULTS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # its scheduler in this process: repeatable batches
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",  # nothing of a profile leaves the machine
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # else C++ tells of NUMA binding on every CPU
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, on CPU only; vLLM would take most of the memory
}
CACHE_GB = 8  # on a GPU: of the images in hand, 24 bytes a pixel (`base.PIXELS`), each made once
PREPARERS = "renderer_num_workers"  # of the engine's arguments: processes that prepare prompts
PREPARING = 2  # of them on a GPU, where the cores suffice
_FINISH: dict[str | None, FinishReason] = {
    "stop": "stop", "length": "length", "repetition": "repetition"
}  # fmt: skip


class VLLMEngine:
    """Completions by `vllm.LLM`, log-probabilities before any sampling filter.

    `engine_args` are arguments of `vllm.LLM` and win over ours. With `repeatable` each rollout has
    a generator of its own, so that what else is in the batch turns a draw only where it turns a
    sum's last digits (VLLM_BATCH_INVARIANT=1 is vLLM's remedy for that on GPUs). Without it all
    share the workers' generators, which costs no kernel a request.
    """

    def __init__(self, config: SamplingConfig) -> None:
        """Load the policy.

        Raises:
            ConfigError: vLLM is not installed, or the model cannot be loaded.
        """
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        hush()
        self._chat = load_chat(config)
        try:
            with _without_warnings():
                from vllm import LLM, SamplingParams
                from vllm.exceptions import VLLMValidationError
                from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind
        except ImportError as error:
            raise ConfigError(
                f"engine vllm cannot be imported ({one_line(error)}); {way_out('vllm')}, or "
                "pass --engine transformers"
            ) from error
        # Before the policy is loaded: an argument that vLLM has not costs seconds then.
        self._sampled = vllm_params(
            SamplingParams,
            RepetitionDetectionParams,
            config.sampling_args or {},
            n=config.rollouts,
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_tokens,
            logprobs=0,  # of the sampled token alone
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._greedy = copy(self._sampled)
        self._greedy.n, self._greedy.temperature, self._greedy.top_p = 1, 0.0, 1.0
        self._adapter = _adapter(config)
        processes = preparing_processes(config)
        # They start while the policy is loaded.
        beside = InProcesses(processes) if processes else None
        try:
            with _without_warnings():
                self._llm: Any = LLM(**(arguments_of(config, self._chat) | given_to_vllm(config)))
        except BaseException as error:
            if beside is not None:
                beside.close()
            if not isinstance(error, Exception):
                raise
            raise cannot_load(config.model, error) from error  # loaders raise whatever comes
        self._preparer, how = loaded(beside, self._llm.llm_engine)
        self._agreement = Agreement(self._chat, "vLLM", WAY_OUT)
        self._refusals = (ValueError, TypeError, VLLMValidationError)
        self._repeatable = is_repeatable(config)
        self._slots: int = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        self._ids = count()
        self.told = f"vLLM decodes up to {self._slots} completions at a time (max_num_seqs){how}"

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """See `RolloutEngine.stream`."""
        # Up to twice the slots: where one completion ends another waits, whatever their lengths.
        # Completions are counted, not prompts: the longest of a prompt's may be its last by far.
        room, unfinished = Room(), self._llm.llm_engine.get_num_unfinished_requests
        begun = deque[Request]()  # being prepared
        asked: dict[str, Key] = {}  # the keys of requests that vLLM has, by its id

        def in_hand() -> int:
            count: int = unfinished() + sum(map(self._completions, begun))
            return count

        def has_room() -> bool:
            fits = in_hand() < 2 * self._slots and len(begun) < self._preparer.most
            return fits and room.free

        coming = iter(requests)
        request = next(coming, None)
        if request is not None and not self._repeatable:
            self._llm.collective_rpc(_seed_worker, args=(request.seed,))
        try:
            while request is not None or begun or asked:
                while request is not None and has_room():
                    failed = self._begin(request)
                    if failed is not None:
                        yield request.key, failed
                    else:
                        begun.append(request)
                        room.take(request)
                    request = next(coming, None)
                    if in_hand() >= self._slots:
                        break  # further prompts are pulled between steps, one at a time
                while begun and (not asked or self._preparer.ready()):
                    number, first = str(next(self._ids)), begun.popleft()
                    failed = self._add(number, first)
                    if failed is None:
                        asked[number] = first.key
                    else:
                        room.give(first.key)
                        yield first.key, failed
                    if unfinished() >= self._slots:
                        break
                for output in self._step() if asked else ():
                    if output.finished:
                        key = asked.pop(output.request_id)
                        room.give(key)
                        yield key, self._rollouts(output)
        finally:
            self._preparer.forget()
            self._llm.llm_engine.abort_request(list(asked))  # nothing stays queued

    def close(self) -> None:
        """Give back the memory of the policy."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self._preparer.close()
        # Not left to the collector: workers of a tensor-parallel policy are processes.
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        cleanup_dist_env_and_memory()

    def _completions(self, request: Request) -> int:
        return request.completions(int(self._sampled.n))

    def _begin(self, request: Request) -> Failed | None:
        """Begin to prepare a prompt; or say why it cannot be used."""
        if isinstance(request.prompt, Failed):
            return request.prompt
        text = self._chat.render(request.prompt)
        if isinstance(text, Failed):
            return text
        special = self._chat.adds_special_tokens(text)
        self._preparer.begin(Unready(text=text, images=request.prompt.images, special=special))
        return None

    def _add(self, number: str, request: Request) -> Failed | None:
        """Queue the first prompt that was begun; or say why it cannot be used."""
        params = self._greedy if request.greedy else self._sampled
        if not request.greedy:
            params = copy(params)
            params.n = self._completions(request)
            if self._repeatable:
                params.seed = request.seed  # vLLM counts on from it, a rollout at a time
        assert not isinstance(request.prompt, Failed)
        try:
            with _without_warnings(), _stops():
                ready = self._preparer.take()
                if isinstance(ready, Failed):
                    return ready
                self._agreement.check(request.prompt, ready["prompt_token_ids"])
                self._llm.llm_engine.add_request(number, ready, params, lora_request=self._adapter)
        except self._refusals as error:  # too long, ...
            return refused(error)
        return None

    def _step(self) -> list[Any]:
        with _stops():
            outputs: list[Any] = self._llm.llm_engine.step()
            return outputs

    def _rollouts(self, output: Any) -> list[Rollout] | Failed:
        length, opened = len(output.prompt_token_ids), self._chat.opens_thinking
        return finite([_rollout(one, length, opened=opened) for one in output.outputs])


def preparing_processes(config: SamplingConfig) -> int:
    """How many processes prepare prompts; 0: the engine's own does.

    `renderer_num_workers` among the engine's arguments says it, vLLM's word for its threads. On a
    CPU the policy itself has all cores.

    Raises:
        ConfigError: it is no number of processes.
    """
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        default = 0
    else:
        default = min(PREPARING, max(0, len(os.sched_getaffinity(0)) // 4))
    asked = config.engine_args.get(PREPARERS, default)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise ConfigError(f"engine-arg {PREPARERS} is {asked!r}; it must be 0 or a whole number")
    return asked


def given_to_vllm(config: SamplingConfig) -> dict[str, Any]:
    """The engine's arguments that are vLLM's; how many processes prepare is ours."""
    return {name: value for name, value in config.engine_args.items() if name != PREPARERS}


def is_repeatable(config: SamplingConfig) -> bool:
    """Whether draws are to depend on their seeds alone: as was asked, or else on CPUs only."""
    from vllm.platforms import current_platform

    return current_platform.is_cpu() if config.repeatable is None else config.repeatable


@contextmanager
def _stops() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # out of memory is one of torch's RuntimeErrors
        raise RunError(f"vLLM stopped: {one_line(error)}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    # vLLM's own use of torch and transformers is deprecated here and there: not the user's matter.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def arguments_of(config: SamplingConfig, chat: Chat) -> dict[str, Any]:
    """What `vllm.LLM` is given where `engine_args` says nothing else."""
    from vllm.platforms import current_platform

    arguments: dict[str, Any] = {
        "model": config.model,
        "trust_remote_code": config.trust_remote_code,
        "load_format": "safetensors",
        "tensor_parallel_size": config.tensor_parallel,
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",  # not the model's own top_k, penalties, ...
        "use_tqdm_on_load": False,
        "limit_mm_per_prompt": {"video": 0},  # no memory set aside for what no prompt holds
        "mm_processor_kwargs": {"size": chat.image_size} if chat.image_size else None,
    }
    if config.adapter is not None:
        arguments |= {
            "enable_lora": True,
            "max_lora_rank": vllm_rank(config.adapter),
            # Else vLLM leaves what an adapter changes of the encoder out, without a word.
            "enable_tower_connector_lora": changes_vision(config.adapter),
        }
    if current_platform.is_cpu():
        # A seeded prompt that is read in pieces dies on CPU: its generator has no offset.
        whole = {"enable_chunked_prefill": False} if is_repeatable(config) else {}
        return arguments | {"dtype": "float32", "enforce_eager": True} | whole
    return arguments | {
        "enable_prefix_caching": True,  # a sample's rollouts share its prompt, image included
        "mm_processor_cache_gb": CACHE_GB,
        # The encoder is small beside what its parts would say to each other.
        "mm_encoder_tp_mode": "data" if config.tensor_parallel > 1 else "weights",
    }


def _adapter(config: SamplingConfig) -> Any:
    """The adapter as vLLM takes it with each prompt; None of none."""
    if config.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, config.adapter)


def _seed_worker(worker: Any, seed: int) -> None:
    from vllm.utils.torch_utils import set_random_seed

    set_random_seed(seed)


def _rollout(output: Any, prompt_tokens: int, *, opened: bool) -> Rollout:
    return Rollout(
        completion=output.text,
        n_tokens=len(output.token_ids),
        sum_logprob=float(output.cumulative_logprob),
        finish_reason=_FINISH.get(output.finish_reason, "error"),
        prompt_tokens=prompt_tokens,
        opened=opened,
    )
