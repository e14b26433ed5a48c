"""Any OpenAI-compatible chat server: a policy that is served already, here or elsewhere."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from durian.config import SamplingConfig
from durian.engines.agreement import Agreement
from durian.engines.answers import logprob_list, read_rollouts
from durian.engines.base import Answer, Key, RefusedPrompt, Request, Room
from durian.engines.server import Refused, Server, Unanswered
from durian.errors import ConfigError, RunError, one_line
from durian.records import JsonObject
from durian.samples import Failed, Prompt, Rollout

if TYPE_CHECKING:
    from PIL import Image

# Off, whatever the served model's own generation_config says; other servers may not know them.
UNFILTERED = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
UNFILTERED_SERVERS = ("vllm", "sglang")
# Fields of a request that settings of our own decide.
OWN = {
    "model": "--model",
    "n": "--rollouts",
    "temperature": "--temperature",
    "top_p": "--top-p",
    "max_tokens": "--max-tokens",
    "max_completion_tokens": "--max-tokens",
    "seed": "--seed",
    **dict.fromkeys(
        ("messages", "logprobs", "top_logprobs", "stream"), "nothing: they are Durian's"
    ),
}
# The form of most models' special tokens; the tokenizer that would tell them all is the server's.
CONTROL = re.compile(r"<\|[^\s<>|]+\|>")
# Fields of a request by which the user has another prompt made than the policy's folder says.
OTHER_PROMPT = ("chat_template", "mm_processor_kwargs")
WAY_OUT = (
    "the server has another chat template or other sizes of images: start it with the policy's "
    "--chat-template and --mm-processor-kwargs, or give its sizes here as --min-pixels and "
    "--max-pixels; where it leaves out the token that begins a text, pass --engine-arg "
    "add_special_tokens=true"
)
REFUSED = "prompt refused: "  # by the server, in whose words follows why
LIKELIEST = 5  # tokens whose log-probabilities are compared
SAME = 0.1  # nats: bfloat16 and another batch move them less, a temperature moves some more


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The engine args that are not fields of a request."""

    concurrency: int = 64  # requests at a time
    timeout: float = 600.0  # seconds until a request counts as unanswered
    retries: int = 6  # of one request: 18 to 24 s of back-off, unless the server says otherwise
    seeded: bool = True  # whether requests have seeds

    def __post_init__(self) -> None:
        if not isinstance(self.seeded, bool):
            raise ConfigError(f"engine-arg seeded is {self.seeded!r}; it must be true or false")
        for name, least in (("concurrency", 1), ("timeout", 0.001), ("retries", 0)):
            value = getattr(self, name)
            whole = name == "timeout" or isinstance(value, int)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not whole:
                raise ConfigError(f"engine-arg {name} is {value!r}; it must be a number")
            if not value >= least:
                raise ConfigError(f"engine-arg {name} is {value}; it must be {least} or more")


