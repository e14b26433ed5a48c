"""`durian schema`."""

from __future__ import annotations

from durian_cli.display import show_json, show_schema
from durian_cli.options import Config, Json, Quiet


def schema(config: Config = None, quiet: Quiet = False, json: Json = False) -> None:
    """Print the tables' columns, types, units and meanings.

    Example: durian schema --json
    """
    from durian.schema import describe_tables

    tables = describe_tables()
    if json:
        show_json(tables)
    elif not quiet:
        show_schema(tables)
