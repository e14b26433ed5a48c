"""`durian report`."""

from __future__ import annotations

from durian.config import ReportConfig, ShownConfig
from durian_cli.display import show_report
from durian_cli.options import command, show_result


@command(ReportConfig)
def report(config: ReportConfig, shown: ShownConfig) -> None:
    """Build a run's report again from its tables alone.

    Example: durian report runs/a
    """
    from durian.report import build_report  # here, so that --help loads no matplotlib

    summary = build_report(config.run)
    show_result(
        {"run": str(config.run), "summary": summary},
        lambda _: show_report(config.run, summary),
        shown,
    )
