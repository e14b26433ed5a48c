"""The policy's own chat format: its processor, its prompt text, and what may not stand in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from durian.config import SamplingConfig
from durian.engines.base import RefusedPrompt
from durian.engines.shards import merge_command
from durian.engines.trusted import check_weights, refusal
from durian.errors import ConfigError, one_line
from durian.rewards import opens_thinking
from durian.samples import Failed, Prompt, Rollout

REACH_SECONDS = 10.0
_PRINTED = "[{'type': "  # as Jinja prints a message's parts where a template wants a text


class Chat:
    """Renders prompts by the policy's chat template, and encodes them with its processor."""

    def __init__(
        self,
        processor: Any,
        image_size: dict[str, int] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Wrap a transformers processor that has a tokenizer and an image processor.

        `image_size`: the bounds in pixels that were set on it, as its `size`; None for its own.
        `arguments`: of the chat template, by name.
        """
        self._arguments = dict(arguments or {})
        self.processor = processor
        self.image_size = image_size
        self.tokenizer = processor.tokenizer
        token = getattr(processor, "image_token", None)
        self.image_token_id: Any = token and self.tokenizer.convert_tokens_to_ids(token)
        self._control = _control_tokens(processor)
        self._opens: bool | None = None

    def render(self, prompt: Prompt) -> str | Failed:
        """The text that the policy reads, up to where its completion begins.

        Dataset text must not speak the template's own language: a control token in it would end
        a turn, or count as an image that is not there. Such a prompt comes back as `Failed`, one
        that the template cannot render as `RefusedPrompt`.
        """
        texts = [part.get("text", "") for m in prompt.messages for part in m["content"]]
        for message in prompt.messages:
            for part in message["content"]:
                found = next((t for t in self._control if t in part.get("text", "")), None)
                if found is not None:
                    place = "system prompt" if message["role"] == "system" else "problem"
                    return Failed(f"{place} holds the special token {found}")
        try:
            text = str(
                self.processor.apply_chat_template(
                    prompt.messages, tokenize=False, add_generation_prompt=True, **self._arguments
                )
            )
        except Exception as error:  # a template raises what it likes, by raise_exception or not
            return RefusedPrompt(
                one_line(f"the policy's chat template raises on the prompt: {error}")
            )
        if _PRINTED in text and not any(_PRINTED in part for part in texts):
            return RefusedPrompt(
                "the policy's chat template takes no parts of a message: it prints them as a list"
            )
        return text

    @property
    def opens_thinking(self) -> bool:
        """Whether the template ends each prompt with the opening think tag."""
        # Some templates write the opening tag of the thinking into the prompt. The completions then
        # begin inside it, and a reward that asks for the tag would call every one of them
        # malformed. What the template writes is the same for all prompts, so one is rendered to
        # see.
        if self._opens is None:
            asked = {"role": "user", "content": [{"type": "text", "text": "?"}]}
            prompt = self.render(Prompt(sample_id="", messages=[asked], images=()))
            self._opens = isinstance(prompt, str) and opens_thinking(prompt)
        return self._opens

    def encode(self, texts: Sequence[str], images: Sequence[Sequence[Any]]) -> Any:
        """Token ids, attention mask and pixels of rendered prompts, padded on the left.

        Either all of the prompts have images or none has: processors do not mix them.
        """
        given = {"images": [list(of_prompt) for of_prompt in images]} if any(images) else {}
        return self.processor(
            text=list(texts),
            **given,
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the chat template has put them where they belong
        )

    def token_ids(self, text: str, images: Sequence[Any]) -> list[int]:
        """Tokens of one rendered prompt, those of its images included.

        Raises:
            ValueError: the processor refuses the images.
        """
        ids: list[int] = self.encode([text], [images])["input_ids"][0].tolist()
        return ids

    def count_tokens(self, text: str, images: Sequence[Any]) -> int:
        """Count the `token_ids` of a rendered prompt. Raises: as `token_ids`."""
        return len(self.token_ids(text, images))


def load_chat(config: SamplingConfig) -> Chat:
    """Load the processor of a policy, with the config's bounds on image size.

    Raises:
        ConfigError: the model is not there, lacks what a chat with images needs, or could run
            code of its own.
    """
    from transformers import AutoProcessor

    check_model_exists(config.model)
    check_weights(config)
    try:
        loader: Any = AutoProcessor  # its methods are untyped
        processor = loader.from_pretrained(
            config.model,
            trust_remote_code=config.trust_remote_code,
            revision=config.engine_args.get("revision"),
        )
    except Exception as error:  # loaders raise whatever comes
        raise cannot_load(config.model, error) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise ConfigError(
            f"model '{config.model}': no image processor; a vision-language model is needed"
        )
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    if not template:
        raise ConfigError(f"model '{config.model}': no chat template")
    arguments = config.chat_template_args or {}
    for name in arguments:
        if not re.search(rf"\b{re.escape(name)}\b", str(template)):
            raise ConfigError(
                f"chat-template-arg {name}: the chat template of {config.model} knows no such name"
            )
    processor.tokenizer.padding_side = "left"  # generation goes on where each prompt ends
    return Chat(processor, bound_pixels(processor.image_processor, config), arguments)


def bound_pixels(image_processor: Any, config: SamplingConfig) -> dict[str, int] | None:
    """Set the bounds that were asked for; `size` is what Qwen-VL's processors call them now.

    As arguments `min_pixels` and `max_pixels` are deprecated, and warned of at every image.

    Returns:
        The bounds as the processor's `size`; None where none was asked for.
    Raises:
        ConfigError: the processor knows no bounds in pixels, or the lower is above the upper.
    """
    bounds = {"shortest_edge": config.min_pixels, "longest_edge": config.max_pixels}
    asked = {name: pixels for name, pixels in bounds.items() if pixels is not None}
    if not asked:
        return None
    # A processor of another kind would ignore the bounds, or read them otherwise: they would stand
    # in the manifest, and the images be of another size.
    known = getattr(getattr(image_processor, "valid_kwargs", None), "__annotations__", {})
    if "max_pixels" not in known:
        raise ConfigError(
            f"model '{config.model}': its images are not bounded in pixels; "
            "leave out --min-pixels and --max-pixels"
        )
    size = {name: getattr(image_processor.size, name) for name in bounds} | asked
    if size["shortest_edge"] > size["longest_edge"]:
        raise ConfigError(
            f"min-pixels is {size['shortest_edge']}, above max-pixels {size['longest_edge']}"
        )
    image_processor.size = type(image_processor.size)(**size)
    return size


def check_model_exists(model: str) -> None:
    """Refuse at once what no loader could find; they retry for minutes without a network.

    Raises:
        ConfigError: no such folder, a file, a folder without config.json, or a hub id that is
            not in the cache and that the hub does not give.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    path = Path(model)
    if path.is_file():
        raise ConfigError(f"model '{model}': a file; give a model folder or a hub id")
    if path.is_dir():
        if not (path / "config.json").is_file() and (path / "adapter_config.json").is_file():
            merged = path / "merged"
            way_out = f"pass {merged}" if merged.is_dir() else "merge it into its base model first"
            raise ConfigError(f"model '{model}': an adapter without its base model; {way_out}")
        if (merge := merge_command(path)) is not None:
            raise ConfigError(f"model '{model}': a trainer's shards; merge them first: {merge}")
        if not (path / "config.json").is_file():
            raise ConfigError(f"model '{model}': no config.json in it; is it a model folder?")
    elif not model or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ConfigError(f"model '{model}': no such folder")
    else:
        try:
            if not isinstance(try_to_load_from_cache(model, "config.json"), str):
                HfApi().model_info(model, timeout=REACH_SECONDS)
        except Exception as error:  # no network, no such model, no access, no such form of name
            raise cannot_load(model, error) from error


def cannot_load(model: str, error: Exception) -> ConfigError:
    """Make one line of whatever a loader raised."""
    if why := refusal(error):
        return ConfigError(f"model '{model}': {why}")
    where = "" if Path(model).is_dir() else "no such folder, and the hub does not give it: "
    return ConfigError(f"model '{model}': {where}{one_line(error)}")


def finite(rollouts: list[Rollout]) -> list[Rollout] | Failed:
    """The rollouts, unless the policy overflowed: NaN and inf go into no table."""
    if all(math.isfinite(rollout.sum_logprob) for rollout in rollouts):
        return rollouts
    return Failed("a log-probability is not finite")


def _control_tokens(processor: Any) -> list[str]:
    # Added tokens that are not special, as <think> of some policies, are text that a prompt may
    # hold. The placeholders of images are control tokens even where they are not marked special.
    tokenizer = processor.tokenizer
    tokens = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens |= set(tokenizer.all_special_tokens)
    tokens |= {getattr(processor, f"{kind}_token", None) for kind in ("image", "video", "audio")}
    # Longest first: the reason names the whole token, not one that is part of it.
    return sorted((t for t in tokens if isinstance(t, str) and t), key=lambda t: (-len(t), t))
