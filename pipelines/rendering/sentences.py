"""The numbers of a report in plain words, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "pixel_entropy": "pixel entropy",
    "spectral_entropy": "spectral entropy",
    "mean_logprob": "confidence per token",
    "sum_logprob": "confidence of whole completions",
    "answer_entropy": "scatter of the answers",
    "mean_tokens": "length alone (baseline)",
}


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Three or four sentences that say what was found."""
    if "error_rate" not in summary:
        return _without_policy(summary)
    said = [
        f"The policy is wrong in {_percent(summary['error_rate'])} of {summary['completions']:,} "
        f"completions over {summary['measured']:,} samples."
    ]
    easy, hard = summary["perceptual"][0], summary["perceptual"][-1]
    if _known(easy["error_rate"]) and _known(hard["error_rate"]):
        said.append(
            f"It is wrong in {_percent(hard['error_rate'])} where images are hard to see, against "
            f"{_percent(easy['error_rate'])} where they are easy."
        )
    if len(summary["reasoning"]) > 1:
        first, last = summary["reasoning"][0], summary["reasoning"][-1]
        said.append(
            f"Where it is least confident it is wrong in {_percent(first['error_rate'])}, where it "
            f"is most confident in {_percent(last['error_rate'])}."
        )
    rates = summary["pass_rates"]
    same, extreme = (f"{100 * rates[key]:.0f} %" for key in ("no_variance", "extreme"))
    said.append(
        f"{same} of the samples are always right or always wrong and teach plain GRPO nothing; "
        f"{extreme} are extreme, with one completion that differs from all others."
    )
    return said


def _without_policy(summary: Mapping[str, Any]) -> list[str]:
    spread = summary["spread"].get("pixel_entropy", {"n": 0})
    if not spread["n"]:
        return [f"No measure could be taken of any of the {summary['samples']:,} samples."]
    return [
        f"Pixel entropy of {spread['n']:,} of {summary['samples']:,} samples runs from "
        f"{spread['least']:.2f} to {spread['most']:.2f} bits, with a median of "
        f"{spread['median']:.2f}.",
        "No completions were scored, so this report says what is hard to see, not what is wrong.",
    ]


def _known(estimate: Mapping[str, Any]) -> bool:
    return estimate["value"] is not None


def _percent(estimate: Mapping[str, Any]) -> str:
    """'47 % (95 % interval 44-50)'."""
    if estimate["value"] is None:
        return f"an unknown share ({estimate['reason']})"
    if estimate["low"] is None:
        return f"{100 * estimate['value']:.0f} %"
    low, high = 100 * estimate["low"], 100 * estimate["high"]
    return f"{100 * estimate['value']:.0f} % (95 % interval {low:.0f}-{high:.0f})"
