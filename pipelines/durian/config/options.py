"""Declare an option once, as a field of a config, from which all else about it follows.

The command line, the keys of config files, the checks at birth, a run's identity, what a later
stage takes over from a profile, the estimate of a profile's cost and the option reference are read
from these fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from durian.errors import ConfigError, is_address, without_secrets

RUN, DATA, POLICY, SAMPLING = "Run", "Dataset", "Policy", "Sampling"
IMAGES, GROUPS = "Images", "Groups"
CHOICE, COMPLETIONS = "Choice of samples", "Completions, with --to sft or dpo"
NORMALIZER, VALIDATION = "Normalizer and groups", "Validation, with --eval-dataset"
COST = "Cost, with --dry-run"
PANELS = (
    None,
    RUN,
    DATA,
    CHOICE,
    COMPLETIONS,
    POLICY,
    SAMPLING,
    IMAGES,
    GROUPS,
    NORMALIZER,
    VALIDATION,
    COST,
)  # as --help has them
_KEY = "option"  # of a field's metadata


@dataclass(frozen=True, kw_only=True)
class Option:
    """The declaration of an option, beside its name, its type and its default."""

    help: str | Callable[[], str]  # a sentence; called late where a registry is to be named
    panel: str | None = None  # the heading it stands under in --help; None: with --quiet
    positional: bool = False
    repeatable: bool = False  # given as often as needed, a text each time
    typed: str | None = None  # the word after `--`; None: the field's name
    short: str | None = None  # like -q
    unit: str | None = None  # of a number
    default_text: str | None = None  # in words, where the value does not tell
    choices: Collection[str] | Callable[[], Collection[str]] = ()
    low: float | None = None  # the least that it may be
    above: float | None = None  # what it must be more than
    high: float | None = None  # the most that it may be
    filled: str | None = None  # it may not be an empty text; what to name
    read: Callable[[str], Any] | None = None  # makes a value of a text; ValueError where it cannot
    write: str | None = None  # what to write, where a text cannot be read
    section: str | None = None  # a section of config files of that name is passed on: what it holds
    identity: bool = True  # another value is another run: it is not resumed
    profiled: bool = False  # left open by a later stage, it is as the table's profile had it
    here: bool = False  # a folder that is locked and renamed in: of a file system, no server's
    telling: bool = False  # another value makes other completions, or writes them at another rate
    compared: bool = False  # another value changes what a difference between two runs means

    @property
    def sentence(self) -> str:
        """The help text of the option, without its default."""
        return self.help if isinstance(self.help, str) else self.help()

    @property
    def bounds(self) -> str | None:
        """The bounds of a number, in words."""
        bounds = {"or more": self.low, "above": self.above, "at most": self.high}
        told = [
            f"{bound:,g} {word}" if word == "or more" else f"{word} {bound:,g}"
            for word, bound in bounds.items()
            if bound is not None
        ]
        return " and ".join(told) or None

    @property
    def words(self) -> tuple[str, ...]:
        """The values that there are; empty where any will do."""
        return tuple(self.choices() if callable(self.choices) else self.choices)


def option(default: Any, help: str | Callable[[], str], **about: Any) -> Any:
    """Declare an option, as the field of a config.

    Args:
        default: `...` where it must be given.
        about: fields of `Option`.
    """
    return _field(default, Option(help=help, **about))


def again(config: type[Config], name: str, *default: Any, **changes: Any) -> Any:
    """Declare an option of another config anew, with another default or other words.

    Args:
        default: none for the same; `...` where it must be given.
        changes: fields of `Option`.
    """
    known = {f.name: f for f in fields(config)}[name]
    if not default:
        default = (default_of(known),)
    return _field(default[0], replace(option_of(known), **changes))


def _field(default: Any, about: Option) -> Any:
    metadata = {_KEY: about}
    if default is ...:
        return field(metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings whose fields are options; each is checked at birth against its declaration."""

    def __post_init__(self) -> None:
        """Refuse a value that its option cannot have.

        Raises:
            ConfigError: names the option, its value and what it must be.
        """
        for name, about in options_of(type(self)).items():
            _check(typed(name, about), getattr(self, name), about)


Settings = TypeVar("Settings", bound=Config)


def option_of(field: Field[Any]) -> Option:
    """The option that a config's field declares."""
    about: Option = field.metadata[_KEY]
    return about


def options_of(config: type[Config]) -> dict[str, Option]:
    """The options of a config by the names of their fields, in their order."""
    return {f.name: option_of(f) for f in fields(config)}


