"""`durian merge`."""

from __future__ import annotations

from durian.config import MergeConfig, ShownConfig
from durian_cli.display import progress_for, show_profile
from durian_cli.options import command, show_result


@command(MergeConfig)
def merge(config: MergeConfig, shown: ShownConfig) -> None:
    """Complete a run whose shards (profile --shard I/N) are all done, or say what is missing.

    Example: durian merge runs/a
    """
    from durian.shards import merge_run  # here, so that --help loads no matplotlib

    with progress_for(quiet=shown.quiet) as progress:
        result = merge_run(config.run, progress=progress)
    show_result(result, show_profile, shown)
