"""A policy's processor: chat messages to the text that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.config import SamplingConfig
from pipelines.errors import ConfigError
from pipelines.samples import Failed, Prompt


def one_line(error: BaseException) -> str:
    """The gist of a library's error, which may fill a page: its first line of text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def check_model_exists(config: SamplingConfig) -> None:
    """Refuse a path where no model is, before a library takes it for a hub id.

    Raises:
        ConfigError: no such folder, or no config.json in it.
    """
    path = Path(config.model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigError(f"model: {config.model} holds no config.json; is it a model folder?")
    elif path.exists():
        raise ConfigError(f"model: {config.model} is a file; give a model folder or a hub id")
    elif config.model.count("/") > 1 or config.model.startswith((".", "/", "~")):
        raise ConfigError(f"model: {config.model}: no such folder; check the path")


def size_override(config: SamplingConfig) -> dict[str, Any]:
    """The processor's settings for `min_pixels` and `max_pixels`, as Qwen-VL's name them."""
    limits = {"min_pixels": config.min_pixels, "max_pixels": config.max_pixels}
    return {name: value for name, value in limits.items() if value is not None}


class Chat:
    """Renders prompts by the policy's own chat template."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self._special = [
            token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special
        ]

    def render(self, prompt: Prompt) -> str | Failed:
        """The text that the policy reads, up to where its completion begins.

        Dataset text must not speak the template's own language: a problem that holds one of the
        tokenizer's special tokens (an image pad, an end of turn) is refused.
        """
        for message in prompt.messages:
            if message["role"] == "user":
                text = "".join(part.get("text", "") for part in message["content"])
                for token in self._special:
                    if token in text:
                        return Failed(f"problem holds the special token {token}")
        return str(
            self.processor.apply_chat_template(
                prompt.messages, tokenize=False, add_generation_prompt=True
            )
        )

    def encode(self, texts: list[str], images: list[list[Any]]) -> Any:
        """Token ids, attention mask and pixels of a batch, as tensors, padded on the left."""
        given = {"images": images} if any(images) else {}
        return self.processor(
            text=texts, **given, return_tensors="pt", padding=True, add_special_tokens=False
        )

    def count_tokens(self, text: str, images: list[Any]) -> int:
        """Tokens of one rendered prompt, those of its images included."""
        return int(self.encode([text], [images])["input_ids"].shape[1])


def load_chat(config: SamplingConfig) -> Chat:
    """Load a policy's processor.

    Raises:
        ConfigError: there is none, or it has no chat template.
    """
    from transformers import AutoProcessor
    from transformers.utils import logging

    check_model_exists(config)
    logging.set_verbosity_error()
    try:
        loader: Any = AutoProcessor  # its methods are untyped
        processor = loader.from_pretrained(
            config.model, trust_remote_code=config.trust_remote_code, **size_override(config)
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ConfigError(f"model: {config.model}: {one_line(error)}") from error
    chat = Chat(processor)
    if not (getattr(processor, "chat_template", None) or chat.tokenizer.chat_template):
        raise ConfigError(f"model: {config.model} has no chat template")
    chat.tokenizer.padding_side = "left"  # generation goes on where the prompt ends
    return chat
