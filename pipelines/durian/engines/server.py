"""An OpenAI-compatible server: the way to it, what it serves, and what its errors mean.

By the `openai` client, for what it does well and is kept up to date: connection pool, retries with
exponential back-off and jitter on 408, 409, 429, 5xx, time-outs and broken connections, and
`Retry-After` up to two minutes. Answers are read as plain JSON, since servers differ in detail.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from durian.config import SamplingConfig
from durian.errors import ConfigError, RunError, one_line, way_out
from durian.records import JsonObject

KEY = "OPENAI_API_KEY"
CONNECT_SECONDS = 10.0
ROW_FAULTS = (400, 413, 422)  # what the server says of a prompt that it cannot use
USER_FAULTS = (401, 403, 404)  # the key or the model, whatever the prompt

Result = TypeVar("Result")


class Refused(Exception):
    """The server will not take this request, asked again or not."""


class Unanswered(Exception):
    """No usable answer, after all retries: it may be this request's fault or the server's."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model of a server's own list."""

    name: str
    owner: str  # "vllm", "sglang", an organization; "" where the server does not tell
    root: str | None  # vLLM: the folder or hub id behind the name
    context: int | None  # tokens of a prompt and its completion

    @property
    def fingerprint(self) -> str:
        """The server's words on the model, without keys; it cannot vouch for the weights."""
        told = {"by": self.owner, "root": self.root, "context": self.context}
        kept = [f"{name}={value}" for name, value in told.items() if value]
        return one_line(" ".join([self.name, *kept]), longest=None)


class Server:
    """A client of one server, on an event loop of its own: usable where a loop runs already.

    The key comes from the environment alone and stands in no error of ours (`one_line`).
    """

    def __init__(self, config: SamplingConfig, *, timeout: float, retries: int) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            timeout: seconds until a request counts as unanswered.
            retries: how often a request is sent again.
        Raises:
            ConfigError: the client is not installed, or cannot use the environment's proxies.
        """
        try:
            import openai
            from anyio.from_thread import start_blocking_portal
        except ImportError as error:
            raise ConfigError(
                f"engine openai cannot be imported ({one_line(error)}); {way_out('openai')}"
            ) from error
        assert config.base_url is not None
        self.address = config.base_url.rstrip("/")
        self._errors = openai
        self._key = os.environ.get(KEY, "").strip()
        self._stack = ExitStack()
        # The client before the loop: should it fail, a running loop would keep the process alive.
        try:
            self._client = openai.AsyncOpenAI(
                base_url=self.address,
                api_key=self._key or "none",  # vLLM asks for none unless told to
                timeout=openai.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
                max_retries=retries,
            )
        except (ImportError, ValueError) as error:  # of a proxy whose address it cannot use
            raise ConfigError(
                f"base-url: no client can be made for {self.address} ({one_line(error)}); "
                "are HTTP_PROXY, HTTPS_PROXY and ALL_PROXY right?"
            ) from error
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._timeout = timeout

    def begin(self, work: Callable[[], Awaitable[Result]]) -> Future[Result]:
        """Run a coroutine beside others; cancelled, its requests are given up."""
        future: Future[Result] = self._portal.start_task_soon(work)
        return future

    def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run a coroutine to its end; an interruption cancels it, and with it all its requests."""
        future = self.begin(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close all connections."""
        try:
            self.run(self._client.close)
        finally:
            self._stack.close()

    def served(self, name: str) -> Served:
        """The server's description of a model.

        Raises:
            ConfigError: no server there, it takes no such key, or it does not serve that model.
        """
        listed = self._list()
        known = {str(m["id"]): m for m in listed if isinstance(m, dict) and "id" in m}
        if name not in known:
            raise ConfigError(
                f"model '{name}': not served by {self.address} "
                f"(it serves: {', '.join(sorted(known)) or 'nothing'}); name one of these"
            )
        told = known[name]
        context = told.get("max_model_len")
        return Served(
            name=name,
            owner=str(told.get("owned_by") or ""),
            root=str(told["root"]) if told.get("root") else None,
            context=context if isinstance(context, int) else None,
        )

    async def ask(self, body: JsonObject, *, retries: int | None = None) -> JsonObject:
        """The answer to one chat request.

        Raises:
            Refused: a fault of this prompt, in the server's words.
            Unanswered: no usable answer after all retries.
            RunError: the server no longer takes the key, or no longer has the model.
        """
        client = self._client if retries is None else self._client.with_options(max_retries=retries)
        errors = self._errors
        try:
            raw = await client.chat.completions.with_raw_response.create(
                model=body["model"],
                messages=body["messages"],
                extra_body={k: v for k, v in body.items() if k not in ("model", "messages")},
            )
            answer = raw.http_response.json()
        except errors.APIStatusError as error:
            # The status tells whose fault it is, and thus who pays: the prompt's is an error of one
            # row; a key or model that the server no longer takes ends the run, since every row
            # would fail; and of anything else, already sent again by the client, the caller must
            # find out.
            text = self.tell(error)
            if error.status_code in ROW_FAULTS:
                raise Refused(text) from error
            if error.status_code in USER_FAULTS:
                raise RunError(
                    f"{self.address} refuses model '{body['model']}' ({error.status_code}: {text})"
                ) from error
            raise Unanswered(f"status {error.status_code} ({text})") from error
        except errors.APITimeoutError as error:
            raise Unanswered(f"no answer within {self._timeout:g} s") from error
        except errors.APIConnectionError as error:
            raise Unanswered(f"the connection failed ({self.tell(error)})") from error
        except ValueError as error:
            raise Unanswered("its answer is not JSON") from error
        if not isinstance(answer, dict):
            raise Unanswered("its answer is not a JSON object")
        return answer

    def tell(self, error: BaseException) -> str:
        """Put the gist of an error into one line."""
        body = getattr(error, "body", None)
        said = body.get("message") if isinstance(body, dict) else None
        cause = error.__cause__ if isinstance(error, self._errors.APIConnectionError) else None
        return one_line(said or cause or error)

    def _list(self) -> list[Any]:
        errors = self._errors

        async def ask() -> Any:
            raw = await self._client.with_options(max_retries=1).models.with_raw_response.list()
            return raw.http_response.json()

        try:
            listed = self.run(ask)
        except errors.APIStatusError as error:
            way_out = {
                401: f"set {KEY} in the environment",
                403: f"set another {KEY} in the environment",
                404: "is its address right? vLLM's ends in /v1",
            }.get(error.status_code, "is it an OpenAI-compatible server?")
            raise ConfigError(
                f"base-url: {self.address} lists no models ({error.status_code}: "
                f"{self.tell(error)}); {way_out}"
            ) from error
        except errors.APIError as error:
            raise ConfigError(
                f"base-url: no server answers at {self.address} ({self.tell(error)}); "
                "start it, or correct the address"
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"base-url: {self.address} does not answer in JSON; is its address right? "
                "vLLM's ends in /v1"
            ) from error
        data = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(data, list):
            raise ConfigError(
                f"base-url: {self.address} lists no models; is it an OpenAI-compatible server?"
            )
        return data
