"""transformers' own `generate`: slower than vLLM, and runs wherever torch does."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import logging

from durian.config import SamplingConfig
from durian.engines.adapter import with_adapter
from durian.engines.agreement import Agreement
from durian.engines.base import Answer, Request
from durian.engines.chat import cannot_load, finite, load_chat
from durian.engines.sampling_args import filters, penalties
from durian.errors import RunError, one_line
from durian.samples import Failed, Prompt, Rollout

BATCH_SIZE = 64  # completions written at a time
BUG = "pass --engine-arg batch_size=1"


class TransformersEngine:
    """Completions by batched `generate`, log-probabilities before any sampling filter.

    `engine_args` go to `from_pretrained`, but for `batch_size`, the completions written at a time.
    A rollout's tokens come from a generator of its own, whatever shares its batch.
    """

    told = ""

    def __init__(self, config: SamplingConfig) -> None:
        """Load the policy, on the GPU if there is one.

        Raises:
            ConfigError: the model cannot be loaded.
        """
        self._config = config
        self._chat = load_chat(config)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        settings = {
            "dtype": "auto" if device == "cuda" else torch.float32,
            "trust_remote_code": config.trust_remote_code,
            "use_safetensors": True,
            **config.engine_args,
        }
        self._batch_size = int(settings.pop("batch_size", BATCH_SIZE))
        _untyped(logging.disable_progress_bar)()
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(config.model, **settings)
        except Exception as error:  # loaders raise whatever comes
            raise cannot_load(config.model, error) from error
        if config.adapter is not None:
            model = with_adapter(model, config.adapter)
        self._model = (model if "device_map" in settings else model.to(device)).eval()
        self._context = int(model.config.get_text_config().max_position_embeddings)
        self._agreement = Agreement(self._chat, "transformers, in a batch,", BUG)
        self._ends = _end_tokens(model.generation_config, self._chat.tokenizer)
        # `generate` fills what is left open from here: the model's own penalties must not come in.
        model.generation_config = _untyped(GenerationConfig)()

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """See `RolloutEngine.stream`; a batch is of one kind, with images or without, and whole."""
        waiting = defaultdict[tuple[bool, int, bool], list[Request]](list)  # by kind
        for request in requests:
            if isinstance(request.prompt, Failed):
                yield request.key, request.prompt
                continue
            count = request.completions(self._config.rollouts)
            batch = waiting[kind := (request.greedy, count, bool(request.prompt.images))]
            batch.append(request)
            if len(batch) >= self._batch_size // count:
                yield from self._answer(waiting.pop(kind))
        for batch in waiting.values():
            yield from self._answer(batch)

    def close(self) -> None:
        """Give back the memory of the policy."""
        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _answer(self, requests: Sequence[Request]) -> Iterator[Answer]:
        with torch.inference_mode():
            drawn = self._draw(requests)
        yield from zip((request.key for request in requests), drawn, strict=True)

    def _draw(self, requests: Sequence[Request]) -> list[list[Rollout] | Failed]:
        """Draw for requests of one kind."""
        # A sample has one rollout at temperature 0, also where all are drawn so.
        greedy = requests[0].greedy or self._config.temperature == 0
        count = 1 if greedy else requests[0].completions(self._config.rollouts)
        prompts = [r.prompt for r in requests if isinstance(r.prompt, Prompt)]
        # Each prompt stands in the batch once a completion: left to copy them itself, `generate`
        # copies the images of a prompt one by one, [A, A, B, B], and the second completion would
        # be written to image A twice.
        inputs = self._encode([prompt for prompt in prompts for _ in range(count)])
        if isinstance(inputs, Failed):
            # Which prompt is at fault is not known: each alone, so that the others go on.
            if len(requests) == 1:
                return [inputs]
            return [self._draw([request])[0] for request in requests]
        rooms = self._rooms(inputs)  # tokens, one a completion
        read = inputs["attention_mask"].sum(1).tolist()  # tokens of each one's prompt
        for row, prompt in zip(range(0, len(read), count), prompts, strict=True):
            self._agreement.check(prompt, inputs["input_ids"][row, -read[row] :].tolist())
        recorder, args = SampledLogprobs(), self._config.sampling_args or {}
        # A batch writes until its roomiest prompt is full. What the others wrote past their own
        # room is cut off in `_rollout`: alone, they would have ended there, and a completion must
        # not depend on what shares its batch.
        seeds = [request.seed + number for request in requests for number in range(count)]
        sampling = [] if greedy else [SeededDraws(self._config, seeds, self._model.device)]
        pad = self._chat.tokenizer.pad_token_id
        try:
            sequences = self._model.generate(
                **inputs.to(self._model.device),
                generation_config=_untyped(GenerationConfig)(
                    do_sample=False,  # what is drawn is settled by `SeededDraws`
                    max_new_tokens=max(rooms),
                    eos_token_id=self._ends,
                    pad_token_id=self._ends[0] if pad is None else pad,
                ),
                logits_processor=LogitsProcessorList(
                    [recorder, *penalties(args, inputs["input_ids"].shape[1]), *sampling]
                ),
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise RunError(
                f"out of memory with {self._batch_size} completions at a time; "
                f"pass a smaller batch_size in engine_args ({one_line(error)})"
            ) from error
        written = sequences[:, inputs["input_ids"].shape[1] :]  # (B * G, T)
        logprobs = recorder.of(sequences)  # (B * G, T)
        rollouts = [
            self._rollout(*row) for row in zip(written.tolist(), logprobs, rooms, read, strict=True)
        ]
        return [finite(rollouts[i : i + count]) for i in range(0, len(rollouts), count)]

    def _encode(self, prompts: Sequence[Prompt]) -> Any:
        """Tensors of all the prompts, or `Failed` if one of them cannot be used."""
        texts: list[str] = []
        for prompt in prompts:
            text = self._chat.render(prompt)
            if isinstance(text, Failed):
                return text
            texts.append(text)
        try:
            inputs = self._chat.encode(texts, [prompt.images for prompt in prompts])
        except Exception as error:  # processors raise whatever comes
            return Failed(f"prompt refused: {one_line(error)}")
        if min(self._rooms(inputs)) < 1:
            length = int(inputs["attention_mask"].sum(1).max())
            return Failed(
                f"prompt refused: its {length} tokens leave no room for a completion "
                f"in a context of {self._context}"
            )
        return inputs

    def _rooms(self, inputs: Any) -> list[int]:
        lengths = inputs["attention_mask"].sum(1).tolist()
        return [min(self._config.max_tokens, self._context - length) for length in lengths]

    def _rollout(
        self, tokens: list[int], logprobs: torch.Tensor, room: int, prompt_tokens: int
    ) -> Rollout:
        # To end is the policy's own choice too: the end token counts in length and log-probability,
        # as in vLLM, but is no part of the text. Beyond it is padding.
        end = next((i for i, token in enumerate(tokens[:room]) if token in self._ends), None)
        n_tokens = room if end is None else end + 1
        return Rollout(
            completion=self._chat.tokenizer.decode(
                tokens[:end] if end is not None else tokens[:room],
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            ),
            n_tokens=n_tokens,
            sum_logprob=float(logprobs[:n_tokens].sum(dtype=torch.float64)),
            finish_reason="length" if end is None else "stop",
            prompt_tokens=prompt_tokens,
            opened=self._chat.opens_thinking,
        )


class SampledLogprobs(LogitsProcessor):  # type: ignore[misc,unused-ignore]
    """Keeps each sampled token's log-probability at temperature 1, before any filter.

    `generate` runs it ahead of temperature and top-p. The token drawn from one step's logits is
    seen at the next step: one (B * G, vocabulary) matrix is held until then, never one a step.
    """

    def __init__(self) -> None:
        self._last: torch.Tensor | None = None  # (B * G, V), of the token not yet seen
        self._kept: list[torch.Tensor] = []  # (B * G, 1) each

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._take(input_ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def of(self, sequences: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of all the tokens written, shape (B * G, T), nats, on the CPU."""
        self._take(sequences)
        return torch.cat(self._kept, dim=1).cpu()

    def _take(self, sequences: torch.Tensor) -> None:
        if self._last is not None:
            self._kept.append(self._last.gather(1, sequences[:, -1:]))


class SeededDraws(LogitsProcessor):  # type: ignore[misc,unused-ignore]
    """Draws each row's next token by a generator of its own, and leaves `generate` that one alone.

    The largest of p / E, with E exponential noise, is a draw from p: with one generator a row it
    does not hang on what shares the batch, as `torch.multinomial` of all rows together does.
    """

    def __init__(self, config: SamplingConfig, seeds: Sequence[int], device: torch.device) -> None:
        self._filters: list[Any] = [
            _untyped(TemperatureLogitsWarper)(config.temperature),
            *filters(config.sampling_args or {}),
        ]
        if config.top_p < 1:
            self._filters.append(_untyped(TopPLogitsWarper)(config.top_p))
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for bent in self._filters:
            scores = bent(input_ids, scores)
        chances = scores.float().softmax(-1)  # (B * G, V)
        noise = torch.empty_like(chances)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        drawn = (chances / noise).argmax(-1, keepdim=True)  # (B * G, 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _end_tokens(generation_config: Any, tokenizer: Any) -> list[int]:
    ends = generation_config.eos_token_id
    found = ends if isinstance(ends, list) else [ends]
    return sorted({token for token in [*found, tokenizer.eos_token_id] if token is not None})


def _untyped(function: Any) -> Any:
    return function
