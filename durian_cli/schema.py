"""`durian schema`."""

from __future__ import annotations

from durian.config import ShownConfig
from durian_cli.display import show_schema
from durian_cli.options import command, show_result


@command()
def schema(shown: ShownConfig) -> None:
    """Print the tables' columns, types, units and meanings.

    Example: durian schema --json
    """
    from durian.schema import describe_tables

    show_result(describe_tables(), show_schema, shown)
