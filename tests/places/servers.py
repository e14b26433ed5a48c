"""Servers to read from: S3 in a process of its own, a folder by HTTP, and what comes between.

Every request goes through `Between`, which counts and, where a test says so, breaks the answer.
"""

import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Prints its address; ends when its input does, so that no killed test leaves it behind.
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """The host and port of an S3 server of its own process."""
    process = subprocess.Popen(
        [sys.executable, "-c", MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"MOTO_S3_CUSTOM_ENDPOINTS": ""},
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        host, port = process.stdout.readline().split()
        yield f"{host}:{port}"
        process.stdin.close()


@dataclass
class Answer:
    """What a server said, before it is passed on."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False  # end the connection in the middle of the body
    stall: bool = False  # send no body until the test has ended


Fault = Callable[[str, str, Answer], Answer | None]  # method, path, answer -> another, or none


@dataclass
class Between:
    """A server between client and server: counts requests and bytes, and breaks answers."""

    answer: Callable[[str, str, dict[str, str], bytes], Answer]
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0  # bytes of bodies
    fault: Fault | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    at: str = ""

    def fails(self, fault: Fault, *, times: int = 1 << 30) -> None:
        """Break the next answers that `fault` gives another one for."""
        left = times

        def some(method: str, path: str, answer: Answer) -> Answer | None:
            nonlocal left
            broken = fault(method, path, answer) if left else None
            left -= broken is not None
            return broken

        self.fault = some

    def counted(self) -> tuple[int, int]:
        """Requests and bytes since this was last asked."""
        found = len(self.requests), self.sent
        self.requests.clear()
        self.headers.clear()
        self.sent = 0
        return found

    @contextmanager
    def serving(self) -> Iterator["Between"]:
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = dict(self.headers)
                between.requests.append((self.command, self.path, headers.get("Range", "")))
                between.headers.append(headers)
                answer = between.answer(self.command, self.path, headers, self.rfile.read(length))
                if between.fault is not None:
                    answer = between.fault(self.command, self.path, answer) or answer
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if answer.stall:
                    self.wfile.flush()
                    between.ended.wait(30)
                    self.close_connection = True
                    return
                body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
                if self.command != "HEAD":
                    between.sent += len(body)
                    self.wfile.write(body)
                if answer.cut:
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self.at = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            self.ended.set()
            server.shutdown()
            thread.join()
            server.server_close()


def passing_on(to: str) -> Callable[[str, str, dict[str, str], bytes], Answer]:
    """Ask another server the same."""

    def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(to)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("transfer-encoding", "connection", "date", "server")
            }
            return Answer(answer.status, kept, content)
        except (OSError, http.client.HTTPException):  # what was read ahead when the test had ended
            return Answer(502, {}, b"")
        finally:
            connection.close()

    return ask


def folder_by_http(
    folder: Path, *, ranges: bool = True
) -> Callable[[str, str, dict[str, str], bytes], Answer]:
    """Serve a folder as web servers do: ranges, ETags, and a page of links for each folder."""

    def ask(method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        del body
        file = folder / unquote(urlsplit(path).path).lstrip("/")
        if file.is_dir():
            links = "".join(
                f'<a href="{inner.name}{"/" * inner.is_dir()}">x</a>'
                for inner in sorted(file.iterdir())
            )
            page = f'<a href="../">..</a>{links}'.encode()
            return Answer(200, {"Content-Type": "text/html"}, page if method == "GET" else b"")
        if not file.is_file():
            return Answer(404, {}, b"")
        content = file.read_bytes()
        known = {
            "ETag": f'"{hash(content)}"',
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes" if ranges else "none",
        }
        if headers.get("If-Match", known["ETag"]) != known["ETag"]:
            return Answer(412, {}, b"")
        if method == "HEAD":
            return Answer(200, known | {"Content-Length": str(len(content))}, b"")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
        if wanted is None or not ranges:
            return Answer(200, known, content)
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1) + 1
        if start >= len(content):
            return Answer(416, {}, b"")
        part = content[start:end]
        known["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        return Answer(206, known, part)

    return ask