class OpenAIEngine:
    """Completions and their log-probabilities as a server tells them.

    `engine_args` are the fields of `Limits`, and fields of the request.

    The chat template and the images' bounds are the server's. Images are sent as PNG, so without
    loss. vLLM counts the end token among a completion's, as the embedded engine does; OpenAI's own
    service leaves it out, and there is no way to ask for it: there a mean is over one token less.

    A request that fails for its prompt's sake (400, 413, 422) is its row's error. One that has no
    usable answer after its retries (429, 5xx, time-out, broken connection, not JSON) is its row's
    error only while the server still answers a prompt of one word; else the run ends, resumable.

    Where the model is named by a folder that is here too, the first prompts' numbers of tokens are
    held against those of its processor.

    Each request has a seed, and its rollouts count on from it: a server that heeds seeds (vLLM)
    draws the same again, as far as its kernels do not depend on the
    batch. vLLM on a CPU (0.32) dies of a seed whose prompt it reads in chunks: start it with
    --no-enable-chunked-prefill, or pass seeded=false.
    """

    told = ""

    def __init__(self, config: SamplingConfig) -> None:
        """Ask the server for its models and for one token, to refuse at once what cannot work.

        Raises:
            ConfigError: no server there, another model, no log-probabilities, or not the policy's
                own ones.
        """
        self._limits, self._fields = read_engine_args(config)
        self._config = config
        self._server = open_server(config)
        try:
            served = self._server.served(config.model)
            unfiltered = UNFILTERED if served.owner in UNFILTERED_SERVERS else {}
            self._fields = {**unfiltered, **self._fields}
            # A field of its own where there is one to undo it by, else none at all.
            self._unbent = {name: unfiltered.get(name) for name in config.sampling_args or {}}
            # vLLM bounds a completion by what its prompt leaves, but refuses a bound above its all.
            context = served.context or config.max_tokens + 1
            self._max_tokens = max(1, min(config.max_tokens, context - 1))
            self._together = self._try_out()
            self._agreement = self._find_agreement()
            self._one_at_a_time = asyncio.Lock()  # a tokenizer is not to be used by two threads
        except BaseException:
            self._server.close()
            raise

    def stream(self, requests: Iterable[Request]) -> Generator[Answer, None, None]:
        """See `RolloutEngine.stream`; `concurrency` requests are on their way at any time."""
        room, begun = Room(), dict[Key, Future[Any]]()
        most = self._limits.concurrency
        ended: SimpleQueue[Key] = SimpleQueue()
        coming = iter(requests)
        request = next(coming, None)
        try:
            while request is not None or begun:
                while request is not None and room.free and len(begun) < most:
                    room.take(request)
                    begun[request.key] = self._server.begin(partial(self._draw, request))
                    begun[request.key].add_done_callback(partial(_tell, ended, request.key))
                    request = next(coming, None)
                key = ended.get()
                room.give(key)
                yield key, begun.pop(key).result()
        finally:
            for future in begun.values():
                future.cancel()

    def close(self) -> None:
        """Close the connections; the policy goes on being served."""
        self._server.close()

    async def _draw(self, request: Request) -> list[Rollout] | Failed:
        prompt = request.prompt
        if isinstance(prompt, Failed):
            return prompt
        if (found := control_token(prompt)) is not None:
            return found
        # Not on the loop: packing images is a processor's work.
        messages = await asyncio.to_thread(chat_messages, prompt)
        body = self._sampled(messages, greedy=request.greedy)
        count = request.completions(self._config.rollouts)
        # A server that draws one at a time is asked again and again, each time with the next seed:
        # with one seed it would write the same completion each time.
        together = count if self._together else 1
        rollouts: list[Rollout] = []
        while len(rollouts) < count:
            seeded = self._seed(request.seed + len(rollouts))
            try:
                answer = await self._server.ask(body | {"n": together, **seeded})
            except Refused as error:
                return Failed(f"{REFUSED}{error}")
            except Unanswered as error:
                await self._check_alive(error)
                return Failed(f"the server gave no answer: {error}")
            drawn = read_rollouts(answer, together)
            if isinstance(drawn, Failed):
                return drawn
            if not rollouts:
                await self._compare(prompt, drawn[0].prompt_tokens)
            rollouts += drawn
        return rollouts

    def _find_agreement(self) -> Agreement | None:
        """Load the processor of a policy that is here too; of another, nothing is compared."""
        config = self._config
        bounded = config.min_pixels is not None or config.max_pixels is not None
        if not (bounded or Path(config.model).is_dir()):
            return None  # a name, which a hub may have too: nothing is downloaded for this
        if any(name in self._fields for name in OTHER_PROMPT):
            return None
        try:
            from durian.engines.chat import load_chat

            chat = load_chat(config)
        except (ConfigError, ImportError):  # no processor in it, or no transformers here
            return None
        return Agreement(chat, self._server.address, WAY_OUT)

    async def _compare(self, prompt: Prompt, told: int | None) -> None:
        if self._agreement is not None and told is not None:
            async with self._one_at_a_time:
                await asyncio.to_thread(self._agreement.check_number, prompt, told)

    def _seed(self, seed: int) -> dict[str, int]:
        return {"seed": seed} if self._limits.seeded else {}

    def _sampled(self, messages: list[JsonObject], *, greedy: bool = False) -> JsonObject:
        return {
            "model": self._config.model,
            "messages": messages,
            "temperature": 0.0 if greedy else self._config.temperature,
            "top_p": 1.0 if greedy else self._config.top_p,
            "max_tokens": self._max_tokens,
            "logprobs": True,
            **self._fields,
        }

    async def _check_alive(self, failure: Unanswered) -> None:
        try:
            await self._server.ask(self._sampled(WORD) | {"max_tokens": 1}, retries=1)
        except Refused:
            return  # that, too, is an answer
        except Unanswered as error:
            raise RunError(
                f"the server at {self._server.address} no longer answers: {failure}, and asked for "
                f"one token: {error}; when it is back, give the same command again"
            ) from error

    def _try_out(self) -> bool:
        """Ask for one token, as generate will; whether the server draws several at a time."""
        # Not every server draws several completions at a time: some refuse `n`, some heed it not
        # and give one. That is found out here with two, so that the run asks for all of a prompt's
        # rollouts at once where it can (the prompt is then read once) and one by one where it must.
        answer, several = self._first_answer()
        drawn = read_rollouts(answer, several)
        if several > 1 and isinstance(drawn, Failed):  # it may have heeded no number
            alone = read_rollouts(answer, 1)
            several, drawn = (1, alone) if not isinstance(alone, Failed) else (several, drawn)
        if isinstance(drawn, Failed):
            raise ConfigError(
                f"model '{self._config.model}' as {self._server.address} serves it: {drawn.error}; "
                "confidence needs the text and the log-probability of each token: serve it with "
                "them (vLLM does), or pass --engine vllm"
            )
        if self._config.temperature != 1 or self._config.top_p != 1 or self._config.sampling_args:
            self._check_raw()
        # Tried with one alone, it is not known: blind completions may be several all the same.
        return several > 1

    def _first_answer(self) -> tuple[JsonObject, int]:
        several = min(2, self._config.rollouts)
        try:
            return self._ask_once(n=several), several
        except Refused as error:
            if several == 1:
                raise self._cannot(error) from error
        try:
            return self._ask_once(n=1), 1
        except Refused as error:
            raise self._cannot(error) from error

    def _check_raw(self) -> None:
        """Refuse log-probabilities that are taken after the temperature and the filters."""
        # The likeliest tokens are asked for twice, under the run's sampling and under none. Equal
        # values are the policy's own; others were bent by the temperature, and would make a policy
        # look surer at a low one: confidence would then measure an option.
        try:
            bent, plain = (
                logprob_list(self._ask_once(top_logprobs=LIKELIEST, **how))
                for how in ({}, {"temperature": 1.0, "top_p": 1.0, **self._unbent})
            )
        except Refused as error:
            raise self._cannot(error) from error
        if len(bent) != len(plain) or any(
            abs(b - p) > SAME for b, p in zip(bent, plain, strict=True)
        ):
            raise ConfigError(
                f"{self._server.address} gives log-probabilities after temperature and filters; "
                "serve with --logprobs-mode raw_logprobs, or pass --temperature 1 --top-p 1 and "
                "no --sampling-arg"
            )

    def _ask_once(self, **changes: Any) -> JsonObject:
        body = self._sampled(WORD) | {"max_tokens": 1, **changes}
        body = {name: value for name, value in body.items() if value is not None}
        try:
            return self._server.run(partial(self._server.ask, body, retries=1))
        except (Unanswered, RunError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"model '{self._config.model}': {self._server.address} does not give one token of it "
            f"with its log-probability: {error}"
        )


