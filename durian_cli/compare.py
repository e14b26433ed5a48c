"""`durian compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from durian_cli.display import show_compare, show_json
from durian_cli.options import Config, Json, Quiet


def compare(
    run_a: Annotated[Path, typer.Argument(help="Run folder of the older profile: its groups.")],
    run_b: Annotated[Path, typer.Argument(help="Run folder of the policy in hand.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default compare/<name of A> in B's folder."),
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say how difficulty and groups moved between two policies, and whether to profile again.

    Example: durian compare runs/before runs/after
    """
    from durian.compare import compare_runs  # here, so that --help loads no matplotlib

    result = compare_runs(run_a, run_b, out)
    if json:
        show_json(result)
    elif not quiet:
        show_compare(result)
