"""vLLM, embedded: the engine for whole datasets."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

from pipelines.config import SamplingConfig
from pipelines.engines.chat import check_model_exists, load_chat, one_line, size_override
from pipelines.engines.protocol import Finished
from pipelines.errors import ConfigError, RunError
from pipelines.samples import Failed, FinishReason, Prompt, Rollout

# Most images of one prompt that memory is set aside for, and no video; `engine_args` overrides.
MODALITIES = {"image": 8, "video": 0}
_FINISH: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class VLLMEngine:
    """Completions by `vllm.LLM` in this process, log-probabilities before any sampling filter.

    Repeatable on one machine: with the engine in this process (tensor_parallel 1) its sampler
    draws from torch's global generator, which each call seeds. With several GPUs the workers
    keep the seed they started with, and a resumed run draws other completions.
    """

    def __init__(self, config: SamplingConfig) -> None:
        check_model_exists(config)
        # Before vLLM is imported: it reads these once. In this process, so that seeds reach it.
        if config.tensor_parallel == 1:
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; on CPU only
        try:
            from vllm import LLM, SamplingParams
            from vllm.platforms import current_platform
        except ImportError as error:
            raise ConfigError(
                f"engine vllm cannot be imported ({one_line(error)}); install durian[vllm], or "
                "pass --engine transformers"
            ) from error
        self._chat = load_chat(config)
        on_cpu = {"dtype": "float32", "enforce_eager": True} if current_platform.is_cpu() else {}
        sizes = {"mm_processor_kwargs": size_override(config)} if size_override(config) else {}
        settings: dict[str, Any] = {
            "model": config.model,
            "tensor_parallel_size": config.tensor_parallel,
            "trust_remote_code": config.trust_remote_code,
            "logprobs_mode": "raw_logprobs",
            "generation_config": "vllm",  # not the model's own top_k, penalties, ...
            "limit_mm_per_prompt": MODALITIES,
            "disable_log_stats": True,
            **on_cpu,
            **sizes,
            **config.engine_args,
        }
        try:
            self._llm = LLM(**settings)
        except Exception as error:  # vLLM raises what it likes here; the user needs its gist
            raise ConfigError(
                f"model: vLLM cannot load {config.model}: {one_line(error)}"
            ) from error
        # The engine is seeded, not the request: on CPU a request's seed with n > 1 is refused.
        self._params = SamplingParams(
            n=config.rollouts,
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=config.max_tokens,
            logprobs=0,
        )

    def generate(
        self, prompts: Sequence[Prompt], *, seed: int, finished: Finished
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`."""
        import torch

        torch.manual_seed(seed)
        failed: dict[int, Failed] = {}
        for place, prompt in enumerate(prompts):
            text = self._chat.render(prompt)
            refused = text if isinstance(text, Failed) else self._enqueue(text, prompt)
            if refused is not None:
                failed[place] = refused
                finished(1)
        try:
            outputs = self._llm.wait_for_completion(use_tqdm=lambda **kw: _Report(finished, **kw))
        except Exception as error:
            raise RunError(f"vLLM stopped: {one_line(error)}") from error
        drawn = iter(outputs)  # in the order in which they were enqueued
        return [
            failed[place] if place in failed else [_rollout(o) for o in next(drawn).outputs]
            for place in range(len(prompts))
        ]

    def close(self) -> None:
        """Free the model; vLLM frees its memory when the last reference goes."""
        del self._llm
        gc.collect()

    def _enqueue(self, text: str, prompt: Prompt) -> Failed | None:
        request: dict[str, Any] = {"prompt": text}
        if prompt.images:
            request["multi_modal_data"] = {"image": list(prompt.images)}
        try:
            self._llm.enqueue(
                [request],
                self._params,
                use_tqdm=False,
                tokenization_kwargs={"add_special_tokens": False},
            )
        except (ValueError, TypeError, RuntimeError) as error:  # too long, too many images, ...
            return Failed(f"vLLM refused the prompt: {one_line(error)}")
        return None


class _Report(tqdm):  # type: ignore[type-arg]
    """Passes vLLM's progress on instead of drawing it: one call a finished prompt."""

    def __init__(self, finished: Finished, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "disable": False, "file": open(os.devnull, "w")})
        self._finished = finished

    def update(self, n: float | None = 1) -> bool | None:
        self._finished(1)
        return super().update(n)

    def close(self) -> None:
        super().close()
        if not self.fp.closed:
            self.fp.close()


def _rollout(output: Any) -> Rollout:
    return Rollout(
        completion=output.text,
        n_tokens=len(output.token_ids),
        sum_logprob=float(output.cumulative_logprob),
        finish_reason=_FINISH.get(output.finish_reason, "error"),
    )
