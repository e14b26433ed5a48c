"""The policy's own chat format: its processor, its prompt text, and what may not stand in it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from durian.config import SamplingConfig
from durian.engines.base import RefusedPrompt
from durian.engines.faults import known_fault
from durian.engines.forms import find_form, misread, raises, shaped
from durian.engines.resizing import Resizing, find_resizing
from durian.engines.shards import merge_command
from durian.engines.trusted import check_weights, refusal
from durian.errors import EXTRAS, ConfigError, RunError, one_line, way_out
from durian.records import JsonObject
from durian.rewards import opens_thinking
from durian.samples import Failed, Prompt, Rollout

REACH_SECONDS = 10.0
# In a chat template, as a comment: the policy was trained without a system prompt, which is then
# not sent. A template that is silent and leaves one out is not believed: it may be an oversight.
NO_SYSTEM = "durian: no system prompt"
OF_TOKENS = ("token_type_ids", "mm_token_type_ids")  # what stands beside each token, if anything


class Chat:
    """Renders prompts by the policy's chat template, and encodes them with its processor.

    All roads go through it: both engines that run here, the dry runs and the trainer. So what is
    planned, profiled, judged and trained on is one text and one set of tokens.
    """

    def __init__(
        self,
        processor: Any,
        image_size: dict[str, int] | None = None,
        engine: str = "transformers",
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Wrap a transformers processor that has a tokenizer and an image processor.

        Args:
            processor: the policy's.
            image_size: the bounds in pixels that were set on it, as its `size`; None for its own.
            engine: what will read the prompts.
            arguments: of the chat template, by name.
        """
        self._arguments = dict(arguments or {})
        self.processor = processor
        self.image_size = image_size
        self._engine = engine
        self.tokenizer = processor.tokenizer
        self._image_mark: str | None = getattr(processor, "image_token", None)
        # Not the mark's id alone: Pixtral ends rows of an image by other tokens, and Gemma 3 writes
        # other tokens for an image than the mark in the text.
        self._image_ids = set(getattr(processor, "image_token_ids", ())) - {None}
        self._control = _control_tokens(processor, self._image_ids)
        self._fit = find_form(self._apply, self._image_mark)
        self.wants_no_system = NO_SYSTEM in (self._template or "")
        self._tells: dict[bool, bool] = {}  # whether the processor counts prompts right
        asked = {"role": "user", "content": [{"type": "text", "text": "?"}]}
        rendered = self.render(Prompt(sample_id="", messages=[asked], images=()))
        # Some templates write the opening tag of the thinking into the prompt. The completions then
        # begin inside it, and a reward that asks for the tag would call every one of them
        # malformed. What the template writes is the same for all prompts, so one is rendered to
        # see.
        self.opens_thinking = isinstance(rendered, str) and opens_thinking(rendered)

    @property
    def resizing(self) -> Resizing | None:
        """How the processor sizes images; None of one that has no bounds in pixels."""
        return find_resizing(self.processor.image_processor)

    @property
    def needs_image_counts(self) -> bool:
        """Whether the policy must be told how many images each prompt of a batch has."""
        return "batch_num_images" in self.processor.image_processor.model_input_names

    def notes(self, system_prompt: str | None) -> list[str]:
        """What the template does about the system prompt that nobody has asked it to do."""
        if system_prompt and self.wants_no_system:
            return [
                "the policy was trained without a system prompt, as its chat template says: "
                "none is sent"
            ]
        if system_prompt and self._fit.form.system == "none":
            return [
                "the policy's chat template has no system message (beside images): the system "
                "prompt stands in front of the problem"
            ]
        if not system_prompt and self._fit.default_system:
            return [
                "no system prompt is given, and the policy's chat template writes its own: "
                + repr(one_line(self._fit.default_system))
            ]
        return []

    def render(self, prompt: Prompt) -> str | Failed:
        """The text that the policy reads, up to where its completion begins.

        Dataset text must not speak the template's own language: a control token in it would end
        a turn, or count as an image that is not there. Such a prompt comes back as `Failed`, one
        that the template cannot render, or that the engine would misread, as `RefusedPrompt`.
        """
        messages = prompt.messages
        if self.wants_no_system:
            messages = [message for message in messages if message["role"] != "system"]
        for message in messages:
            for part in message["content"]:
                found = next((t for t in self._control if t in part.get("text", "")), None)
                if found is not None:
                    place = "system prompt" if message["role"] == "system" else "problem"
                    return Failed(f"{place} holds the special token {found}")
        fault = known_fault(self._engine, self.processor, len(prompt.images))
        if fault is not None:
            return fault
        if (why := self._fit.refused.get(bool(prompt.images))) is not None:
            return RefusedPrompt(why)
        try:
            text = self._apply(shaped(messages, self._fit.form, self._image_mark))
        except Exception as error:  # a template raises what it likes, by raise_exception or not
            return RefusedPrompt(raises(error))
        why = misread(text, messages, self._image_mark)
        return text if why is None else RefusedPrompt(why)

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer is to add its special tokens to a rendered prompt.

        It is unless the template has written the token that begins a text, or the processor never
        does: the rule of transformers' own `apply_chat_template(..., tokenize=True)`.
        """
        begins = self.tokenizer.bos_token
        if begins is not None and text.startswith(begins):
            return False
        kinds = getattr(self.processor, "valid_processor_kwargs", None)
        defaults = getattr(kinds, "_defaults", {}).get("text_kwargs", {})
        return bool(defaults.get("add_special_tokens", True))

    def text_ids(self, text: str) -> list[int]:
        """Tokens of one rendered prompt's text, in which each image is the mark that it has there.

        An engine that writes the tokens of images itself is given these.
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=self.adds_special_tokens(text))[
            "input_ids"
        ]
        return ids

    def encode(self, texts: Sequence[str], images: Sequence[Sequence[Any]]) -> Any:
        """Token ids, attention mask and pixels of rendered prompts, padded on the left.

        Either all of the prompts have images or none has: processors do not mix them.

        Raises:
            RunError: the processor marks more or fewer tokens than it gives.
        """
        given = {"images": [list(of_prompt) for of_prompt in images]} if any(images) else {}
        with warnings.catch_warnings():
            # transformers 5.19, Glm4vProcessor.create_mm_token_type_ids: `np.array` of a tensor, at
            # every prompt. The array is right.
            warnings.filterwarnings(
                "ignore",
                message="__array__ implementation doesn't accept a copy keyword",
                category=DeprecationWarning,
                module=r"transformers\.models\.glm4v\.processing_glm4v",
            )
            encoded = self.processor(
                text=list(texts),
                **given,
                padding=True,
                return_tensors="pt",
                add_special_tokens=self.adds_special_tokens(texts[0]),
            )
        for name in OF_TOKENS:
            if name in encoded and encoded[name].shape != encoded["input_ids"].shape:
                raise RunError(
                    f"the policy's processor gives {encoded[name].shape[-1]} {name} for "
                    f"{encoded['input_ids'].shape[-1]} tokens; use another version of transformers"
                )
        return encoded

    def token_ids(self, text: str, images: Sequence[Any]) -> list[int]:
        """Tokens of one rendered prompt, those of its images included.

        Raises:
            ValueError: the processor refuses the images.
        """
        ids: list[int] = self.encode([text], [images])["input_ids"][0].tolist()
        return ids

    def count_image_tokens(self, ids: Sequence[int]) -> int:
        """Count the tokens of a prompt that stand for its images."""
        return sum(token in self._image_ids for token in ids)

    def prompt_length(self, text: str, images: Sequence[Any]) -> int:
        """Count the `token_ids` of a rendered prompt, from its images' sizes where that is right.

        Resizing every image of a large dataset only to count would take hours. But some processors
        count one image short of what they write, or several as if each stood alone: what they say
        of the first prompt, and of the first with several images, is held against its tokens.

        Raises:
            ValueError: the processor refuses the images.
        """
        several = len(images) > 1
        tell = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if images and (tell is None or self._tells.get(several) is False):
            return len(self.token_ids(text, images))
        told = len(self.text_ids(text))
        if not images:
            return told
        assert tell is not None
        sizes = [(image.height, image.width) for image in images]
        told += sum(tell(image_sizes=sizes).num_image_tokens) - len(images)  # one mark an image
        if several not in self._tells:
            true = len(self.token_ids(text, images))
            self._tells[several] = told == true
            return true
        return int(told)

    @property
    def _template(self) -> str | None:
        return chat_template(self.processor)

    def _apply(self, messages: Sequence[JsonObject]) -> str:
        return str(
            self.processor.apply_chat_template(
                list(messages),
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
                **self._arguments,
            )
        )


