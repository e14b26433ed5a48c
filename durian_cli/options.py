"""Options that every command has, and how texts become settings."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from durian.errors import ConfigError


def _load_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take the YAML's values as the defaults of the command's options."""
    if path is not None and not ctx.resilient_parsing:
        ctx.default_map = _defaults(ctx, path, _read_yaml(path))
    return path


def load_sections(
    options: str, passed_through: str
) -> Callable[[typer.Context, Path | None], Path | None]:
    """As every command's `--config`, of a file that also has two sections.

    Args:
        options: a section of options, beside those at the top.
        passed_through: a section that is left as it is, in the context's `meta`.
    """

    def load(ctx: typer.Context, path: Path | None) -> Path | None:
        if path is None or ctx.resilient_parsing:
            return path
        values = dict(_read_yaml(path))
        sections = {name: values.pop(name, None) or {} for name in (options, passed_through)}
        for name, section in sections.items():
            if not isinstance(section, dict):
                raise ConfigError(f"{path}: '{name}' must hold 'name: value' lines")
        ctx.default_map = _defaults(ctx, path, values, also=(options, passed_through))
        ctx.default_map |= _defaults(ctx, path, sections[options], section=options)
        ctx.meta[passed_through] = {str(k): v for k, v in sections[passed_through].items()}
        return path

    return load


def _defaults(
    ctx: typer.Context,
    path: Path,
    values: Mapping[Any, Any],
    *,
    section: str | None = None,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Options' values from a file's, by the options' own names."""
    known = {p.name: p for p in ctx.command.params if p.name not in (None, "config", "help", *also)}
    defaults: dict[str, Any] = {}
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
        defaults[name] = _as_typed(path, key, value, getattr(known[name], "multiple", False))
    return defaults


def _read_yaml(path: Path) -> Mapping[Any, Any]:
    from durian_cli.plain_yaml import read_yaml  # here: most commands are given no file

    return read_yaml(path)


def _as_typed(path: Path, key: str, value: Any, repeats: bool) -> Any:
    """A YAML value as the command line would hold it: a text, or many where the option repeats."""
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


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_load_config,
        is_eager=True,
        help="YAML file of long option names; the command line wins.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def either(words: Iterable[str]) -> str:
    """`a, b or c`, of two words or more."""
    *others, last = words
    return f"{', '.join(others)} or {last}"


def choices(words: Collection[str]) -> Callable[[str], list[str]]:
    """Completes one of the words in a shell."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def comma_list(text: str) -> tuple[str, ...]:
    """'pixel,confidence' -> ('pixel', 'confidence')."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def percentile_pair(text: str) -> tuple[float, float]:
    """'25,75' -> (25.0, 75.0)."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"percentiles is '{text}'; write two numbers, like 25,75") from None
    return low, high


def price_pair(text: str | None) -> tuple[float, float] | None:
    """'0.4,1.6' -> (0.4, 1.6); one number stands for both."""
    if text is None:
        return None
    try:
        read, *written = (float(part) for part in str(text).split(","))
        (written_at,) = written or (read,)
    except ValueError:
        raise ConfigError(
            f"price-per-mtok is '{text}'; write the prices of a million prompt and completion "
            "tokens, like 0.4,1.6, or one number for both"
        ) from None
    return read, written_at


def weight_triple(text: str) -> tuple[float, float, float]:
    """'0.4,0.3,0.3' -> (0.4, 0.3, 0.3)."""
    try:
        own, perceptual, reasoning = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"weights is '{text}'; write three numbers, like 0.4,0.3,0.3") from None
    return own, perceptual, reasoning


def key_values(pairs: list[str], option: str = "engine-arg") -> dict[str, Any]:
    """['max_model_len=8192'] -> {'max_model_len': 8192}; values are read as YAML."""
    import yaml

    from durian_cli.plain_yaml import plain_value

    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{option} is '{pair}'; write NAME=VALUE")
        try:
            values[key.strip().replace("-", "_")] = plain_value(value)
        except yaml.YAMLError:
            values[key.strip().replace("-", "_")] = value
    return values
