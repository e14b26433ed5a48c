"""Whether processor, engine and trainer read one policy alike: a line a check, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from durian.config import SYSTEM_PROMPT, SamplingConfig
from durian.doctor.teacher import Teacher
from durian.engines.base import RefusedPrompt, Request
from durian.engines.chat import Chat, cannot_load, check_model_exists, load_chat
from durian.engines.faults import known_fault
from durian.engines.loading import open_encoder, open_engine
from durian.errors import ConfigError, one_line
from durian.measures.spectral_entropy import spectral_entropy
from durian.records import JsonObject
from durian.samples import Failed, Prompt, Rollout

Verdict = Literal["ok", "unsupported", "wrong"]

QUESTION = "How many shapes are in the picture, and which of them is the largest?"
ROLLOUTS, LONGEST = 4, 16  # completions a prompt, tokens each
# Nats a token between two right programs: by round-off in float32, and where half the bits do.
EXACT, ROUNDED = 1e-3, 0.1
MOVED = 1e-4  # nats; another image moves the sum of a completion by more
LARGE = (640, 480)  # pixels, of an image that bounds make smaller


@dataclass(frozen=True)
class Found:
    """A verdict and what it rests on."""

    verdict: Verdict
    said: str
    nats: float | None = None  # the largest difference between two sums that should be equal


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was tried on a policy."""

    name: str
    verdict: Verdict
    said: str
    nats: float | None = None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """All that was tried on one policy."""

    model: str
    engine: str
    wrong: int  # checks that found something wrong
    checks: list[Check]


def examine(config: SamplingConfig, say: Callable[[str], None] = lambda line: None) -> Examined:
    """Try a policy on the engine of its settings, about a minute where it is small.

    Args:
        config: names the policy and the engine, vllm or transformers.
        say: told what begins.
    Raises:
        ConfigError: there is no such model.
    """
    check_model_exists(config.model)
    small = replace(config, rollouts=ROLLOUTS, max_tokens=LONGEST)
    checks = [
        Check(name=name, verdict=found.verdict, said=found.said, nats=found.nats)
        for name, found in _findings(small, say)
    ]
    wrong = sum(check.verdict == "wrong" for check in checks)
    return Examined(model=config.model, engine=config.engine, wrong=wrong, checks=checks)


def _findings(config: SamplingConfig, say: Callable[[str], None]) -> Iterator[tuple[str, Found]]:
    """Every check by name, the cheapest first."""
    say("reading the processor")
    found = _tried(_known, config)
    yield "model", found
    if found.verdict != "ok":
        return
    try:
        chat = load_chat(config)
    except ConfigError as error:
        yield "processor", Found("wrong", str(error))
        return
    if (fault := known_fault(config.engine, chat.processor, images=1)) is not None:
        yield "engine", Found("unsupported", f"{fault.error}; {fault.way_out}")
        return
    yield "prompt", _tried(_rendered, chat)
    if isinstance(chat.render(CASES["one image"]), Failed):
        return  # without a prompt every other check would only say so again
    yield "system prompt", _tried(_system, chat)
    yield "tokens", _tried(_tokens, chat)
    yield "beginning", _tried(_beginning, chat)
    yield "counted tokens", _tried(_counted, chat)
    yield "trainer", _tried(_trainer, config, chat)
    yield "pixel bounds", _tried(_bounds, config, chat)
    say("encoding images")
    yield "spectral features", _tried(_spectral, config)
    say("holding the processor's images against the model")
    try:
        teacher = Teacher(config, chat)
    except ConfigError as error:
        yield "model", Found(_unknown(error), str(error))
        return
    yield "image tokens", _tried(_image_tokens, teacher, chat)
    # On a GPU vLLM takes nearly all of the memory: the plain pass makes room for it, and comes
    # back after it.
    teacher.close()
    say(f"drawing completions with {config.engine}")
    drawn: dict[str, list[Rollout] | Failed] = {}
    yield "engine", _tried(_draw, config, drawn)
    say("holding their log-probabilities against a plain pass")
    teacher = Teacher(config, chat)
    yield "engine's tokens", _tried(_engine_tokens, chat, drawn)
    for name in ("one image", "two images", "system prompt", "text alone"):
        title = "log-probabilities" + ("" if name == "one image" else f", {name}")
        yield title, _tried(_logprobs, teacher, chat, name, drawn)
    yield "another image", _tried(_another, teacher, chat, drawn)
    teacher.close()


