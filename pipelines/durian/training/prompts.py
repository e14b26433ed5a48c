"""The prompts that TRL trains on: the ones that were profiled, to the id.

TRL renders and encodes prompts itself, twice, each time otherwise than the engines: it leaves the
form of the messages to luck, lets the tokenizer begin a text that has begun, and asks processors
for prompts of unequal length that give tensors alone. Here `Chat` does both for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from durian.engines.chat import OF_TOKENS, Chat
from durian.errors import ConfigError, RunError
from durian.records import JsonObject
from durian.samples import Failed, Prompt

# What TRL 1.16 hands over of the tensors that a processor makes; `batch_num_images` is ours.
HANDED_OVER = frozenset(
    {
        "pixel_values", "image_grid_thw", "pixel_attention_mask", "spatial_shapes", "image_sizes",
        "image_position_ids", "batch_num_images", "input_ids", "attention_mask", *OF_TOKENS,
    }
)  # fmt: skip


def prompt_of(messages: Sequence[JsonObject]) -> Prompt:
    """TRL's messages, which hold their images, as the engines have them."""
    images: list[Any] = []
    bare: list[JsonObject] = []
    for message in messages:
        parts = []
        for part in message["content"]:
            if part["type"] == "image":
                images.append(part["image"])
                part = {"type": "image"}
            parts.append(part)
        bare.append({**message, "content": parts})
    return Prompt(sample_id="", messages=bare, images=tuple(images))


def rendered(chat: Chat, prompt: Prompt) -> str:
    """The text of a prompt.

    Raises:
        RunError: it cannot be rendered, though it was when the samples were prepared.
    """
    text = chat.render(prompt)
    if isinstance(text, Failed):
        raise RunError(f"a prompt that was prepared cannot be rendered now: {text.error}")
    return text


def tokenized(chat: Chat, messages: Sequence[Sequence[JsonObject]]) -> tuple[Any, Any, Any]:
    """What TRL's `_tokenize_prompts` gives: ids of each prompt, its images, and all tensors."""
    prompts = [prompt_of(each) for each in messages]
    images = [list(prompt.images) for prompt in prompts]
    encoded = chat.encode([rendered(chat, prompt) for prompt in prompts], images)
    kept = encoded["attention_mask"].bool()  # (rows, tokens)

    def of_rows(values: Tensor) -> list[list[int]]:
        return [row[mask].tolist() for row, mask in zip(values, kept, strict=True)]

    # TRL pads what stands beside each token by itself, as it does the ids.
    fields = {
        name: of_rows(value) if name in OF_TOKENS else value
        for name, value in encoded.items()
        if name not in ("input_ids", "attention_mask")
    }
    return of_rows(encoded["input_ids"]), images if any(images) else None, fields


def with_images(prompts: Sequence[Any], images: Sequence[Sequence[Any]]) -> list[Any]:
    """TRL's messages of prompts, each with its images in them."""
    from trl.data_utils import prepare_multimodal_messages  # here: the doctor does without TRL

    return [
        prepare_multimodal_messages(prompt, images=list(own)) if own else prompt
        for prompt, own in zip(prompts, images, strict=True)
    ]


def text_ids(chat: Chat, messages: Sequence[Sequence[JsonObject]]) -> list[list[int]]:
    """Ids of each prompt's text alone, for a vLLM that writes the tokens of images itself."""
    return [chat.text_ids(rendered(chat, prompt_of(each))) for each in messages]


class ProfiledProcessor:
    """A policy's processor as TRL calls it for its forward passes, prompts by `Chat`."""

    def __init__(self, chat: Chat) -> None:
        """Stand for the processor of a chat."""
        self._chat = chat

    def __getattr__(self, name: str) -> Any:
        # All else is the processor's own; names of Python's protocols are never asked for here.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._chat.processor, name)

    def apply_chat_template(self, conversation: Sequence[JsonObject], **_: Any) -> str:
        """The text of one prompt."""
        return rendered(self._chat, prompt_of(conversation))

    def __call__(self, *, images: Sequence[Any], text: Sequence[str], **_: Any) -> Any:
        """Encode prompts that this processor has rendered."""
        return self._chat.encode(text, images)


class TellingImages:
    """A model as TRL calls it, chunk of rows by chunk, told besides how many images each has."""

    def __init__(self, model: Any, images: Sequence[int], chunk: int) -> None:
        """Take the images of all the rows, and the rows of a chunk."""
        self._model = model
        self._images = list(images)
        self._starts: Iterator[int] = count(0, chunk)
        self._chunk = chunk

    def __call__(self, **inputs: Any) -> Any:
        """Call the model on the next chunk."""
        start = next(self._starts)
        told = torch.tensor(self._images[start : start + self._chunk])
        return self._model(**inputs, batch_num_images=told.to(inputs["input_ids"].device))


def check_trainable(chat: Chat, model: str, image: Any) -> None:
    """Refuse a policy that reads images by tensors which TRL does not hand over.

    Args:
        chat: the policy's.
        model: its name, for the message.
        image: any that its processor takes.
    Raises:
        ConfigError: names the tensors.
    """
    parts = [{"type": "image"}, {"type": "text", "text": "?"}]
    asked = [{"role": "user", "content": parts}]
    text = chat.render(Prompt(sample_id="", messages=asked, images=(image,)))
    if isinstance(text, Failed):
        return  # the first rows will say so, and what to do
    lost = sorted(set(chat.encode([text], [[image]])) - HANDED_OVER)
    if lost:
        raise ConfigError(
            f"model '{model}': it reads images by {', '.join(lost)}, which TRL does not hand over; "
            "durian profile and eval serve it, to train choose another model"
        )


def check_masks(chat: Chat, prompts: Mapping[int, Prompt], out: dict[str, Any]) -> None:
    """Hold what stands beside the tokens of TRL's rows against the chat's own.

    Args:
        chat: the policy's.
        prompts: by the row that is compared.
        out: what TRL has made of all rows.
    Raises:
        RunError: they differ; the message names both numbers.
    """
    width = out["prompt_ids"].shape[1] + out["completion_ids"].shape[1]
    for name in (name for name in OF_TOKENS if name in out):
        if out[name].shape[1] != width:
            raise RunError(
                f"the trainer has {out[name].shape[1]} {name} for {width} tokens; use the version "
                "of TRL that Durian asks for"
            )
        for row, prompt in prompts.items():
            own = chat.encode([rendered(chat, prompt)], [prompt.images])[name][0]
            mask = out["prompt_mask"][row].bool()
            ours = out[name][row][: len(mask)][mask]
            if not torch.equal(ours.cpu(), own):
                raise RunError(
                    f"the trainer has {_marked(ours)} of a prompt in {name} where the policy's "
                    f"processor has {_marked(own)}; use the version of TRL that Durian names"
                )


def _marked(values: Tensor) -> str:
    places = values.nonzero().flatten().tolist()
    return f"{len(places)} tokens from {places[0] + 1} on" if places else "0 tokens"
