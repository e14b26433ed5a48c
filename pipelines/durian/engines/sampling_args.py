"""Arguments of sampling by name: refused where an engine has none such, built where it has.

They bend what is drawn, never what is told of it: log-probabilities stay the policy's own, of
before any penalty or filter.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from durian.errors import ConfigError, one_line

if TYPE_CHECKING:
    import torch

# What transformers' engine takes, by vLLM's names: penalties come before the temperature, filters
# after it, as vLLM has them.
PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
FILTERS = ("top_k", "min_p")


def check_names(given: Mapping[str, Any], known: Collection[str], program: str) -> None:
    """Refuse a name that an engine's program does not know.

    Raises:
        ConfigError: names it, and the nearest one that there is.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise ConfigError(f"sampling-arg {name}: {program} has no such argument; {hint}")


def vllm_params(make: type, repetition: type, given: Mapping[str, Any], **ours: Any) -> Any:
    """vLLM's `SamplingParams` of our settings and the arguments that were given.

    Args:
        make: `SamplingParams`.
        repetition: `RepetitionDetectionParams`, of which the option holds the fields.
    Raises:
        ConfigError: a name that it does not have, or a value that it does not take.
    """
    known = [name for name in signature(make).parameters if not name.startswith("_")]
    check_names(given, known, "vLLM's SamplingParams")
    values = dict(given)
    found = values.get("repetition_detection")
    if isinstance(found, dict):
        check_names(found, list(signature(repetition).parameters), "repetition_detection")
    try:
        if isinstance(found, dict):
            values["repetition_detection"] = repetition(**found)
        return make(**ours, **values)
    except Exception as error:  # vLLM's own is no ValueError
        raise ConfigError(f"sampling-arg: vLLM refuses it ({one_line(error)})") from error


def penalties(given: Mapping[str, Any], prompt_tokens: int) -> list[Any]:
    """transformers' processors of the penalties among the arguments.

    Args:
        prompt_tokens: columns of the prompts in the token ids, padding included.
    """
    from transformers import RepetitionPenaltyLogitsProcessor

    made: list[Any] = []
    if "repetition_penalty" in given:
        made.append(RepetitionPenaltyLogitsProcessor(given["repetition_penalty"]))
    presence, frequency = (given.get(f"{kind}_penalty", 0) for kind in ("presence", "frequency"))
    if presence or frequency:
        made.append(written_penalty(prompt_tokens, float(presence), float(frequency)))
    return made


def filters(given: Mapping[str, Any]) -> list[Any]:
    """transformers' processors of the filters among the arguments, after the temperature's."""
    from transformers import MinPLogitsWarper, TopKLogitsWarper

    made: list[Any] = []
    if given.get("top_k"):
        made.append(TopKLogitsWarper(given["top_k"]))
    if given.get("min_p"):
        made.append(MinPLogitsWarper(given["min_p"]))
    return made


def check_transformers(given: Mapping[str, Any]) -> None:
    """Refuse what transformers' engine cannot do, before anything is loaded.

    Raises:
        ConfigError: a name or a value.
    """
    check_names(given, (*PENALTIES, *FILTERS), "engine transformers")
    try:
        penalties(given, 0), filters(given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"sampling-arg: {one_line(error)}") from error


def written_penalty(
    prompt_tokens: int, presence: float, frequency: float
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Lower each token that a completion holds, once for being there and once a time (OpenAI's)."""

    def penalized(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = input_ids[:, prompt_tokens:]  # (rows, tokens so far)
        counts = scores.new_zeros(scores.shape).scatter_add_(
            1, written, scores.new_ones(written.shape)
        )
        return scores - presence * (counts > 0) - frequency * counts  # (rows, vocabulary)

    return penalized
