"""The viewer's server in a thread of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import uvicorn

from durian.config import ViewConfig
from durian.viewer.opened import open_to_view
from durian.viewer.server import make_app


@contextmanager
def served(run: Path, *, token: str | None = None, **options: Any) -> Iterator[str]:
    """Serve a run at a free port of this machine; gives the address."""
    opened = open_to_view(ViewConfig(run=run, **options))
    app = make_app(opened, host=options.get("host", "127.0.0.1"), token=token)
    begun = Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            begun.set()

    server = Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none")
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    assert begun.wait(60)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)
