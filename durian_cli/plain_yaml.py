"""YAML as config files need it: plain values, so that nothing can grow, recurse or run."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from durian.errors import ConfigError

MOST_BYTES = 100_000  # of a file; a long system prompt fits many times
DEEPEST = 20  # lists and mappings within each other
_DATE, _MERGE = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader without aliases, tags, merges, dates, repeated keys and bottomless nesting."""

    # A date is text, as on the command line: there is no option that is one.
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        # Refused while the tree is composed, before a value is made: aliases of aliases grow a few
        # lines to gigabytes, tags make objects, and nesting ends in Python's own limit.
        event = self._next()
        if isinstance(event, yaml.AliasEvent):
            raise _refused("an alias (*name) stands for another value; write that out", event)
        if event.tag is not None:
            raise _refused(
                f"the tag {event.tag} makes more than a plain value; leave it out", event
            )
        if self._depth == DEEPEST:
            raise _refused(f"values are nested more than {DEEPEST} deep", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _next(self) -> Any:
        parser: Any = self  # its methods are untyped
        return parser.peek_event()

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # a number of too many digits, or of none
            raise _refused(f"no value can be read: {error}", node) from error

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise _refused("a NUL or half a surrogate pair is no text", node)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                raise _refused("'<<' merges another mapping; write that out", key_node)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _refused("a list or mapping cannot be a key", key_node)
            if key in seen:
                raise _refused(
                    f"the key '{key}' is given twice, first in line {seen[key]}", key_node
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


def plain_value(text: str) -> Any:
    """The value that a YAML text writes: None, a flag, a number, a text, lists and dicts of them.

    Raises:
        yaml.YAMLError: not YAML, or YAML that goes beyond plain values.
    """
    loader = _PlainLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path: Path) -> dict[Any, Any]:
    """The content of a config file.

    Raises:
        ConfigError: not there, too large, not UTF-8, not plain YAML (which line), or no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(
                f"config: {path}: has more than {MOST_BYTES:,} bytes; is it a config file?"
            )
        values = plain_value(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"config: {path}: {error.strerror}; pass a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"config: {path}: not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise ConfigError(f"config: {path}{line}: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config: {path} must hold 'option: value' lines")
    return values


def _refused(why: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=why, problem_mark=place.start_mark)