def named(config: type[Config], flag: str) -> list[str]:
    """The fields whose option has a flag of `Option`: `identity`, `profiled`, ..."""
    return [name for name, about in options_of(config).items() if getattr(about, flag)]


def identifying(config: Config) -> dict[str, Any]:
    """The settings that may not differ between two attempts at one run.

    Where it is and how fast it goes may; what is in a dataset or a model is compared, not where it
    lies.
    """
    values = asdict(config)
    return {name: values[name] for name in named(type(config), "identity")}


def as_kept(config: Config) -> dict[str, Any]:
    """The settings as a manifest keeps them: no address in them has a password or signature."""
    return {
        name: without_secrets(value) if isinstance(value, str) and is_address(value) else value
        for name, value in asdict(config).items()
    }


def default_values(config: type[Config]) -> dict[str, Any]:
    """The defaults of a config's options, of those that have one."""
    found = {f.name: default_of(f) for f in fields(config)}
    return {name: value for name, value in found.items() if value is not ...}


def typed(name: str, about: Option) -> str:
    """An option's name as a person types it, without `--`."""
    return about.typed or name.replace("_", "-")


def default_of(field: Field[Any]) -> Any:
    """The default of a config's field; `...` where it must be given."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return ... if field.default is MISSING else field.default


def given(config: Config) -> Iterator[str]:
    """The options that have another value than their default, as a person types them."""
    for f in fields(config):
        if getattr(config, f.name) != default_of(f):
            yield typed(f.name, option_of(f))


def shared(config: Config, kind: type[Config]) -> dict[str, Any]:
    """The values of `config` that a config of another kind has too."""
    return {f.name: getattr(config, f.name) for f in fields(kind)}


def restored(kind: type[Settings], stored: Mapping[str, Any]) -> Settings:
    """A config from what JSON keeps of it; keys of another one are passed over."""

    def value(held: Any) -> Any:  # JSON has no tuples
        return tuple(map(value, held)) if isinstance(held, list) else held

    known = {f.name for f in fields(kind)}
    return kind(**{name: value(held) for name, held in stored.items() if name in known})


def as_pairs(values: Mapping[str, Any] | None) -> str:
    """`top_k=20, min_p=0.1`, sorted by name; `none` of none."""
    return ", ".join(f"{name}={value}" for name, value in sorted((values or {}).items())) or "none"


def either(words: Collection[str]) -> str:
    """`a, b or c`, of two words or more."""
    *others, last = words
    return f"{', '.join(others)} or {last}"


def _check(name: str, value: Any, about: Option) -> None:
    # None is an option left open, for a later stage to fill. What a mapping holds is checked by
    # whom it is passed on to.
    if value is None or isinstance(value, Mapping):
        return
    if isinstance(value, str):
        if about.filled is not None and not value.strip():
            raise ConfigError(f"{name} is empty; name {about.filled}")
        if about.here and is_address(value):
            raise ConfigError(
                f"{name} is {without_secrets(value)}; this folder needs locks and renames: give "
                "one on a file system, and copy it there when it is complete"
            )
        if (words := about.words) and value not in words:
            what = " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"
            raise ConfigError(f"{name} is '{value}'; it must be {what}")
    elif isinstance(value, tuple) and about.choices:
        known = ", ".join(about.words)
        for word in value:
            if word not in about.words:
                raise ConfigError(f"{name} has '{word}'; it must be some of {known}")
        if not value:
            raise ConfigError(f"{name} is empty; name some of {known}")
    elif isinstance(value, tuple):
        numbers = ",".join(f"{number:g}" for number in value if isinstance(number, int | float))
        for number in value:
            if bound := _bound(number, about):
                raise ConfigError(f"{name} is {numbers}; each must be {bound}")
    elif bound := _bound(value, about):
        shown = f"{value:g}" if isinstance(value, float) else value
        raise ConfigError(f"{name} is {shown}; it must be {bound}")


def _bound(value: Any, about: Option) -> str | None:
    """The bound that a number does not keep, in words; None where it keeps all, or is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, above, high = about.low, about.above, about.high
    wild = isinstance(value, float) and not math.isfinite(value)  # NaN is below nothing
    if low is not None and (wild or value < low):
        return f"{low:g} or more"
    if above is not None and (wild or value <= above or (high is not None and value > high)):
        return f"above {above:g}" + ("" if high is None else f" and at most {high:g}")
    if high is not None and value > high:
        return f"{high:,} or fewer"
    return None