def _tried(check: Callable[..., Found], *given: Any) -> Found:
    """What a check finds; what it raises is found, too."""
    try:
        return check(*given)
    except Exception as error:  # models, processors and engines raise whatever comes
        return Found("wrong", one_line(error))


def _picture(seed: int, size: tuple[int, int] = (112, 84)) -> Image.Image:
    """Coloured noise over coarse blocks: no two of them look alike to any encoder."""
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    blocks = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST))
    noise = draws.integers(0, 64, blocks.shape, dtype=np.uint8)
    return Image.fromarray((blocks // 4 * 3 + noise).astype(np.uint8))


def _ask(*images: Image.Image, system: str = "") -> Prompt:
    parts: list[JsonObject] = [{"type": "image"} for _ in images]
    asked = {"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}
    said = {"role": "system", "content": [{"type": "text", "text": system}]}
    return Prompt(
        sample_id=f"{len(images)}", messages=[said, asked] if system else [asked], images=images
    )


# What the engine is given: images of two sizes, so that a prompt of one is not that of the other.
CASES: dict[str, Prompt] = {
    "one image": _ask(_picture(0)),
    "another image": _ask(_picture(1)),
    "two images": _ask(_picture(0), _picture(2, (84, 112))),
    "system prompt": _ask(_picture(0), system=SYSTEM_PROMPT),
    "text alone": _ask(),
}


def _known(config: SamplingConfig) -> Found:
    """Whether transformers knows the architecture as one that reads images and text."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    loader: Any = AutoConfig  # its methods are untyped
    try:
        found = loader.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
    except Exception as error:  # loaders raise whatever comes
        return Found("wrong", str(cannot_load(config.model, error)))
    known: Any = AutoModelForImageTextToText._model_mapping
    if type(found) in known or hasattr(found, "auto_map"):
        return Found("ok", f"architecture {found.model_type}")
    return Found(
        "unsupported",
        f"transformers has no model of image and text for architecture '{found.model_type}'",
    )


def _rendered(chat: Chat) -> Found:
    text = chat.render(CASES["one image"])
    if isinstance(text, Failed):
        return Found("wrong", text.error)
    if (times := text.count(QUESTION)) != 1:
        return Found("wrong", f"the question stands {times} times in {text!r}")
    return Found("ok", repr(text))


def _system(chat: Chat) -> Found:
    text = chat.render(CASES["system prompt"])
    if isinstance(text, Failed):
        return Found("unsupported", text.error)
    if chat.wants_no_system and SYSTEM_PROMPT.strip() not in text:
        return Found("ok", "; ".join(chat.notes(SYSTEM_PROMPT)))
    if (times := text.count(SYSTEM_PROMPT.strip())) != 1:
        return Found("wrong", f"it stands {times} times in {text!r}")
    return Found("ok", "; ".join(["it stands once", *chat.notes(None), *chat.notes(SYSTEM_PROMPT)]))


def _tokens(chat: Chat) -> Found:
    """Hold the ids that all roads of Durian use against transformers' own way to them."""
    prompt = CASES["one image"]
    text = _text_of(chat, prompt)
    ours = chat.token_ids(text, prompt.images)
    asked_with_images = _with_images(prompt)
    way: Any = chat.processor.apply_chat_template  # untyped
    if way(asked_with_images, tokenize=False, add_generation_prompt=True) != text:
        return Found("unsupported", "transformers itself reads no prompt of parts by this template")
    found = way(
        asked_with_images,
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    theirs = found["input_ids"][0].tolist()
    if ours != theirs:
        return Found("wrong", _difference("Durian makes", ours, "apply_chat_template", theirs))
    return Found("ok", f"{len(ours)} of one image and a question, as apply_chat_template's")


def _beginning(chat: Chat) -> Found:
    """Look for the token that begins a text: twice, or missing where the tokenizer would add it."""
    token, begin = chat.tokenizer.bos_token, chat.tokenizer.bos_token_id
    if begin is None:
        return Found("ok", "the tokenizer has no token that begins a text")
    prompt = CASES["one image"]
    ids = chat.token_ids(_text_of(chat, prompt), prompt.images)
    adds = chat.tokenizer("a")["input_ids"][:1] == [begin]
    if (times := ids.count(begin)) > 1:
        return Found("wrong", f"{token} stands {times} times in the prompt")
    if adds and ids[0] != begin:
        return Found("wrong", f"the tokenizer begins texts with {token}, the prompt does not")
    return Found("ok", f"{token} stands {'once' if times else 'nowhere'}")


def _counted(chat: Chat) -> Found:
    """Hold what a dry run counts, twice since it learns from the first, against the tokens."""
    said = []
    for name in ("one image", "two images"):
        prompt = CASES[name]
        text = chat.render(prompt)
        if isinstance(text, Failed):
            continue
        true = len(chat.token_ids(text, prompt.images))
        for _ in range(2):
            counted = chat.prompt_length(text, prompt.images)
            if counted != true:
                return Found("wrong", f"{name}: counted {counted} tokens, the prompt has {true}")
        said.append(f"{true} of {name}")
    return Found("ok", ", ".join(said))


def _trainer(config: SamplingConfig, chat: Chat) -> Found:
    """Hold the ids that TRL is given, of prompts in one batch, against those of each alone."""
    try:
        from durian.training.prompts import check_trainable, tokenized

        check_trainable(chat, config.model, _picture(0))
    except ConfigError as error:
        return Found("unsupported", str(error))
    batch: list[list[JsonObject]] = []
    alone: list[list[int]] = []
    for name in ("one image", "two images", "system prompt"):
        prompt = CASES[name]
        text = chat.render(prompt)
        if not isinstance(text, Failed):
            batch.append(_with_images(prompt))
            alone.append(chat.token_ids(text, prompt.images))
    ids, _, _ = tokenized(chat, batch)
    for ours, theirs in zip(alone, ids, strict=True):
        if ours != theirs:
            return Found("wrong", _difference("Durian makes", ours, "the trainer", theirs))
    return Found("ok", f"{len(ids)} prompts in one batch, by the ids of each alone")


def _with_images(prompt: Prompt) -> list[JsonObject]:
    """Messages that hold their images, as transformers and TRL take them."""
    pictures = iter(prompt.images)
    return [
        {
            **message,
            "content": [
                part | {"image": next(pictures)} if part["type"] == "image" else part
                for part in message["content"]
            ],
        }
        for message in prompt.messages
    ]


def _bounds(config: SamplingConfig, chat: Chat) -> Found:
    """Bound an image to a quarter of the pixels at which the policy sees it, and count tokens."""
    prompt = _ask(_picture(3, LARGE))
    resizing = chat.resizing
    seen = None if resizing is None else resizing.of(LARGE)
    if resizing is None or seen is None:
        return Found("unsupported", "the processor does not bound its images in pixels")
    most = seen[0] * seen[1] // 4
    bounded = load_chat(replace(config, min_pixels=min(resizing.min_pixels, most), max_pixels=most))
    text = _text_of(chat, prompt)
    before, after = (
        c.count_image_tokens(c.token_ids(text, prompt.images)) for c in (chat, bounded)
    )
    # A token is as many pixels with the bounds as without: 4 less would be none.
    if after * seen[0] * seen[1] > most * before:
        return Found("wrong", f"at most {most:,} pixels, and yet {after} of {before} tokens")
    return Found("ok", f"{before} image tokens, {after} of at most {most:,} pixels")


def _spectral(config: SamplingConfig) -> Found:
    try:
        encoder = open_encoder(config, features="encoder")
    except ConfigError as error:
        return Found(_unknown(error), str(error))
    try:
        found = list(encoder.encode([_picture(0), _picture(1)]))
    finally:
        encoder.close()
    for features in found:
        if isinstance(features, Failed):
            return Found("wrong", features.error)
    first, second = (spectral_entropy(f) for f in found if not isinstance(f, Failed))
    if not (math.isfinite(first) and first != second):
        return Found("wrong", f"two images have {first} and {second} nats")
    return Found("ok", f"{first:.3f} and {second:.3f} nats of two images")


def _image_tokens(teacher: Teacher, chat: Chat) -> Found:
    """Whether the model takes what the processor makes of an image."""
    prompt = CASES["one image"]
    text = _text_of(chat, prompt)
    logprobs = teacher.after(text, prompt.images, [])
    if not bool(logprobs.isfinite().all()):
        return Found("wrong", "the model's log-probabilities are not finite")
    images = chat.count_image_tokens(chat.token_ids(text, prompt.images))
    return Found("ok", f"{images} of one image, as many as the model has features")


def _draw(config: SamplingConfig, drawn: dict[str, list[Rollout] | Failed]) -> Found:
    """Let the engine write completions to all prompts, in one call, as it does in a run."""
    try:
        engine = open_engine(config)
    except ConfigError as error:
        return Found(_unknown(error), str(error))
    requests = [
        Request(key=(place, name), prompt=prompt, seed=place)
        for place, (name, prompt) in enumerate(CASES.items())
    ]
    try:
        found = dict(engine.stream(requests))
    finally:
        engine.close()
    drawn.update((request.key[1], found[request.key]) for request in requests)
    written = sum(len(rollouts) for rollouts in found.values() if not isinstance(rollouts, Failed))
    return Found("ok", f"{written} completions to {len(CASES)} prompts")


def _engine_tokens(chat: Chat, drawn: dict[str, list[Rollout] | Failed]) -> Found:
    said = []
    for name, rollouts in drawn.items():
        if isinstance(rollouts, Failed):
            continue
        prompt = CASES[name]
        read, ours = (
            rollouts[0].prompt_tokens,
            chat.token_ids(_text_of(chat, prompt), prompt.images),
        )
        if read != len(ours):
            return Found("wrong", f"{name}: it read {read} tokens, the processor makes {len(ours)}")
        said.append(f"{read} of {name}")
    return Found("ok", ", ".join(said)) if said else _NOTHING


def _logprobs(
    teacher: Teacher, chat: Chat, name: str, drawn: dict[str, list[Rollout] | Failed]
) -> Found:
    """Hold the engine's sums against a plain pass over the same prompt and tokens."""
    rollouts = drawn.get(name)
    if rollouts is None:
        return _NOTHING
    if isinstance(rollouts, Failed):
        kind: Verdict = "unsupported" if isinstance(rollouts, RefusedPrompt) else "wrong"
        return Found(kind, rollouts.error)
    prompt = CASES[name]
    text = _text_of(chat, prompt)
    largest, steepest, held = 0.0, 0.0, 0
    for rollout in rollouts:
        forced = teacher.force(text, prompt.images, rollout)
        if forced is not None:
            apart = abs(forced - rollout.sum_logprob)
            largest, steepest = max(largest, apart), max(steepest, apart / rollout.n_tokens)
            held += 1
    if not held:
        return Found("unsupported", "no completion's text gives its tokens back")
    said = f"at most {largest:.1g} nats apart, over {held} completions"
    verdict: Verdict = "ok" if steepest <= (EXACT if teacher.exact else ROUNDED) else "wrong"
    return Found(verdict, said, largest)


def _another(teacher: Teacher, chat: Chat, drawn: dict[str, list[Rollout] | Failed]) -> Found:
    """Hold the sums of completions to one image against those under another image."""
    rollouts = drawn.get("one image")
    if rollouts is None or isinstance(rollouts, Failed):
        return _NOTHING
    moved, least = 0, math.inf
    first, second = CASES["one image"], CASES["another image"]
    for rollout in rollouts:
        own = teacher.force(_text_of(chat, first), first.images, rollout)
        other = teacher.force(_text_of(chat, second), second.images, rollout)
        if own is not None and other is not None:
            moved, least = moved + 1, min(least, abs(own - other))
    if not moved:
        return Found("unsupported", "no completion's text gives its tokens back")
    if least < MOVED:
        return Found("wrong", f"it moves a completion's sum by {least:.1g} nats alone")
    return Found("ok", f"it moves the sums of {moved} completions, by {least:.2g} nats and more")


_NOTHING = Found("unsupported", "the engine drew nothing")


def _text_of(chat: Chat, prompt: Prompt) -> str:
    text = chat.render(prompt)
    if isinstance(text, Failed):
        raise ValueError(text.error)
    return text


def _difference(whose: str, ours: Sequence[int], others: str, theirs: Sequence[int]) -> str:
    place = next(
        (i for i, pair in enumerate(zip(ours, theirs, strict=False)) if len({*pair}) > 1),
        min(len(ours), len(theirs)),
    )
    return f"{whose} {len(ours)} tokens, {others} {len(theirs)}; the first difference is at {place}"


def _unknown(error: ConfigError) -> Verdict:
    """Whether an architecture is not known, or a known one is broken."""
    said = str(error)
    known = ("does not know architecture", "Unrecognized configuration class", "not supported")
    return "unsupported" if any(word in said for word in known) else "wrong"
