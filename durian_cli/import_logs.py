"""`durian import`."""

from __future__ import annotations

from durian.config import ImportConfig, ResumeConfig, ShownConfig
from durian_cli.display import progress_for, show_import
from durian_cli.options import command, show_result


@command(ImportConfig, ResumeConfig)
def import_logs(config: ImportConfig, attempt: ResumeConfig, shown: ShownConfig) -> None:
    """Make a run of rollouts that exist: logs of a training or an evaluation; needs no model.

    Example: durian import rollouts/ --from verl --dataset data/photo_shapes/train.parquet
    --out runs/logged
    """
    from durian.import_logs import import_logs as run  # here, so that --help loads no images

    with progress_for(quiet=shown.quiet) as progress:
        result = run(config, fresh=attempt.fresh, progress=progress)
    show_result(result, show_import, shown)
