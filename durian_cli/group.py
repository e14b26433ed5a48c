"""`durian group`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from durian.errors import ConfigError
from durian_cli.display import progress_for, show_group, show_json
from durian_cli.options import Config, Json, Quiet, percentile_pair

_COLUMN = "a column of numbers, of the table or of the dataset. (default: as it is)"


def group(
    run: Annotated[Path, typer.Argument(help="Run folder of a complete profile.")],
    perceptual: Annotated[
        str | None, typer.Option(help=f"Measure of the perceptual groups: {_COLUMN}")
    ] = None,
    reasoning: Annotated[
        str | None, typer.Option(help=f"Measure of the reasoning bins: {_COLUMN}")
    ] = None,
    percentiles: Annotated[
        str | None,
        typer.Option(
            help="Cuts of the perceptual groups, like 25,75; auto: where the error rate changes. "
            "(default: as they are)"
        ),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option(
            help="Reasoning bins, like 10; auto: as many as differ in their error rate. "
            "(default: as they are)"
        ),
    ] = None,
    min_per_batch: Annotated[
        int | None,
        typer.Option(
            help="Prompts that each group must be expected to have in a rollout batch of training; "
            "fewer are refused, and auto merges until all have them."
        ),
    ] = None,
    rollout_batch: Annotated[
        int | None,
        typer.Option(help="Prompts of a rollout batch, for --min-per-batch. (default: 512)"),
    ] = None,
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Group a finished run's samples anew, by other columns or cuts; nothing is measured again.

    Example: durian group runs/a --bins auto --min-per-batch 16
    """
    from durian.regroup import GroupConfig, regroup_run  # here: it loads polars and scipy

    settings = GroupConfig(
        run=str(run),
        perceptual=perceptual,
        reasoning=reasoning,
        percentiles=None if percentiles is None else _percentiles(percentiles),
        bins=None if bins is None else _bins(bins),
        min_per_batch=min_per_batch,
        rollout_batch=rollout_batch,
    )
    with progress_for(quiet=quiet) as progress:
        result = regroup_run(settings, progress=progress)
    if json:
        show_json(result)
    elif not quiet:
        show_group(result)


def _percentiles(text: str) -> tuple[float, float] | Literal["auto"]:
    return "auto" if text.strip() == "auto" else percentile_pair(text)


def _bins(text: str) -> int | Literal["auto"]:
    if text.strip() == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"bins is '{text}'; write a number, or auto") from None
