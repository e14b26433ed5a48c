"""`durian grade`."""

from __future__ import annotations

import json
from typing import Any

from durian.config import GradeConfig, ShownConfig
from durian.errors import ConfigError
from durian_cli.options import command, show_result
from durian_cli.texts import printable


@command(GradeConfig)
def grade(config: GradeConfig, shown: ShownConfig) -> None:
    """Judge one answer: the reference's kind, the rule, right or wrong.

    Example: durian grade "x = -4 or x = 1" "1, -4"
    """
    from durian.rewards import Reference
    from durian.rewards import grade as judged

    verdict = judged(
        config.answer,
        Reference.of(config.reference, _options(config.options)),
        question=config.question,
        tolerance=config.tolerance,
    )
    result = {"right": verdict.right, "kind": verdict.kind, "rule": verdict.rule}
    show_result(result, _show, shown)


def _options(text: str) -> list[str]:
    if not text:
        return []
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ConfigError('options is no JSON list of texts; write it like ["red", "blue"]')
    return options


def _show(result: dict[str, Any]) -> None:
    print(printable(f"{'right' if result['right'] else 'wrong'} ({result['kind']})"))
    print(printable(f"rule: {result['rule']}"))
