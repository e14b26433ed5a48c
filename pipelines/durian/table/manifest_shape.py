"""What a profile's manifest.json must hold, so that whoever reads it may take it at its word."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_Test = Callable[[Any], bool]
_NOT_THERE = object()


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _or(word: object, test: _Test) -> _Test:
    return lambda value: value == word or test(value)


def _all(test: _Test) -> _Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _mapping(test: _Test) -> _Test:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def _any(value: Any) -> bool:
    return True


def _pair(value: Any) -> bool:
    return _all(_number)(value) and len(value) == 2


def _chosen(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("told_apart"), bool)


# Where in the manifest, what must stand there, in words, and whether every reader needs it.
_SHAPE: tuple[tuple[str, _Test, str, bool], ...] = (
    ("schema", _count, "a version", False),
    ("created", _text, "text", False),
    ("dataset", _mapping(_any), "a mapping", True),
    ("dataset.name", _text, "text", True),
    ("dataset.fingerprint", _text, "text", False),
    ("model", _mapping(_any), "a mapping", True),
    ("model.name", _or(None, _text), "text or null", True),
    ("model.fingerprint", _or(None, _text), "text or null", False),
    ("counts", _mapping(_any), "a mapping", False),
    ("counts.rows", _count, "a count", False),
    ("counts.samples", _count, "a count", False),
    ("groups", _mapping(_any), "a mapping", True),
    ("groups.perceptual", _mapping(_any), "a mapping", True),
    ("groups.perceptual.measure", _text, "a column", True),
    ("groups.perceptual.percentiles", _or("auto", _pair), "two numbers, or auto", False),
    ("groups.perceptual.edges", _all(_number), "a list of numbers", False),
    ("groups.perceptual.sizes", _mapping(_count), "a mapping of counts", False),
    ("groups.reasoning", _mapping(_any), "a mapping", True),
    ("groups.reasoning.measure", _text, "a column", True),
    ("groups.reasoning.bins", _or("auto", _count), "a count, or auto", False),
    ("groups.reasoning.edges", _all(_number), "a list of numbers", False),
    ("groups.reasoning.sizes", _mapping(_count), "a mapping of counts", False),
    ("config", _mapping(_any), "a mapping", False),
)
# Written by some versions, or for some runs, only.
_OPTIONAL: tuple[tuple[str, _Test, str], ...] = (
    ("identity", _mapping(_any), "a mapping"),
    ("seconds", _mapping(_number), "a mapping of numbers"),
    ("tokens", _or(None, _mapping(_or(None, _count))), "a mapping of counts, or null"),
    ("counts.duplicate_rows", _count, "a count"),
    ("counts.failed", _count, "a count"),
    ("counts.failed_by_reason", _mapping(_count), "a mapping of counts"),
    ("groups.version", _count, "a count"),
    ("groups.perceptual.chosen", _chosen, "how auto chose"),
    ("groups.reasoning.chosen", _chosen, "how auto chose"),
    ("regrouped", _all(_mapping(_any)), "a list of mappings"),
    ("config.system_prompt", _or(None, _text), "text or null"),
    ("config.prompt_template", _or(None, _text), "text or null"),
    ("config.reward", _or(None, _text), "text or null"),
    ("config.min_pixels", _or(None, _count), "a count, or null"),
    ("config.max_pixels", _or(None, _count), "a count, or null"),
    ("config.max_tokens", _count, "a count"),
    ("config.temperature", _number, "a number"),
    ("config.top_p", _number, "a number"),
)


def manifest_fault(manifest: Mapping[str, Any], *, whole: bool) -> str | None:
    """What is wrong with a profile's manifest, as a phrase that names the key; None if nothing.

    Args:
        manifest: a JSON object.
        whole: all of it will be used, rather than what training and eval read.
    """
    needed = [(place, test, kind, whole or always) for place, test, kind, always in _SHAPE]
    for place, test, kind, required in [*needed, *((*rule, False) for rule in _OPTIONAL)]:
        value = _at(manifest, place)
        if value is _NOT_THERE:
            if required:
                return f"lacks '{place}'"
        elif not test(value):
            return f"'{place}' is not {kind}"
    return None


def _at(manifest: Mapping[str, Any], place: str) -> Any:
    value: Any = manifest
    for name in place.split("."):
        if not isinstance(value, dict) or name not in value:
            return _NOT_THERE
        value = value[name]
    return value
