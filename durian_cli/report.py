"""`durian report`."""

from __future__ import annotations

from pathlib import Path

from durian.config import ReportConfig, ShownConfig
from durian.errors import without_secrets
from durian_cli.display import show_report
from durian_cli.options import command, show_result


@command(ReportConfig)
def report(config: ReportConfig, shown: ShownConfig) -> None:
    """Build a run's report again from its tables alone.

    Example: durian report runs/a
    """
    from durian.report import build_report  # here, so that --help loads no matplotlib
    from durian.run.folder import REPORT_FOLDER

    summary = build_report(config.run, config.out)
    show_result(
        {"run": without_secrets(config.run), "summary": summary},
        lambda _: show_report(config.out or Path(config.run, REPORT_FOLDER), summary),
        shown,
    )
