"""`durian report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from durian_cli.display import show_json, show_report
from durian_cli.options import Config, Json, Quiet


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a complete profile.")],
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build a run's report again from its tables alone.

    Example: durian report runs/a
    """
    from durian.report import build_report  # here, so that --help loads no matplotlib

    summary = build_report(run)
    if json:
        show_json({"run": str(run), "summary": summary})
    elif not quiet:
        show_report(run, summary)
