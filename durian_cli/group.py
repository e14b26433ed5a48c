"""`durian group`."""

from __future__ import annotations

from durian.config import GroupConfig, ShownConfig
from durian_cli.display import progress_for, show_group
from durian_cli.options import command, show_result


@command(GroupConfig)
def group(config: GroupConfig, shown: ShownConfig) -> None:
    """Group a finished run's samples anew, by other columns or cuts; nothing is measured again.

    Example: durian group runs/a --bins auto --min-per-batch 16
    """
    from durian.regroup import regroup_run  # here: it loads polars and scipy

    with progress_for(quiet=shown.quiet) as progress:
        result = regroup_run(config, progress=progress)
    show_result(result, show_group, shown)