def chat_template(processor: Any) -> str | None:
    """The template of a policy's prompts: its processor's, else its tokenizer's.

    Some policies have several by name, as for the use of tools; prompts go by the default one.
    """
    for owner in (processor, processor.tokenizer):
        found = getattr(owner, "chat_template", None)
        if isinstance(found, dict):
            found = found.get("default")
        if found:
            return str(found)
    return None


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
    except ImportError as error:  # some processors ask for a package of their own
        missing = next((package for package in EXTRAS if f"`{package}`" in str(error)), None)
        if missing is None:
            raise cannot_load(config.model, error) from error
        raise ConfigError(
            f"model '{config.model}': its processor needs {missing}, which is not installed; "
            f"{way_out(missing)}"
        ) from error
    except Exception as error:  # loaders raise whatever comes
        raise cannot_load(config.model, error) from error
    if not hasattr(processor, "image_processor") or not hasattr(processor, "tokenizer"):
        raise ConfigError(
            f"model '{config.model}': no image processor; a vision-language model is needed"
        )
    template = chat_template(processor)
    if not template:
        raise ConfigError(f"model '{config.model}': no chat template, or none that is the default")
    arguments = config.chat_template_args or {}
    for name in arguments:
        if not re.search(rf"\b{re.escape(name)}\b", template):
            raise ConfigError(
                f"chat-template-arg {name}: the chat template of {config.model} knows no such name"
            )
    processor.tokenizer.padding_side = "left"  # generation goes on where each prompt ends
    return Chat(
        processor, bound_pixels(processor.image_processor, config), config.engine, arguments
    )


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
    rule = find_resizing(image_processor)
    known = getattr(getattr(image_processor, "valid_kwargs", None), "__annotations__", {})
    if rule is None and "max_pixels" not in known:
        raise ConfigError(
            f"model '{config.model}': its images are not bounded in pixels; "
            "leave out --min-pixels and --max-pixels"
        )
    frames = 1 if rule is None else rule.frames
    size = {
        name: asked[name] * frames if name in asked else getattr(image_processor.size, name)
        for name in bounds
    }
    if size["shortest_edge"] > size["longest_edge"]:
        least, most = (size[name] // frames for name in bounds)
        raise ConfigError(f"min-pixels is {least}, above max-pixels {most}")
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


def _control_tokens(processor: Any, image_ids: set[int]) -> list[str]:
    # Added tokens that are not special, as <think> of some policies, are text that a prompt may
    # hold. The placeholders of images are control tokens even where they are not marked special.
    tokenizer = processor.tokenizer
    tokens = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens |= set(tokenizer.all_special_tokens)
    tokens |= {getattr(processor, f"{kind}_token", None) for kind in ("image", "video", "audio")}
    tokens |= set(tokenizer.convert_ids_to_tokens(sorted(image_ids)))
    # Longest first: the reason names the whole token, not one that is part of it.
    return sorted((t for t in tokens if isinstance(t, str) and t), key=lambda t: (-len(t), t))
