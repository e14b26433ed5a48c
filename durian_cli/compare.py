"""`durian compare`."""

from __future__ import annotations

from durian.config import CompareConfig, ShownConfig
from durian_cli.display import show_compare
from durian_cli.options import command, show_result


@command(CompareConfig)
def compare(config: CompareConfig, shown: ShownConfig) -> None:
    """Say how difficulty and groups moved between two policies, and whether to profile again.

    Example: durian compare runs/before runs/after
    """
    from durian.compare import compare_runs  # here, so that --help loads no matplotlib

    show_result(compare_runs(config.run_a, config.run_b, config.out), show_compare, shown)
