"""transformers alone over a tiny policy: its own tokens of a prompt, and its log-probabilities.

Nothing of Durian's is used: the processor is called through its own `apply_chat_template`, and
one completion is passed at a time.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from durian.samples import Prompt, Rollout


class Plain:
    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def inputs(self, prompt: Prompt) -> Any:
        """What the model is given for a prompt of one user turn."""
        (asked,) = prompt.messages
        images = iter(prompt.images)
        parts = [
            {"type": "image", "image": next(images)} if part["type"] == "image" else part
            for part in asked["content"]
        ]
        with warnings.catch_warnings():  # GLM-4V's processor, at every prompt
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            return self.processor.apply_chat_template(
                [{"role": "user", "content": parts}],
                tokenize=True,
                add_generation_prompt=True,
                return_dict=True,
                return_tensors="pt",
            )

    def ids(self, prompt: Prompt) -> list[int]:
        return self.inputs(prompt)["input_ids"][0].tolist()

    def sum_logprob(self, prompt: Prompt, rollout: Rollout) -> float | None:
        """Nats of a completion; None where special tokens in it left no character behind."""
        tokens = self.processor.tokenizer(rollout.completion, add_special_tokens=False)["input_ids"]
        if rollout.finish_reason == "stop":
            tokens.append(self.processor.tokenizer.eos_token_id)
        return self.sum_of(prompt, tokens) if len(tokens) == rollout.n_tokens else None

    def sum_of(self, prompt: Prompt, tokens: list[int]) -> float:
        """Nats of the tokens after the prompt."""
        inputs = self.inputs(prompt)
        length = inputs["input_ids"].shape[1]
        more = {"input_ids": torch.tensor([tokens]), "attention_mask": torch.ones(1, len(tokens))}
        for name in ("token_type_ids", "mm_token_type_ids"):  # a completion is text
            more[name] = torch.zeros(1, len(tokens))
        if "cross_attention_mask" in inputs:  # Mllama: what follows sees the image
            last = inputs["cross_attention_mask"][:, -1:]
            more["cross_attention_mask"] = last.expand(-1, len(tokens), -1, -1)
        for name, values in more.items():
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], values.to(inputs[name].dtype)], dim=1)
        with torch.inference_mode():
            logits = self.model(**inputs).logits[0, length - 1 : -1].double()
        steps = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])
        return float(steps.sum())
