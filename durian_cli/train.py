"""`durian train`."""

from __future__ import annotations

import os
from dataclasses import replace

from durian.config import AttemptConfig, ShownConfig, TrainConfig
from durian_cli.display import progress_for, show_training, show_training_plan
from durian_cli.options import command, show_result


@command(TrainConfig, AttemptConfig)
def train(config: TrainConfig, attempt: AttemptConfig, shown: ShownConfig) -> None:
    """Train a policy by GRPO with the table's difficulty groups in the normalizer.

    Example: durian train data/photo_shapes/train.parquet --table runs/a --model data/tiny_policy
    --out runs/trained --config data/recipes/cpu_demo.yaml
    """
    if os.environ.get("RANK", "0") != "0":  # nor do the others speak
        shown = replace(shown, quiet=True)
    with progress_for(quiet=shown.quiet) as progress:
        if attempt.dry_run:
            from durian.planning.dry_run import plan_training  # here, so that --help loads no torch

            plan = plan_training(config, progress=progress)
        else:
            from durian.train import train_policy

            result = train_policy(config, fresh=attempt.fresh, progress=progress)
    if attempt.dry_run:
        show_result(plan, show_training_plan, shown)
    elif result is not None:  # one process of a launch has it
        show_result(result, show_training, shown)
