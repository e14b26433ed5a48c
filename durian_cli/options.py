"""Options become commands: what a config declares as Typer has it, and texts as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import reduce
from inspect import Parameter, Signature
from keyword import iskeyword
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from durian.config import ShownConfig
from durian.config.later import LaterConfig
from durian.config.options import PANELS, Config, Option, default_of, option_of, typed
from durian.errors import ConfigError
from durian_cli.config_file import OPTIONS, load_config
from durian_cli.display import show_json


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An option of a command, as its config declares it."""

    field: str
    about: Option
    kind: Any  # the type of a value that is not None
    default: Any  # `...` where it must be given

    @property
    def typed(self) -> str:
        """The name as a person types it, without `--`."""
        return typed(self.field, self.about)

    @property
    def name(self) -> str:
        """The name among the command's parameters, and in a config file, but for a last `_`."""
        name = self.typed.replace("-", "_")
        return f"{name}_" if iskeyword(name) else name

    @property
    def repeats(self) -> bool:
        """Whether it may be given as often as needed: NAME=VALUE, or a text."""
        return get_origin(self.kind) is dict or self.about.repeatable

    @property
    def many(self) -> bool:
        """Whether it is one word or more, as the folders of several runs are."""
        return self.about.positional and get_origin(self.kind) is tuple

    def read(self, given: Any, passed_on: dict[str, Any]) -> Any:
        """The field's value, of what the command line or a config file gave.

        Args:
            passed_on: what the section of a config file holds that this option stands for.
        Raises:
            ConfigError: a text that cannot be read.
        """
        if self.many or self.about.repeatable:
            return tuple(given or ())
        if self.repeats:
            return {**passed_on, **key_values(given or [], option=self.typed)} or self.default
        if not isinstance(given, str) or self.kind is str:
            return given
        try:
            return self.about.read(given) if self.about.read else _read(given, self.kind)
        except ValueError:
            raise ConfigError(f"{self.typed} is '{given}'; write {self.about.write}") from None

    def parameter(self, sections: dict[str, str]) -> Parameter:
        """The parameter of a function that Typer makes a command of.

        Args:
            sections: of a config file that are passed on: what each holds.
        """
        about, help = self.about, self.about.sentence
        how: dict[str, Any] = {"rich_help_panel": about.panel}
        if about.default_text is not None:
            help, how["show_default"] = f"{help} (default: {about.default_text})", False
        if about.choices:
            how["autocompletion"] = self._complete
        if self.field == "config":
            how |= {"callback": load_config(*sections), "is_eager": True}
            if sections:
                under = ", ".join(f"{held} under `{name}:`" for name, held in sections.items())
                help = help.replace(";", f", also under `{OPTIONS}:`, and {under};", 1)
        plain = self.kind in (bool, int, float, str, Path)
        kind = self.kind if plain else list[str] if self.repeats or self.many else str
        default = None if self.repeats else as_text(self.default)
        name = f"--{self.typed}"
        if self.kind is bool and self.default is None:
            name += f"/--no-{self.typed}"  # left open, it is decided by the machine
        words = [] if about.positional else [name, *filter(None, [about.short])]
        make: Any = typer.Argument if about.positional else typer.Option
        return Parameter(
            self.name,
            Parameter.KEYWORD_ONLY,
            default=make(default, *words, help=help, **how),
            annotation=kind | None if default is None else kind,
        )

    def _complete(self, incomplete: str) -> list[str]:
        begun, comma, last = incomplete.rpartition(",")
        return [f"{begun}{comma}{word}" for word in self.about.words if word.startswith(last)]


def declared(config: type[Config]) -> Iterator[Declared]:
    """The options of a config, in the order of its fields."""
    kinds = get_type_hints(config)
    for field in fields(config):
        about, default = option_of(field), default_of(field)
        if about.profiled and default is None and issubclass(config, LaterConfig):
            text = about.default_text
            about = replace(about, default_text=f"the table's{f', else {text}' if text else ''}")
        yield Declared(
            field=field.name, about=about, kind=_without_none(kinds[field.name]), default=default
        )


def command(*configs: type[Config]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function of configs: its options are their fields and `ShownConfig`'s.

    The function is called with one config of each kind, in order, and last with a `ShownConfig`.
    """
    kinds = {kind: list(declared(kind)) for kind in (*configs, ShownConfig)}
    # A panel's options stand together, first those that must be given.
    options = sorted(
        (option for of_kind in kinds.values() for option in of_kind),
        key=lambda option: (PANELS.index(option.about.panel), option.default is not ...),
    )
    sections = {o.name: o.about.section for o in options if o.about.section is not None}
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(context: typer.Context, **given: Any) -> None:
            values = {o.name: o.read(given[o.name], context.meta.get(o.name, {})) for o in options}
            function(*(kind(**{o.field: values[o.name] for o in kinds[kind]}) for kind in kinds))

        # Typer makes options of a function's parameters, so a function is made whose parameters are
        # the declarations. Written out by hand they would stand in each command again, and drift
        # apart.
        signature = Signature([context, *(option.parameter(sections) for option in options)])
        run.__name__, run.__doc__, run.__annotations__ = function.__name__, function.__doc__, {}
        run.__dict__ |= {"__signature__": signature, "options": options}
        return run

    return decorate


def as_text(value: Any) -> Any:
    """A default as the command line would hold it."""
    if not isinstance(value, tuple):
        return value
    return ",".join(part if isinstance(part, str) else f"{part:g}" for part in value)


def show_result(result: Any, as_lines: Callable[[Any], None], shown: ShownConfig) -> None:
    """Show what a command came to, as `shown` asks: as JSON, as lines, or not at all."""
    if shown.json:
        show_json(result)
    elif not shown.quiet:
        as_lines(result)


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, UnionType):
        return kind
    return reduce(or_, (part for part in get_args(kind) if part is not type(None)))


def _read(text: str, kind: Any) -> Any:
    """A value of a kind, of its text; ValueError where it is none."""
    if get_origin(kind) in (Union, UnionType):  # of words, and of one kind more
        parts = get_args(kind)
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        (other,) = (part for part in parts if get_origin(part) is not Literal)
        return text.strip() if text.strip() in words else _read(text, other)
    if get_origin(kind) is not tuple:
        return kind(text)
    parts = get_args(kind)
    if parts[-1] is ...:
        return tuple(parts[0](part.strip()) for part in text.split(",") if part.strip())
    return tuple(read(part) for read, part in zip(parts, text.split(","), strict=True))


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
