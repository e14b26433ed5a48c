"""`durian export`."""

from __future__ import annotations

from durian.config import ExportConfig, ShownConfig
from durian_cli.display import progress_for, show_export
from durian_cli.options import command, show_result


@command(ExportConfig)
def export(config: ExportConfig, shown: ShownConfig) -> None:
    """Write samples with their difficulty as another trainer reads them: verl, ms-swift, TRL...

    Example: durian export runs/a --to verl --out exported
    --filter 'pass_rate > 0 AND pass_rate < 1'
    """
    with progress_for(quiet=shown.quiet) as progress:
        from durian.export import export_run  # here: it loads polars and pyarrow

        result = export_run(config, progress=progress)
    show_result(result, show_export, shown)
