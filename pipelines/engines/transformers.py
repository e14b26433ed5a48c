"""transformers' own `generate`: slower than vLLM, and runs wherever torch does."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from pipelines.config import SamplingConfig
from pipelines.engines.chat import load_chat, one_line
from pipelines.engines.protocol import Finished
from pipelines.errors import ConfigError, RunError
from pipelines.samples import Failed, Prompt, Rollout

SEQUENCES = 64  # completions written at a time


class TransformersEngine:
    """Completions by batched `generate`; log-probabilities before any sampling filter."""

    def __init__(self, config: SamplingConfig) -> None:
        self._config = config
        self._chat = load_chat(config)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        settings = {
            "dtype": "auto" if self._device == "cuda" else torch.float32,
            "trust_remote_code": config.trust_remote_code,
            **config.engine_args,
        }
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(config.model, **settings)
        except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
            raise ConfigError(f"model: cannot load {config.model}: {one_line(error)}") from error
        self._model = model.to(self._device).eval()
        ends = model.generation_config.eos_token_id
        ends = self._chat.tokenizer.eos_token_id if ends is None else ends
        self._ends = [ends] if isinstance(ends, int) else list(ends)
        pad = self._chat.tokenizer.pad_token_id
        self._pad = self._ends[0] if pad is None else pad

    def generate(
        self, prompts: Sequence[Prompt], *, seed: int, finished: Finished
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`."""
        torch.manual_seed(seed)
        drawn: list[list[Rollout] | Failed] = [Failed("not drawn")] * len(prompts)
        ready: list[tuple[int, str, list[Any]]] = []
        for place, prompt in enumerate(prompts):
            text = self._chat.render(prompt)
            if isinstance(text, Failed):
                drawn[place] = text
                finished(1)
            else:
                ready.append((place, text, list(prompt.images)))
        # Prompts with and without images do not mix in one batch of a processor.
        ready.sort(key=lambda item: not item[2])
        step = max(1, SEQUENCES // self._config.rollouts)
        for batch in _batches(ready, step):
            written = self._write([text for _, text, _ in batch], [i for _, _, i in batch])
            for (place, _, _), rollouts in zip(batch, written, strict=True):
                drawn[place] = rollouts
            finished(len(batch))
        return drawn

    def close(self) -> None:
        """Free the model."""
        del self._model
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _write(self, texts: list[str], images: list[list[Any]]) -> list[list[Rollout] | Failed]:
        try:
            inputs = self._chat.encode(texts, images).to(self._device)
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            if len(texts) == 1:
                return [Failed(f"the processor refused the prompt: {one_line(error)}")]
            pairs = zip(texts, images, strict=True)  # find the one at fault; the others go on
            return [self._write([text], [of_it])[0] for text, of_it in pairs]
        given, rollouts = self._config, self._config.rollouts
        scorer = _RawLogprobs(given.temperature, given.top_p)
        try:
            with torch.inference_mode():
                tokens = self._model.generate(
                    **inputs,
                    do_sample=given.temperature > 0,
                    num_return_sequences=rollouts,
                    max_new_tokens=given.max_tokens,
                    logits_processor=LogitsProcessorList([scorer]),
                    # Neither the model's own defaults nor transformers' filter the draw.
                    temperature=1.0,
                    top_p=1.0,
                    top_k=0,
                    repetition_penalty=1.0,
                    eos_token_id=self._ends,
                    pad_token_id=self._pad,
                )
        except RuntimeError as error:
            raise RunError(f"transformers stopped: {one_line(error)}") from error
        written = tokens[:, inputs["input_ids"].shape[1] :]  # (S * G, T)
        logprobs = scorer.of(tokens)  # (S * G, T)
        flat = [self._rollout(w, lp) for w, lp in zip(written, logprobs, strict=True)]
        return [flat[k : k + rollouts] for k in range(0, len(flat), rollouts)]

    def _rollout(self, tokens: torch.Tensor, logprobs: torch.Tensor) -> Rollout:
        ended = torch.isin(tokens, torch.tensor(self._ends, device=tokens.device)).nonzero()
        length = int(ended[0]) + 1 if len(ended) else len(tokens)
        return Rollout(
            completion=self._chat.tokenizer.decode(tokens[:length], skip_special_tokens=True),
            n_tokens=length,
            sum_logprob=float(logprobs[:length].double().sum()),
            finish_reason="stop" if len(ended) else "length",
        )


class _RawLogprobs(LogitsProcessor):  # type: ignore[misc]
    """Keeps each token's log-probability, then filters as the settings say.

    A step's token is known only at the next step, so the last step's distribution is kept until
    then: two steps in memory, never the whole (tokens x vocabulary) history.
    """

    def __init__(self, temperature: float, top_p: float) -> None:
        self._filters = []
        if temperature not in (0.0, 1.0):
            self._filters.append(TemperatureLogitsWarper(temperature))
        if top_p < 1.0:
            self._filters.append(TopPLogitsWarper(top_p))
        self._last: torch.Tensor | None = None
        self._kept: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._take(input_ids)
        self._last = torch.log_softmax(scores.float(), dim=-1)
        for apply in self._filters:
            scores = apply(input_ids, scores)
        return scores

    def of(self, tokens: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of all tokens written, shape (S * G, T), nats."""
        self._take(tokens)
        return torch.stack(self._kept, dim=1)

    def _take(self, tokens: torch.Tensor) -> None:
        if self._last is not None:
            self._kept.append(self._last.gather(1, tokens[:, -1:]).squeeze(1))


def _batches(
    ready: list[tuple[int, str, list[Any]]], step: int
) -> Iterator[list[tuple[int, str, list[Any]]]]:
    for kind in (True, False):  # with images, then without
        of_kind = [item for item in ready if bool(item[2]) is kind]
        yield from (of_kind[k : k + step] for k in range(0, len(of_kind), step))
