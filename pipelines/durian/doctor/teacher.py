"""A plain forward pass of transformers over a prompt and the tokens that follow it.

Independent of the engines: no `generate`, no batch, no padding, and the processor called as
transformers' own chat templates call it.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from durian.config import SamplingConfig
from durian.engines.chat import Chat, cannot_load
from durian.samples import Rollout


class Teacher:
    """Gives log-probabilities of completions that an engine has written."""

    def __init__(self, config: SamplingConfig, chat: Chat) -> None:
        """Load the policy, on the GPU if there is one.

        Raises:
            ConfigError: the model cannot be loaded.
        """
        self._chat = chat
        device = "cuda" if torch.cuda.is_available() else "cpu"
        loader: Any = AutoModelForImageTextToText  # its methods are untyped
        try:
            model = loader.from_pretrained(
                config.model,
                dtype="auto" if device == "cuda" else torch.float32,
                trust_remote_code=config.trust_remote_code,
                use_safetensors=True,
            )
        except Exception as error:  # loaders raise whatever comes
            raise cannot_load(config.model, error) from error
        self._model: Any = model.to(device).eval()
        ends = model.generation_config.eos_token_id
        found = ends if isinstance(ends, list) else [ends]
        self._ends = {end for end in [*found, chat.tokenizer.eos_token_id] if end is not None}

    @property
    def exact(self) -> bool:
        """Whether it computes in float32, so that two right programs differ by round-off alone."""
        return bool(self._model.dtype == torch.float32)

    def force(self, text: str, images: Sequence[Any], rollout: Rollout) -> float | None:
        """The log-probability of a completion after a rendered prompt, in nats.

        Returns:
            None where the completion's text does not give its tokens back: special tokens leave
            nothing in it, and some texts can be written by other tokens.
        """
        tokens = self._chat.tokenizer(rollout.completion, add_special_tokens=False)["input_ids"]
        ended = rollout.finish_reason == "stop"
        if len(tokens) + ended != rollout.n_tokens:
            return None
        logits = self.after(text, images, tokens)  # (T + 1, V)
        steps = logits[torch.arange(len(tokens)), torch.tensor(tokens, dtype=torch.long)]
        total = float(steps.sum())
        if ended:  # which of the end tokens it was, the nearest sum tells
            sums = [total + float(logits[-1, end]) for end in self._ends]
            total = min(sums, key=lambda found: abs(found - rollout.sum_logprob))
        return total

    def close(self) -> None:
        """Give back the memory of the policy."""
        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def after(self, text: str, images: Sequence[Any], tokens: list[int]) -> torch.Tensor:
        """Log-probabilities after a rendered prompt, and after each of the tokens that follow it.

        Returns:
            Shape (T + 1, vocabulary), nats, on the CPU.
        """
        begins = self._chat.tokenizer.bos_token
        inputs = self._chat.processor(
            text=[text],
            **({"images": [list(images)]} if images else {}),
            return_tensors="pt",
            # The rule of transformers' own `apply_chat_template(..., tokenize=True)`.
            add_special_tokens=not (begins and text.startswith(begins)),
        ).to(self._model.device)
        length = inputs["input_ids"].shape[1]
        after = torch.tensor([tokens], dtype=torch.long, device=self._model.device)
        for name, value in list(inputs.items()):
            if name == "input_ids":
                inputs[name] = torch.cat([value, after], dim=1)
            elif not name.startswith("pixel") and value.shape[:2] == (1, length):
                # What stands beside each token: of a completion as of the prompt's last one.
                more = value[:, -1:].expand(1, len(tokens), *value.shape[2:])
                inputs[name] = torch.cat([value, more], dim=1)
        with torch.inference_mode():
            logits = self._model(**inputs).logits[0, length - 1 :]
        logprobs: torch.Tensor = logits.double().log_softmax(-1).cpu()
        return logprobs
