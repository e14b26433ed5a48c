"""vLLM, embedded: the engine for whole datasets."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from durian.config import SamplingConfig
from durian.engines.agreement import Agreement
from durian.engines.base import Finished
from durian.engines.chat import Chat, cannot_load, finite, load_chat
from durian.engines.faults import WAY_OUT
from durian.errors import ConfigError, RunError, one_line, way_out
from durian.samples import Failed, FinishReason, Prompt, Rollout

# Set only where the user has not; vLLM and torch read them when they are imported.
DEFAULTS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # its scheduler in this process: repeatable batches
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",  # nothing of a profile leaves the machine
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # else C++ tells of NUMA binding on every CPU
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB, on CPU only; vLLM would take most of the memory
}
# What these loggers warn of at import (no Triton, no CUDA on a CPU) is no news to the user.
CHATTER = ("torch.utils.cpp_extension", "vllm.triton_utils.importing", "transformers")
_FINISH: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class VLLMEngine:
    """Completions by `vllm.LLM`, log-probabilities before any sampling filter.

    `engine_args` are arguments of `vllm.LLM` and win over ours. What a call draws depends on its
    prompts and seed alone, not on the calls before: each call seeds every worker and empties the
    caches. That was tried on CPU. On GPUs it rests on the same two steps; there kernels whose
    result depends on the batch, or another amount of free memory, which bounds the batch, can
    still turn a draw between two runs (VLLM_BATCH_INVARIANT=1 is vLLM's remedy for the first).
    """

    def __init__(self, config: SamplingConfig) -> None:
        """Load the policy.

        Raises:
            ConfigError: vLLM is not installed, or the model cannot be loaded.
        """
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        for name in CHATTER:
            logging.getLogger(name).setLevel(logging.ERROR)
        self._chat = load_chat(config)
        try:
            with _without_warnings():
                from vllm import LLM, SamplingParams
                from vllm.exceptions import VLLMValidationError
        except ImportError as error:
            raise ConfigError(
                f"engine vllm cannot be imported ({one_line(error)}); {way_out('vllm')}, or "
                "pass --engine transformers"
            ) from error
        try:
            with _without_warnings():
                self._llm: Any = LLM(**(_arguments(config, self._chat) | config.engine_args))
        except Exception as error:  # loaders raise whatever comes
            raise cannot_load(config.model, error) from error
        self._agreement = Agreement(self._chat, "vLLM", WAY_OUT)
        self._refusals = (ValueError, TypeError, VLLMValidationError)
        # No seed: on CPU a request's seed with n > 1 is refused, elsewhere it costs a kernel each.
        self._sampled = SamplingParams(
            n=config.rollouts,
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_tokens,
            logprobs=0,  # of the sampled token alone
        )
        self._greedy = SamplingParams(temperature=0.0, max_tokens=config.max_tokens, logprobs=0)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int,
        finished: Finished,
        greedy: bool = False,
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`."""
        self._start_afresh(seed)
        params = self._greedy if greedy else self._sampled
        results: list[list[Rollout] | Failed] = [Failed("not drawn")] * len(prompts)
        taken: list[int] = []  # places of the prompts that vLLM took
        requests: list[str] = []
        try:
            # One by one: handed over together, one prompt that vLLM refuses would raise for all of
            # them.
            for place, prompt in enumerate(prompts):
                request = self._enqueue(prompt, params)
                if isinstance(request, Failed):
                    results[place] = request
                    finished(1)
                else:
                    taken.append(place)
                    requests += request
            for place, output in zip(taken, self._finish(finished), strict=True):
                self._agreement.check(prompts[place], output.prompt_token_ids)
                prompt_tokens = len(output.prompt_token_ids)
                opened = self._chat.opens_thinking
                results[place] = finite(
                    [_rollout(o, prompt_tokens, opened=opened) for o in output.outputs]
                )
        except (
            RuntimeError,
            MemoryError,
        ) as error:  # out of memory is one of torch's RuntimeErrors
            raise RunError(f"vLLM stopped: {one_line(error)}") from error
        except BaseException:
            self._llm.llm_engine.abort_request(requests, internal=True)  # nothing stays queued
            raise
        return results

    def close(self) -> None:
        """Give back the memory of the policy."""
        from vllm.distributed import cleanup_dist_env_and_memory

        # Not left to the collector: workers of a tensor-parallel policy are processes.
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        cleanup_dist_env_and_memory()

    def _start_afresh(self, seed: int) -> None:
        # In every worker, in this process or, with tensor parallelism, in its own.
        self._llm.collective_rpc(_seed_worker, args=(seed,))
        # What earlier calls left in a cache changes which prompts share a batch, and so the draws.
        self._llm.reset_prefix_cache()
        self._llm.llm_engine.reset_mm_cache()
        self._llm.llm_engine.reset_encoder_cache()

    def _enqueue(self, prompt: Prompt, params: Any) -> list[str] | Failed:
        text = self._chat.render(prompt)
        if isinstance(text, Failed):
            return text
        request: dict[str, Any] = {"prompt": text}
        if prompt.images:
            request["multi_modal_data"] = {"image": list(prompt.images)}
        try:
            with _without_warnings():
                ids: list[str] = self._llm.enqueue(
                    [request],
                    params,
                    use_tqdm=False,
                    tokenization_kwargs={
                        "add_special_tokens": self._chat.adds_special_tokens(text)
                    },
                )
        except self._refusals as error:  # too long, an image too thin, ...
            return Failed(f"prompt refused: {one_line(_first_cause(error))}")
        return ids

    def _finish(self, finished: Finished) -> list[Any]:
        """The finished requests, in the order in which they were enqueued."""
        # Requests finish in any order, since vLLM fills a batch as room becomes free; the ids rise
        # in the order in which they were enqueued.
        engine, outputs = self._llm.llm_engine, []
        while engine.has_unfinished_requests():
            done = [output for output in engine.step() if output.finished]
            outputs += done
            if done:
                finished(len(done))
        return sorted(outputs, key=lambda output: int(output.request_id))


@contextmanager
def _without_warnings() -> Iterator[None]:
    # vLLM's own use of torch and transformers is deprecated here and there: not the user's matter.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _arguments(config: SamplingConfig, chat: Chat) -> dict[str, Any]:
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
    if current_platform.is_cpu():
        arguments |= {"dtype": "float32", "enforce_eager": True}
    return arguments


def _seed_worker(worker: Any, seed: int) -> None:
    from vllm.utils.torch_utils import set_random_seed

    set_random_seed(seed)


def _first_cause(error: BaseException) -> BaseException:
    # What vLLM wraps around a processor's error holds the address of an image: of no use to a
    # reader, and another one each time.
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _rollout(output: Any, prompt_tokens: int, *, opened: bool) -> Rollout:
    return Rollout(
        completion=output.text,
        n_tokens=len(output.token_ids),
        sum_logprob=float(output.cumulative_logprob),
        finish_reason=_FINISH.get(output.finish_reason, "error"),
        prompt_tokens=prompt_tokens,
        opened=opened,
    )
