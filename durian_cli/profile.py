"""`durian profile`."""

from __future__ import annotations

from durian.config import AttemptConfig, CostConfig, ProfileConfig, ShownConfig
from durian.errors import ConfigError
from durian_cli.display import progress_for, show_plan, show_profile, show_shard
from durian_cli.options import command, show_result


@command(ProfileConfig, CostConfig, AttemptConfig)
def profile(
    config: ProfileConfig, cost: CostConfig, attempt: AttemptConfig, shown: ShownConfig
) -> None:
    """Measure how hard each sample is for a model, and write the difficulty table.

    Example: durian profile data/photo_shapes/test.parquet --model data/tiny_policy --out runs/a
    """
    if cost.asked and not attempt.dry_run:
        raise ConfigError(f"{cost.asked[0]} is for --dry-run; add it, or leave {cost.asked[0]} out")
    with progress_for(quiet=shown.quiet) as progress:
        if attempt.dry_run:
            from durian.planning.dry_run import plan_profile  # here, so that --help loads no torch

            plan = plan_profile(config, cost, progress=progress)
        elif config.shard is not None:
            from durian.shards import ShardDone, profile_shard

            result = profile_shard(config, fresh=attempt.fresh, progress=progress)
        else:
            from durian.profile import profile_dataset

            result = profile_dataset(config, fresh=attempt.fresh, progress=progress)
    if attempt.dry_run:
        show_result(plan, show_plan, shown)
    elif config.shard is not None and isinstance(result, ShardDone):
        show_result(result, show_shard, shown)
    else:
        show_result(result, show_profile, shown)
