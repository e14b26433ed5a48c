"""Config files: YAML whose keys are the long option names, as defaults of a command's options."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from durian.errors import ConfigError
from durian.records import JsonObject

OPTIONS = "durian"  # the section for options, of a file that has one to be passed on


def load_config(*passed_on: str) -> Callable[[typer.Context, Path | None], Path | None]:
    """The callback of a command's `--config`: the file's values are its options' defaults.

    Args:
        passed_on: a section that is left as it is, in the context's `meta`. Where there is one,
            options may stand in a section `durian` too.
    """

    def load(ctx: typer.Context, path: Path | None) -> Path | None:
        if path is None or ctx.resilient_parsing:
            return path
        from durian_cli.plain_yaml import read_yaml  # here: most commands are given no file

        values = dict(read_yaml(path))
        names = (OPTIONS, *passed_on) if passed_on else ()
        sections = {name: values.pop(name, None) or {} for name in names}
        for name, section in sections.items():
            if not isinstance(section, dict):
                raise ConfigError(f"{path}: '{name}' must hold 'name: value' lines")
        ctx.default_map = _defaults(ctx, path, values, also=names)
        ctx.default_map |= _defaults(ctx, path, sections.get(OPTIONS, {}), section=OPTIONS)
        for name in passed_on:
            ctx.meta[name] = {str(key): value for key, value in sections[name].items()}
        return path

    return load


def _defaults(
    ctx: typer.Context,
    path: Path,
    values: Mapping[Any, Any],
    *,
    section: str | None = None,
    also: tuple[str, ...] = (),
) -> JsonObject:
    """Options' values from a file's, by the options' own names."""
    known = {
        p.name.rstrip("_"): p  # --from is the parameter from_
        for p in ctx.command.params
        if p.name is not None and p.name not in ("config", "help", *also)
    }
    defaults: JsonObject = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *also], n=1)
            hint = (
                f"; did you mean '{near[0].replace('_', '-') if near[0] not in also else near[0]}'?"
                if near
                else ""
            )
            where = f" under '{section}'" if section else ""
            raise ConfigError(f"{path}: no option '{key}'{where}{hint}")
        option = known[name]
        defaults[str(option.name)] = _as_typed(path, key, value, _repeats(option))
    return defaults


def _repeats(parameter: Any) -> bool:
    """Whether an option is given several times, or an argument is one word or more."""
    return bool(getattr(parameter, "multiple", False)) or getattr(parameter, "nargs", 1) == -1


def _as_typed(path: Path, key: str, value: Any, repeats: bool) -> Any:
    """A YAML value as the command line would hold it: a text, or many where the option repeats."""
    # A file's value becomes the text that a person would have typed, so that it is read and checked
    # by the very code of the command line: `8`, "8" and --rollouts 8 cannot differ.
    if value is None or isinstance(value, str):
        return value if value is None or not repeats else [value]
    if isinstance(value, dict):
        if not repeats:
            raise ConfigError(f"{path}: '{key}' holds 'name: value' lines; write one value")
        return [f"{name}={_in_yaml(item)}" for name, item in value.items()]
    if isinstance(value, list):
        if any(isinstance(item, dict | list) or item is None for item in value):
            raise ConfigError(f"{path}: '{key}' holds more than a list of values")
        return [str(item) for item in value] if repeats else ",".join(map(str, value))
    return [str(value)] if repeats else str(value)


def _in_yaml(value: Any) -> str:
    # JSON is YAML, and keeps "8" apart from 8; but .inf and .nan have no JSON.
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
