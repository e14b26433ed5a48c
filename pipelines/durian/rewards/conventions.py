"""How the function of `FILE.py:function` is called: found by the names of its parameters.

    solution_str   verl: f(data_source, solution_str, ground_truth, extra_info) -> float | dict
    solution_strs  verl's batches: f(data_sources, solution_strs, ground_truths, extra_infos)
    completions    TRL and ms-swift: f(completions, prompts, **columns) -> list of numbers
    any other      EasyR1: f(reward_input: dict), or a list of them with REWARD_TYPE = "batch"

A class, as ms-swift's rewards are, is made once without arguments; an async function is awaited.
TRL gives conversations to its rewards and ms-swift texts, under one name: texts are tried first,
and conversations where the function refuses those.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from durian.rewards.score import Attempts

Call = Callable[[Attempts], Any]  # -> a list, a result a completion
# Names under which datasets and rewards know the reference, where the row has no such column.
_REFERENCES = ("solution", "answer", "ground_truth", "target", "label", "reference")


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function can be given an argument of this name."""
    names = _parameters(function)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return (name in names and names[name].kind in by_name) or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in names.values()
    )


def caller(
    function: Callable[..., Any], *, batch: bool, given: Mapping[str, Any] | None = None
) -> Call:
    """Find out how a reward is called.

    Args:
        batch: of EasyR1's convention: it takes all of a sample's completions at once.
        given: the user's own arguments, which it takes: of a class, those that it is made with.
    """
    if isinstance(function, type):
        made: Any = function(**(given or {}))
        function = made
    elif given:
        function = _with_arguments(function, given)
    names = _parameters(function)
    if "solution_str" in names:
        return partial(_verl, function, names)
    if "solution_strs" in names:
        return partial(_verl_batch, function, names)
    if "completions" in names:
        return _Listed(function, names)
    return partial(_easyr1, function, batch)


def _with_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> Callable[..., Any]:
    def call(*placed: Any, **named: Any) -> Any:
        return function(*placed, **{**named, **given})  # no column of that name replaces it

    call.__signature__ = inspect.signature(partial(function, **given))  # type: ignore[attr-defined]
    return call


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # of a function in C
        return {}


def _taken(
    names: Mapping[str, inspect.Parameter], known: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The known arguments that a function takes: by place those that it takes so alone."""
    rest = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in names.values())
    placed = [
        known[name]
        for name, each in names.items()
        if each.kind is inspect.Parameter.POSITIONAL_ONLY and name in known
    ]
    lacking = [
        name
        for name, each in names.items()
        if name not in known
        and each.default is inspect.Parameter.empty
        and each.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    ]
    if lacking:
        raise TypeError(f"it takes '{lacking[0]}', and the dataset has no such column")
    named = {
        name: value
        for name, value in known.items()
        if rest
        and name not in names
        or name in names
        and names[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    }
    return placed, named


def _call(
    function: Callable[..., Any], names: Mapping[str, inspect.Parameter], known: Mapping[str, Any]
) -> Any:
    placed, named = _taken(names, known)
    return _waited(function(*placed, **named))


def _waited(result: Any) -> Any:
    if not inspect.isawaitable(result):
        return result

    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


def _verl(
    function: Callable[..., Any], names: Mapping[str, inspect.Parameter], attempts: Attempts
) -> list[Any]:
    return [
        _call(
            function,
            names,
            {
                "data_source": _data_source(attempts),
                "solution_str": completion,
                "ground_truth": attempts.answer,
                "extra_info": _extra_info(attempts),
            },
        )
        for completion in attempts.completions
    ]


def _verl_batch(
    function: Callable[..., Any], names: Mapping[str, inspect.Parameter], attempts: Attempts
) -> Any:
    each = len(attempts.completions)
    known = {
        "data_sources": [_data_source(attempts)] * each,
        "solution_strs": list(attempts.completions),
        "ground_truths": [attempts.answer] * each,
        "extra_infos": [_extra_info(attempts) for _ in range(each)],
    }
    return _call(function, names, known)


def _data_source(attempts: Attempts) -> str:
    return str(attempts.columns.get("data_source") or "durian")


def _extra_info(attempts: Attempts) -> dict[str, Any]:
    """verl's dict of the row's own; the row's columns where it has none."""
    told = attempts.columns.get("extra_info")
    return dict(told if isinstance(told, Mapping) else attempts.columns)


class _Listed:
    """A reward of TRL or ms-swift: a value a completion of each column."""

    def __init__(
        self, function: Callable[..., Any], names: Mapping[str, inspect.Parameter]
    ) -> None:
        self._function, self._names = function, names
        self._form: Callable[[str], Any] | None = None  # of a completion; None: not known yet

    def __call__(self, attempts: Attempts) -> Any:
        each = len(attempts.completions)
        row = {name: attempts.answer for name in _REFERENCES} | dict(attempts.columns)
        known: dict[str, Any] = {name: [value] * each for name, value in row.items()}
        # What TRL and ms-swift hand over beside the columns; what is logged goes nowhere.
        known |= {"trainer_state": None, "log_extra": _nowhere, "log_metric": _nowhere}
        refused: Exception | None = None
        for form in (_as_text, _as_conversation) if self._form is None else (self._form,):
            try:
                results = self._scored(known, form, attempts)
            except Exception as error:
                refused = refused or error
                continue
            self._form = form
            return results
        assert refused is not None
        raise refused

    def _scored(
        self, known: Mapping[str, Any], form: Callable[[str], Any], attempts: Attempts
    ) -> Any:
        prompt = (
            [{"role": "user", "content": attempts.question}]
            if form is _as_conversation
            else attempts.question
        )
        said = {
            "completions": [form(text) for text in attempts.completions],
            "prompts": [prompt] * len(attempts.completions),
        }
        return _call(self._function, self._names, {**known, **said})


def _as_text(completion: str) -> str:
    return completion


def _as_conversation(completion: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": completion}]


def _nowhere(*_: Any) -> None:
    """Take what a reward logs."""


def _easyr1(function: Callable[[Any], Any], batch: bool, attempts: Attempts) -> Any:
    inputs = [_input(attempts, number) for number in range(len(attempts.completions))]
    return _waited(function(inputs)) if batch else [_waited(function(one)) for one in inputs]


def _input(attempts: Attempts, number: int) -> dict[str, Any]:
    reasons: Sequence[str] = attempts.finish_reasons
    return {
        "response": attempts.completions[number],
        "response_length": attempts.n_tokens[number],
        "ground_truth": attempts.answer,
        "question": attempts.question,
        "options": list(attempts.options),
        "columns": dict(attempts.columns),
        "image_sizes": list(attempts.image_sizes),
        "seen_sizes": list(attempts.seen_sizes),
        "finish_reason": reasons[number] if reasons else None,
    }
