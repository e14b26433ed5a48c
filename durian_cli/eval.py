"""`durian eval`."""

from __future__ import annotations

from durian.config import EvalConfig, ResumeConfig, ShownConfig
from durian_cli.display import progress_for, show_eval
from durian_cli.options import command, show_result


@command(EvalConfig, ResumeConfig)
def evaluate(config: EvalConfig, attempt: ResumeConfig, shown: ShownConfig) -> None:
    """Judge a policy: greedy and sampled accuracy, with intervals, overall and by group.

    Example: durian eval data/photo_shapes/test.parquet --model data/tiny_policy --table runs/a
    """
    with progress_for(quiet=shown.quiet) as progress:
        from durian.evaluate import evaluate_policy  # here, so that --help loads no torch

        result = evaluate_policy(config, fresh=attempt.fresh, progress=progress)
    show_result(result, show_eval, shown)
