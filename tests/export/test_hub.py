"""The upload to the Hub, against a stand-in on this machine: what is sent, and what is not said."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from durian.errors import RunError
from durian.exporting.hub import push
from tests.cli.in_process import durian

TOKEN = "hf_standinstandinstandin"


class Hub(ThreadingHTTPServer):
    """Takes a commit as the Hub does, and keeps it."""

    refuses = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, value: object, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer({"id": "me/shapes", "sha": "0" * 40, "siblings": [], "private": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers["Authorization"])
        if self.server.refuses:
            self._answer({"error": f"bad token {TOKEN}"}, 403)
        elif self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            here = f"http://127.0.0.1:{self.server.server_port}"
            self._answer({"url": f"{here}/datasets/me/shapes", "name": "me/shapes"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            how = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": file["path"], **how} for file in files]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = content
            at = f"http://127.0.0.1:{self.server.server_port}/datasets/me/shapes/commit/{'0' * 40}"
            self._answer({"commitUrl": at, "commitOid": "0" * 40, "success": True})
        else:
            self._answer({"error": self.path}, 404)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_folder_is_uploaded_as_a_private_dataset(run, tmp_path, hub):
    out = tmp_path / "out"
    code, said, err = durian(
        "export", run, "--to", "verl", "--out", out, "--push-to-hub", "me/shapes", "-q", "--json",
        "--tables",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(said)["pushed"].endswith("datasets/me/shapes")
    # As older and newer versions of the library say it.
    private = hub.created.get("private") is True or hub.created.get("visibility") == "private"
    assert hub.created["type"] == "dataset" and private
    inside = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert hub.files == inside and "train.parquet" in inside
    assert {"tables/first/difficulty.parquet", "tables/first/manifest.json"} <= set(inside)
    assert hub.tokens == {f"Bearer {TOKEN}"}
    # The token came from the environment, and goes into no file and no line.
    assert not any(TOKEN.encode() in content for content in inside.values())
    assert TOKEN not in said + err


def test_a_refusal_is_one_line_without_the_token_and_keeps_the_files(run, tmp_path, hub):
    hub.refuses = True
    out = tmp_path / "out"
    code, said, err = durian(
        "export", run, "--to", "verl", "--out", out, "--push-to-hub", "me/shapes", "-q"
    )
    assert (code, said, err.count("\n")) == (1, "", 1), err
    assert "push-to-hub: me/shapes: " in err and "is written" in err and TOKEN not in err
    assert (out / "train.parquet").exists()
    with pytest.raises(RunError) as refused:  # from the library too
        push(out, "me/shapes")
    assert TOKEN not in str(refused.value)
