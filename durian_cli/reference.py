"""The option reference: every option of every command, as its declaration has it, for the docs.

`make docs` writes it to docs/options.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from durian.config import Shard
from durian_cli.app import app
from durian_cli.options import Declared, as_text

_KINDS = {
    bool: "flag",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Shard: "I/N or slurm",
}


@dataclass(frozen=True, kw_only=True)
class OptionRow:
    """One option of one command; texts, not escaped for any form of page."""

    command: str
    option: str  # as typed, `--max-tokens`; a name alone stands for what is given without one
    type: str  # "whole number (tokens, 1 or more)"
    default: str  # "" where there is none, "required" where it must be given
    panel: str  # the heading in --help; "" for those of every command
    help: str  # a sentence or more


def option_reference() -> list[OptionRow]:
    """The rows of all commands, in the order of the commands, and of `--help` within one."""
    return [
        OptionRow(
            command=str(command.name or getattr(command.callback, "__name__", "")),
            option=declared.name if declared.about.positional else f"--{declared.typed}",
            type=_type(declared),
            default=_default(declared),
            panel=declared.about.panel or "",
            help=declared.about.sentence,
        )
        for command in app.registered_commands
        for declared in getattr(command.callback, "options", ())
    ]


def as_markdown(rows: list[OptionRow]) -> str:
    """A section a command and a table a panel, as docs/options.md has them."""
    lines = [
        "# The options of each command",
        "",
        "Written by `make docs` from the declarations in `pipelines/durian/config/`; a test checks"
        " it. `--config FILE.yaml` takes the same names as keys, `max_tokens` for"
        " `--max-tokens`, and every command has `--help`.",
    ]
    for command, of_command in groupby(rows, key=lambda row: row.command):
        lines += ["", f"## durian {command}"]
        kept = list(of_command)
        panels = dict.fromkeys(row.panel for row in kept)
        for panel in panels:
            lines += ["", f"### {panel}"] if panel else []
            lines += ["", "| option | value | default | meaning |", "| --- | --- | --- | --- |"]
            lines += [
                f"| `{row.option}` | {_cell(row.type)} | {_cell(row.default)} | {_cell(row.help)} |"
                for row in kept
                if row.panel == panel
            ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    # As text: <think> and the like would be tags.
    return text.replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def _type(declared: Declared) -> str:
    about = declared.about
    told = (about.unit, f"of {', '.join(about.words)}" if about.words else None, about.bounds)
    limits = ", ".join(filter(None, told))
    kind = "one text or more" if declared.many else _kind(declared.kind)
    if about.repeatable:
        kind = "text, repeatable"
    return kind + (f" ({limits})" if limits else "")


def _kind(kind: Any) -> str:
    """A type in words: one of `_KINDS`, several of it, NAME=VALUE, or one of either."""
    if kind in _KINDS:
        return _KINDS[kind]
    parts = get_args(kind)
    if get_origin(kind) is dict:
        return "NAME=VALUE, repeatable"
    if get_origin(kind) is Literal:
        return " or ".join(parts)
    if get_origin(kind) is tuple:
        return f"{_KINDS[parts[0]]}s, comma-separated"
    return " or ".join(map(_kind, parts))


def _default(declared: Declared) -> str:
    if declared.about.default_text is not None:
        return declared.about.default_text
    if declared.default is ...:
        return "required"
    hidden = declared.default is None or declared.repeats or declared.kind is bool
    return "" if hidden else str(as_text(declared.default))


if __name__ == "__main__":
    print(as_markdown(option_reference()), end="")
