"""A policy, its engine, and how completions are drawn; what it is given, and of which images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from durian.config.checks import no_keys
from durian.config.options import IMAGES, POLICY, SAMPLING, Config, again, option, shared
from durian.errors import ConfigError

ENGINES = ("vllm", "transformers", "openai", "scripted")
# Arguments of a draw that options of our own decide, in the words of any engine.
_OWN_SAMPLING = {
    "n": "--rollouts",
    "num_return_sequences": "--rollouts",
    "temperature": "--temperature",
    "do_sample": "--temperature",
    "top_p": "--top-p",
    "max_tokens": "--max-tokens",
    "max_completion_tokens": "--max-tokens",
    "max_new_tokens": "--max-tokens",
    "max_length": "--max-tokens",
    "seed": "--seed",
    "model": "--model",
    "chat_template_kwargs": "--chat-template-arg",
    **dict.fromkeys(
        ("messages", "logprobs", "top_logprobs", "prompt_logprobs", "stream", "output_kind",
         "detokenize", "output_logits", "output_scores", "return_dict_in_generate", "num_beams"),
        "nothing: it is Durian's",
    ),
}  # fmt: skip
_OWN_TEMPLATE = ("messages", "conversation", "tokenize", "add_generation_prompt", "chat_template")


@dataclass(frozen=True, kw_only=True)
class PixelsConfig(Config):
    """Bounds on the size at which a policy sees images."""

    min_pixels: int | None = option(
        None,
        "Smaller images are enlarged for the policy.",
        panel=IMAGES,
        unit="pixels",
        profiled=True,
        telling=True,
        compared=True,
    )
    max_pixels: int | None = option(
        None,
        "Larger images are shrunk for the policy.",
        panel=IMAGES,
        unit="pixels",
        profiled=True,
        telling=True,
        compared=True,
    )


@dataclass(frozen=True, kw_only=True)
class ArgumentsConfig(Config):
    """Arguments of sampling and of the chat template, by name. None: see `LaterConfig`."""

    sampling_args: dict[str, Any] | None = option(
        None,
        "NAME=VALUE for the engine's own sampling, as often as needed: top_k=20, "
        "presence_penalty=1.5, repetition_detection={max_pattern_size: 20, min_count: 4}.",
        panel=SAMPLING,
        typed="sampling-arg",
        default_text="none",
        profiled=True,
        telling=True,
        compared=True,
    )
    chat_template_args: dict[str, Any] | None = option(
        None,
        "NAME=VALUE for the policy's chat template, as often as needed: enable_thinking=false.",
        panel=POLICY,
        typed="chat-template-arg",
        default_text="none",
        profiled=True,
        telling=True,
        compared=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.sampling_args or {}:
            if (own := _OWN_SAMPLING.get(name)) is not None:
                raise ConfigError(f"sampling-arg {name} cannot be set; pass {own}")
        for name in self.chat_template_args or {}:
            if name in _OWN_TEMPLATE:
                raise ConfigError(f"chat-template-arg {name} cannot be set: it is Durian's")
        no_keys("sampling-arg", self.sampling_args or {})
        no_keys("chat-template-arg", self.chat_template_args or {})


@dataclass(frozen=True, kw_only=True)
class ImagesConfig(PixelsConfig):
    """The bound and the threads of decoding images."""

    pixel_limit: int = option(
        178_956_970,  # Pillow's own bound
        "Images of more pixels are not decoded, but reported.",
        panel=IMAGES,
        unit="pixels",
        low=1,
    )
    workers: int | None = option(
        None,
        "Image decoding threads.",
        panel=IMAGES,
        unit="threads",
        default_text="all cores",
        low=1,
        identity=False,
    )


@dataclass(frozen=True, kw_only=True)
class PromptConfig(Config):
    """Settings of the prompt and of the reward. None: see `LaterConfig`."""

    system_prompt: str | None = option(
        None,
        "System prompt; '' sends no system message; a template that writes its own still does.",
        panel=POLICY,
        default_text="asks for <think> and \\boxed{}",
        profiled=True,
        telling=True,
        compared=True,
    )
    prompt_template: str | None = option(
        None,
        "Jinja2 file around the problem, as EasyR1's: {{ content }}.",
        panel=POLICY,
        profiled=True,
        telling=True,
        compared=True,
    )
    reward: str | None = option(
        None,
        "boxed (0.1 format + 0.9 accuracy), boxed+judge (a served model where the rule cannot "
        "tell), iou or point (boxes and points), or FILE.py:function.",
        panel=POLICY,
        default_text="boxed",
        profiled=True,
        compared=True,
    )
    reward_args: dict[str, Any] | None = option(
        None,
        "NAME=VALUE for the reward's function, as often as needed: max_response_length=2048.",
        panel=POLICY,
        typed="reward-arg",
        default_text="none",
        profiled=True,
        compared=True,
    )
    tolerance: float | None = option(
        None,
        "Relative error at which numbers are equal; ChartQA's is 0.05.",
        panel=POLICY,
        default_text="1e-06",
        low=0,
        high=1,
        profiled=True,
        compared=True,
    )
    coords: tuple[str, ...] | None = option(
        None,
        "System of boxes and points: pixel (of the file), resized (as the policy sees it), 1000 or "
        "unit; two, like pixel,1000: of the references, of the answers.",
        panel=POLICY,
        default_text="pixel",
        choices=("pixel", "resized", "1000", "unit"),
        profiled=True,
        compared=True,
    )
    iou: float | None = option(
        None,
        "Match from which on a box or point is right.",
        panel=POLICY,
        default_text="0.5",
        above=0,
        high=1,
        profiled=True,
        compared=True,
    )
    judge_model: str | None = option(
        None,
        "Model that boxed+judge asks where the rule says wrong and the reference is free text.",
        panel=POLICY,
        profiled=True,
        compared=True,
    )
    judge_url: str | None = option(
        None,
        "Address of its server, like http://localhost:8000/v1; the key comes from "
        "DURIAN_JUDGE_KEY.",
        panel=POLICY,
        identity=False,
        profiled=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coords is not None and len(self.coords) > 2:
            raise ConfigError(
                f"coords is {','.join(self.coords)}; write one system, or two: of the references, "
                "of the answers"
            )
        if self.reward_args and self.reward is not None and ".py:" not in self.reward:
            raise ConfigError(
                f"reward-arg is for --reward FILE.py:function, not {self.reward}; leave it out"
            )
        no_keys("reward-arg", self.reward_args or {})
        judged = self.reward == "boxed+judge"
        for name, value in (("judge-url", self.judge_url), ("judge-model", self.judge_model)):
            if judged and value is None:
                raise ConfigError(f"reward boxed+judge needs a served model: pass --{name}")
            if value is not None and self.reward is not None and not judged:
                raise ConfigError(f"{name} is for --reward boxed+judge; leave it out")
        if self.judge_url is not None:
            no_secrets("judge-url", self.judge_url, "DURIAN_JUDGE_KEY")


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(PixelsConfig, ArgumentsConfig):
    """A policy, where there is one, and how completions are drawn from it."""

    model: str | None = option(
        None,
        "Policy: folder or hub id (openai: a name served; scripted: a rollouts table).",
        panel=POLICY,
        identity=False,  # a run is of its weights
        telling=True,
    )
    engine: str = option(
        "vllm",
        "vllm, transformers, openai (a server), or scripted (replays a table).",
        panel=POLICY,
        choices=ENGINES,
        telling=True,
        compared=True,
    )
    adapter: str | None = option(
        None,
        "Folder of a LoRA adapter, as PEFT writes it, over --model.",
        panel=POLICY,
        identity=False,  # as of the model
        telling=True,
    )
    base_url: str | None = option(
        None,
        "Address of the openai engine's server, like http://localhost:8000/v1; the key comes from "
        "OPENAI_API_KEY.",
        panel=POLICY,
        identity=False,
    )
    rollouts: int = option(
        8, "Completions per sample; G in the paper.", panel=SAMPLING, low=1, compared=True
    )
    temperature: float = option(
        1.0, "Sampling temperature.", panel=SAMPLING, low=0, telling=True, compared=True
    )
    top_p: float = option(
        1.0, "Nucleus sampling.", panel=SAMPLING, above=0, high=1, telling=True, compared=True
    )
    max_tokens: int = option(
        2048,
        "Longest completion, in tokens.",
        panel=SAMPLING,
        unit="tokens",
        low=1,
        telling=True,
        compared=True,
    )
    tensor_parallel: int = option(
        1, "GPUs that share one policy.", panel=POLICY, unit="GPUs", low=1, telling=True
    )
    data_parallel: int = option(
        1,
        "Engine processes side by side, each with its own GPUs (or cores).",
        panel=POLICY,
        unit="processes",
        low=1,
        telling=True,
    )
    repeatable: bool | None = option(
        None,
        "A completion hangs on its sample, number and --seed alone, as far as the engine allows; "
        "costs some speed.",
        panel=SAMPLING,
        default_text="on without a GPU, else off",
    )
    engine_args: dict[str, Any] = option(
        {},
        "NAME=VALUE for the engine's own loader, as often as needed: max_model_len=8192.",
        panel=POLICY,
        typed="engine-arg",
    )
    trust_remote_code: bool = option(
        False, "Run code that comes with the model; read it first.", panel=POLICY
    )

    @property
    def policy_name(self) -> str | None:
        """The policy as a person would call it: its model, and the adapter over it."""
        return self.model if self.adapter is None else f"{self.model} with adapter {self.adapter}"

    @property
    def sampling(self) -> SamplingConfig:
        """The part of the settings that names the policy and its engine.

        Raises:
            ConfigError: there is no policy.
        """
        if self.model is None:
            raise ConfigError("this needs a policy: pass --model PATH_OR_HUB_ID")
        # With no rollouts the engine is asked for greedy completions alone, one each.
        known = shared(self, SamplingConfig) | {"rollouts": max(1, self.rollouts)}
        return SamplingConfig(**known)


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(PolicyConfig):
    """A policy and how completions are drawn from it."""

    model: str = again(PolicyConfig, "model", ...)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_secrets(self.engine_args, self.base_url)
        _check_server(self)
        if self.temperature == 0 and self.rollouts > 1:
            raise ConfigError(
                f"temperature 0 writes one completion {self.rollouts} times; pass --rollouts 1"
            )


def check_secrets(engine_args: Mapping[str, Any], base_url: str | None) -> None:
    """Refuse a key where it would be kept in the manifest, whether or not it is used."""
    no_keys("engine-arg", engine_args)
    if base_url is not None:
        no_secrets("base-url", base_url, "OPENAI_API_KEY")


def no_secrets(option: str, url: str, variable: str) -> None:
    """Refuse a server's address that is none, or that holds a key."""
    try:
        address = urlsplit(url)
    except ValueError:
        raise ConfigError(
            f"{option} is no address; write it like http://localhost:8000/v1"
        ) from None
    if address.username or address.password or address.query or address.fragment:
        raise ConfigError(
            f"{option} holds more than an address; a key goes into {variable}, in the environment"
        )


def _check_server(config: SamplingConfig) -> None:
    """Refuse an address without its engine, or the engine without or beside what it needs."""
    if config.engine != "openai":
        if config.base_url is not None:
            raise ConfigError(f"base-url is for --engine openai, not {config.engine}; leave it out")
        return
    if config.base_url is None:
        raise ConfigError(
            "engine openai needs a server: pass --base-url, like http://localhost:8000/v1"
        )
    address = urlsplit(config.base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError(
            f"base-url is '{config.base_url}'; write it like http://localhost:8000/v1"
        )
    if config.adapter is not None:
        raise ConfigError(
            "adapter is the server's own matter with engine openai: serve it under a name of its "
            "own, and pass that as --model"
        )
    for name in ("tensor_parallel", "data_parallel"):
        if (value := getattr(config, name)) > 1:
            option = name.replace("_", "-")
            raise ConfigError(
                f"{option} is {value}, which is the server's own matter with engine openai; "
                f"pass --{option} to the server"
            )
