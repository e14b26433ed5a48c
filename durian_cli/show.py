"""`durian show`."""

from __future__ import annotations

from durian.config import ShowConfig, ShownConfig
from durian_cli.options import command, show_result
from durian_cli.sample_lines import show_one


@command(ShowConfig)
def show(config: ShowConfig, shown: ShownConfig) -> None:
    """Show one sample of a run: completions, answers, measures, and what speaks for its cause.

    Example: durian show runs/a --row 189
    """
    from durian.view import show_sample  # here: it loads polars

    show_result(show_sample(config), show_one, shown)
