"""`durian view`."""

from __future__ import annotations

from durian.config import ShownConfig, ViewConfig
from durian_cli.display import show_json
from durian_cli.options import command, show_result
from durian_cli.texts import printable


@command(ViewConfig)
def view(config: ViewConfig, shown: ShownConfig) -> None:
    """Look at every sample of a run in the browser: search, sort, filter, open, mark, export.

    Example: durian view runs/a --marks marks.jsonl
    """
    from durian.view import serve_run, write_static  # here: they load polars

    if config.static is not None:
        show_result(
            write_static(config),
            lambda made: print(
                printable(
                    f"{made.folder / 'index.html'}: {made.samples:,} of {made.of:,} samples, "
                    f"{made.images:,} images"
                )
            ),
            shown,
        )
        return

    def ready(address: str) -> None:
        if shown.json:
            show_json({"address": address})
        elif not shown.quiet:
            print(printable(f"{config.run}: {address} (Ctrl-C ends it)"), flush=True)
        if not config.no_open:
            import threading
            import webbrowser

            # A browser that is not in the background would hold up the server.
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    serve_run(config, ready=ready)
