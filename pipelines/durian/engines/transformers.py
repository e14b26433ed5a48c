"""transformers' own `generate`: slower than vLLM, and runs wherever torch does."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.utils import logging

from durian.config import SamplingConfig
from durian.engines.agreement import Agreement
from durian.engines.base import Finished
from durian.engines.chat import cannot_load, finite, load_chat
from durian.errors import RunError, one_line
from durian.samples import Failed, Prompt, Rollout

BATCH_SIZE = 64  # completions written at a time
BUG = "pass --engine-arg batch_size=1"


class TransformersEngine:
    """Completions by batched `generate`, log-probabilities before any sampling filter.

    `engine_args` go to `from_pretrained`, but for `batch_size`, the completions written at a time.
    What a call draws depends on its prompts and seed alone; torch's generators are left as found.
    """

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
        self._model = (model if "device_map" in settings else model.to(device)).eval()
        self._context = int(model.config.get_text_config().max_position_embeddings)
        self._agreement = Agreement(self._chat, "transformers, in a batch,", BUG)
        self._ends = _end_tokens(model.generation_config, self._chat.tokenizer)
        # `generate` fills what is left open from here: the model's own penalties must not come in.
        model.generation_config = _untyped(GenerationConfig)()

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int,
        finished: Finished,
        greedy: bool = False,
    ) -> list[list[Rollout] | Failed]:
        """See `RolloutEngine.generate`."""
        results: list[list[Rollout] | Failed] = [Failed("not drawn")] * len(prompts)
        count = 1 if greedy else self._config.rollouts
        generation = self._generation(0.0 if greedy else self._config.temperature)
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(seed)
            for batch in self._batches(prompts, count):
                drawn = self._draw([prompts[place] for place in batch], generation, count)
                for place, rollouts in zip(batch, drawn, strict=True):
                    results[place] = rollouts
                finished(len(batch))
        return results

    def close(self) -> None:
        """Give back the memory of the policy."""
        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _generation(self, temperature: float) -> Any:
        pad = self._chat.tokenizer.pad_token_id
        sampled = {"temperature": temperature, "top_p": self._config.top_p, "top_k": 0}
        return _untyped(GenerationConfig)(
            do_sample=temperature > 0,
            **(sampled if temperature > 0 else {}),
            eos_token_id=self._ends,
            pad_token_id=self._ends[0] if pad is None else pad,
        )

    def _batches(self, prompts: Sequence[Prompt], count: int) -> Iterator[list[int]]:
        """Places of prompts that share a batch: all have images, or none has."""
        size = max(1, self._batch_size // count)
        for with_images in (True, False):
            kind = [i for i, prompt in enumerate(prompts) if bool(prompt.images) is with_images]
            yield from (kind[start : start + size] for start in range(0, len(kind), size))

    def _draw(
        self, prompts: Sequence[Prompt], generation: Any, count: int
    ) -> list[list[Rollout] | Failed]:
        # Each prompt stands in the batch once a completion: left to copy them itself, `generate`
        # copies the images of a prompt one by one, [A, A, B, B], and the second completion would
        # be written to image A twice.
        inputs = self._encode([prompt for prompt in prompts for _ in range(count)])
        if isinstance(inputs, Failed):
            # Which prompt is at fault is not known: each alone, so that the others go on.
            if len(prompts) == 1:
                return [inputs]
            return [self._draw([prompt], generation, count)[0] for prompt in prompts]
        rooms = self._rooms(inputs)  # tokens, one a completion
        read = inputs["attention_mask"].sum(1).tolist()  # tokens of each one's prompt
        for row, prompt in zip(range(0, len(read), count), prompts, strict=True):
            self._agreement.check(prompt, inputs["input_ids"][row, -read[row] :].tolist())
        recorder = SampledLogprobs()
        # A batch writes until its roomiest prompt is full. What the others wrote past their own
        # room is cut off in `_rollout`: alone, they would have ended there, and a completion must
        # not depend on what shares its batch.
        generation.max_new_tokens = max(rooms)
        try:
            sequences = self._model.generate(
                **inputs.to(self._model.device),
                generation_config=generation,
                logits_processor=LogitsProcessorList([recorder]),
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


def _end_tokens(generation_config: Any, tokenizer: Any) -> list[int]:
    ends = generation_config.eos_token_id
    found = ends if isinstance(ends, list) else [ends]
    return sorted({token for token in [*found, tokenizer.eos_token_id] if token is not None})


def _untyped(function: Any) -> Any:
    return function