def _tell(ended: SimpleQueue[Key], key: Key, future: Future[Any]) -> None:
    ended.put(key)


WORD = [{"role": "user", "content": "Hello"}]


class ServedChat:
    """The chat template of a served policy, which only the server has: prompts are tried on it."""

    def __init__(self, config: SamplingConfig) -> None:
        """Keep the settings; the server is not asked yet."""
        self._config = config

    def render(self, prompt: Prompt) -> str | Failed:
        """Ask for one token after this prompt, whose text is not told: "" where it is taken.

        A server that gives no answer refuses nothing: the engine will say what is wrong with it.
        """
        if found := control_token(prompt):
            return found
        _, fields = read_engine_args(self._config)
        body = {"model": self._config.model, "messages": chat_messages(prompt), **fields}
        server = open_server(self._config)
        try:
            server.run(partial(server.ask, body | {"max_tokens": 1}, retries=1))
        except Refused as error:
            return RefusedPrompt(one_line(f"{REFUSED}{error}"))
        except (Unanswered, RunError):
            pass
        finally:
            server.close()
        return ""

    def notes(self, system_prompt: str | None) -> list[str]:
        """Nothing: what its template writes is not told by a server."""
        return []


def open_server(config: SamplingConfig) -> Server:
    """The client of the config's server, with its limits.

    Raises:
        ConfigError: an engine arg is wrong, or the client is not installed.
    """
    limits, _ = read_engine_args(config)
    return Server(config, timeout=limits.timeout, retries=limits.retries)


