"""Read a chat-completions answer: its texts, and the log-probability of each token."""

from __future__ import annotations

from typing import Any

from durian.engines.chat import finite
from durian.records import JsonObject
from durian.samples import Failed, FinishReason, Rollout

LEAST = -9999.0  # nats: what vLLM writes for minus infinity, which JSON lacks
ROUNDING = 1e-3  # nats above 0 that a log-probability may be
_FINISH: dict[Any, FinishReason] = {"stop": "stop", "length": "length", "repetition": "repetition"}


def read_rollouts(answer: JsonObject, count: int) -> list[Rollout] | Failed:
    """The rollouts of one answer, in the order of their index, or why they cannot be used.

    Args:
        answer: the JSON object of a `/chat/completions` answer; anything may be in it.
        count: completions that were asked for.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
        return Failed("the server's answer has no choices")
    if len(choices) != count:
        return Failed(f"the server gave {len(choices)} completions, not {count}")
    usage = answer.get("usage")
    told = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    prompt_tokens = told if isinstance(told, int) and told > 0 else None
    rollouts = []
    for choice in sorted(choices, key=lambda c: c.get("index") or 0):
        rollout = _read(choice, prompt_tokens)
        if isinstance(rollout, Failed):
            return rollout
        rollouts.append(rollout)
    return finite(rollouts)


def logprob_list(answer: JsonObject) -> list[float]:
    """Log-probabilities of the likeliest first tokens, falling, nats; [] where there are none."""
    try:
        listed = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return sorted((float(token["logprob"]) for token in listed), reverse=True)
    except (LookupError, TypeError, ValueError):
        return []


def _read(choice: JsonObject, prompt_tokens: int | None) -> Rollout | Failed:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    # The log-probabilities are of all tokens, the text would be of some: length and confidence
    # would speak of another completion than the reward, which would miss the thinking besides.
    if message.get("reasoning") or message.get("reasoning_content"):
        return Failed("the server cuts the reasoning out of the text (its reasoning parser is on)")
    text = message.get("content")
    if not isinstance(text, str):
        return Failed("the server gave no text")
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    values = [t.get("logprob") for t in tokens if isinstance(t, dict)] if tokens else []
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    if not tokens or len(numbers) != len(tokens):
        return Failed("the server gave no log-probabilities")
    if max(numbers) > ROUNDING:
        return Failed(f"the server gave {max(numbers):g} as a log-probability")
    return Rollout(
        completion=text,
        n_tokens=len(numbers),
        sum_logprob=sum(numbers) if min(numbers) > LEAST else float("-inf"),
        finish_reason=_FINISH.get(choice.get("finish_reason"), "error"),
        prompt_tokens=prompt_tokens,
    )
