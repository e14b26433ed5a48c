"""`durian rescore`."""

from __future__ import annotations

from durian.config import RescoreConfig, ResumeConfig, ShownConfig
from durian_cli.display import progress_for, show_profile
from durian_cli.options import command, show_result


@command(RescoreConfig, ResumeConfig)
def rescore(config: RescoreConfig, attempt: ResumeConfig, shown: ShownConfig) -> None:
    """Score a finished run's completions by another reward, into a run of their own; no model.

    Example: durian rescore runs/a --reward my_reward.py:score --out runs/b
    """
    from durian.rescore import rescore_run  # here, so that --help loads no images

    with progress_for(quiet=shown.quiet) as progress:
        result = rescore_run(config, fresh=attempt.fresh, progress=progress)
    show_result(result, show_profile, shown)