def served_fingerprint(config: SamplingConfig) -> str:
    """Identify a served policy by its name and by the description that the server gives.

    Raises:
        ConfigError: as `OpenAIEngine`.
    """
    server = open_server(config)
    try:
        return server.served(config.model).fingerprint
    finally:
        server.close()


def read_engine_args(config: SamplingConfig) -> tuple[Limits, JsonObject]:
    """The engine's own limits, and the fields that go into each request.

    Arguments of sampling are such fields; those of the template stand together in one.

    Raises:
        ConfigError: a limit is no number, or a field is decided by an option.
    """
    engine_args = config.engine_args
    for name, option in OWN.items():
        if name in engine_args:
            raise ConfigError(f"engine-arg {name} cannot be set; pass {option}")
    names = Limits.__dataclass_fields__
    own = {name: value for name, value in engine_args.items() if name in names}
    fields = {k: v for k, v in engine_args.items() if k not in names}
    fields |= config.sampling_args or {}
    if config.chat_template_args:
        fields["chat_template_kwargs"] = config.chat_template_args
    return Limits(**own), fields


def control_token(prompt: Prompt) -> Failed | None:
    """Find a special token of the template in dataset text; most servers would let it through."""
    for message in prompt.messages:
        for part in message["content"]:
            if found := CONTROL.search(part.get("text", "")):
                place = "system prompt" if message["role"] == "system" else "problem"
                return Failed(f"{place} holds the special token {found[0]}")
    return None


def chat_messages(prompt: Prompt) -> list[JsonObject]:
    """The prompt as the chat-completions API has it: images as data URLs of PNG."""
    images = iter(prompt.images)

    def content(parts: list[JsonObject]) -> str | list[JsonObject]:
        if len(parts) == 1 and parts[0]["type"] == "text":
            return str(parts[0]["text"])  # some servers take no list for a system message
        return [
            part
            if part["type"] == "text"
            else {"type": "image_url", "image_url": {"url": data_url(next(images))}}
            for part in parts
        ]

    return [{"role": m["role"], "content": content(m["content"])} for m in prompt.messages]


def data_url(image: Image.Image) -> str:
    """The image as PNG in a URL: the same pixels at the other end."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # the network is seldom what holds a policy up
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
