"""A chat server in this process that answers as it is told to: faults on demand."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOGPROB = -0.5  # nats, of every token


class StandIn:
    """Serves the model `m`. What a prompt's text meets is in `plans`: one fault a request, then
    none. Requests are kept in `asked` by their prompt's text, as they came."""

    def __init__(self) -> None:
        self.plans: dict[str, list[Callable[[Any], None]]] = {}
        self.always: Callable[[Any], None] | None = None  # for any prompt at all
        self.refuses: Callable[[Any, dict[str, Any]], bool] = lambda handler, body: False
        self.listing: dict[str, Any] = {"data": [{"id": "m"}, {"id": "other"}]}
        self.choice: Callable[[dict[str, Any]], dict[str, Any]] = choice
        self.usage: Callable[[dict[str, Any]], Any] = lambda body: None
        self.asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.keys: list[str | None] = []
        self.lock = threading.Lock()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply(self, 200, stand_in.listing)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = text_of(body)
                with stand_in.lock:
                    stand_in.keys.append(self.headers.get("Authorization"))
                    stand_in.asked[text].append(body)
                    plan = stand_in.plans.get(text)
                    fault = stand_in.always or (plan.pop(0) if plan else None)
                if fault is not None:
                    fault(self)
                elif stand_in.refuses(self, body):
                    pass
                else:
                    choices = [
                        stand_in.choice(body) | {"index": i} for i in range(body.get("n", 1))
                    ]
                    reply(self, 200, {"choices": choices, "usage": stand_in.usage(body)})

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass  # the client hung up: that is what some tests are about

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return next(part["text"] for part in content if part["type"] == "text")


def choice(body: dict[str, Any]) -> dict[str, Any]:
    """Two tokens that the server is sure of by half a nat each."""
    return {
        "message": {"role": "assistant", "content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": t, "logprob": LOGPROB} for t in ("yes", "<end>")]},
    }


def reply(handler: Any, status: int, body: Any, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def status(code: int, message: str = "so it is", **headers: str) -> Callable[[Any], None]:
    return lambda handler: reply(handler, code, {"error": {"message": message}}, **headers)


def dropped(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.close()


def garbage(handler: Any) -> None:
    reply(handler, 200, b'{"choices": [{"mess')
