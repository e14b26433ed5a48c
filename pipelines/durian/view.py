"""`durian view`, `durian show`: a finished run -> its samples, in the browser or the terminal."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from durian.config import ShowConfig, ViewConfig
from durian.config.view import PORT
from durian.errors import ConfigError, DurianError, require
from durian.table.checked import check_manifest
from durian.viewer.completions import Completions
from durian.viewer.opened import OpenRun, one_place, open_to_view
from durian.viewer.table import SampleTable

if TYPE_CHECKING:
    from durian.viewer.facts import Like, SampleFacts

_LATER = 2.0  # seconds after the start: the first view comes first


@dataclass(frozen=True, kw_only=True)
class Written:
    """A folder that shows some samples without a server."""

    folder: Path
    samples: int
    of: int  # that pass the filter
    images: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One sample, and some like it."""

    sample: SampleFacts
    like: list[Like]


def serve_run(config: ViewConfig, *, ready: Callable[[str], None]) -> None:
    """Serve a run to the browser until it is interrupted; the run and its dataset are only read.

    Args:
        ready: called once with the address to open, when it is served.
    Raises:
        InputError: the run, its filter, marks or dataset, or the address to serve at.
    """
    require("durian view", "starlette", "uvicorn", "math_core")
    import uvicorn

    from durian.viewer.server import is_loopback, make_app

    opened = open_to_view(config)
    listening = _listen(config)
    token = None if is_loopback(config.host) else secrets.token_urlsafe(24)
    app = make_app(opened, host=config.host, token=token)
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off", http="h11",
        ws="none",
    )  # fmt: skip

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(_address(config, listening.getsockname()[1], token))
            # While a person looks at the first rows, what the page of a sample needs is made ready.
            later = threading.Timer(_LATER, _make_ready, [opened])
            later.daemon = True
            later.start()

    try:
        with listening:
            Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:  # as it is meant to end
        pass


def write_static(config: ViewConfig) -> Written:
    """Write the first samples of a run, as one page and its images, into a folder.

    Raises:
        InputError: the run or its filter, or a folder that is not empty.
    """
    require("durian view", "math_core")
    from durian.viewer.static import write_folder

    assert config.static is not None
    return Written(**write_folder(open_to_view(config), config.static, config.limit))


def show_sample(config: ShowConfig) -> Shown:
    """Gather what is known of one sample.

    Raises:
        InputError: the run, or it has no such sample.
    """
    from durian.viewer.facts import sample_facts, samples_like  # here: the server begins without

    manifest = check_manifest(config.run)
    table = SampleTable(config.run)
    place = one_place(table, row=config.row, sample_id=config.id)
    facts = sample_facts(table, Completions(config.run), manifest, place)
    return Shown(sample=facts, like=samples_like(table, place))


def _listen(config: ViewConfig) -> socket.socket:
    kind = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    ports = [PORT, 0] if config.port is None else [config.port]
    for port in ports:
        listening = socket.socket(kind, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((config.host, port))
            return listening
        except OSError as error:
            listening.close()
            if port == ports[-1]:
                raise ConfigError(
                    f"port: {config.host} port {port} cannot be served at ({error.strerror}); "
                    "pass another --port or --host"
                ) from error
    raise AssertionError


def _address(config: ViewConfig, port: int, token: str | None) -> str:
    host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(
        config.host, f"[{config.host}]" if ":" in config.host else config.host
    )
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def _make_ready(opened: OpenRun) -> None:
    import durian.viewer.facts  # noqa: F401

    with suppress(DurianError):  # whoever opens a sample is told
        _ = opened.completions.index
        for name in opened.table.measured:
            opened.table.bins(name)
            opened.table.ranks(name)
