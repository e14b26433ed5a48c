"""The numbers of a report in plain words, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.rendering.names import NAMES, Grouped, grouped_by, name_of

__all__ = ["NAMES", "best_measure", "difference_between", "sentences"]


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Three or four sentences that say what was found."""
    if "error_rate" not in summary:
        return _without_policy(summary)
    grouped = grouped_by(summary.get("grouping"))
    said = [
        f"The policy is wrong in {_percent(summary['error_rate'])} of {summary['completions']:,} "
        f"completions over {summary['measured']:,} samples."
    ]
    said += filter(None, [_seeing(summary, grouped), _reasoning(summary, grouped)])
    said[1:] = [" ".join(said[1:])] if len(said) > 1 else []
    return [*said, *filter(None, [_best(summary)]), _teaching(summary)]


def best_measure(summary: Mapping[str, Any]) -> str | None:
    """The measure with the highest AUROC of error; length alone and plain columns do not count."""
    known = {
        name: of["auroc"]["value"]
        for name, of in summary["measures"].items()
        if of.get("kind", "measure") == "measure"
        and name != "mean_tokens"
        and of["auroc"]["value"] is not None
    }
    return max(known, key=lambda name: known[name]) if known else None


def difference_between(
    summary: Mapping[str, Any], first: str, second: str
) -> Mapping[str, Any] | None:
    """AUROC of `first` minus that of `second` with its interval, whichever way it is listed."""
    for row in summary.get("differences", []):
        of = row["difference"]
        if (row["first"], row["second"]) == (first, second):
            return dict(of)
        if (row["first"], row["second"]) == (second, first) and of["value"] is not None:
            low, high = of["low"], of["high"]
            turned = (None, None) if low is None else (-high, -low)
            return {"value": -of["value"], "low": turned[0], "high": turned[1]}
    return None


def _seeing(summary: Mapping[str, Any], grouped: Grouped) -> str | None:
    easy, hard = summary["perceptual"][0]["error_rate"], summary["perceptual"][-1]["error_rate"]
    if easy["value"] is None or hard["value"] is None:
        return None
    by = "" if grouped.hard_to_see != "hard to see" else f" (by {name_of(grouped.perceptual)})"
    return (
        f"Where samples are {grouped.hard_to_see}{by} it is wrong in {_percent(hard)}, where they "
        f"are {grouped.easy_to_see} in {_percent(easy)}{_contrast(summary, 'perceptual')}."
    )


def _reasoning(summary: Mapping[str, Any], grouped: Grouped) -> str | None:
    if len(summary["reasoning"]) < 2:
        return None
    first, last = summary["reasoning"][0]["error_rate"], summary["reasoning"][-1]["error_rate"]
    return (
        f"In the bin that is {grouped.hardest_bin} it is wrong in {_percent(first)}, in the one "
        f"that is {grouped.easiest_bin} in {_percent(last)}{_contrast(summary, 'reasoning')}."
    )


def _contrast(summary: Mapping[str, Any], which: str) -> str:
    """': 22 points more (15 to 29)', or that the data cannot tell them apart."""
    of = summary.get("contrast", {}).get(which)
    if of is None or of["value"] is None or of["low"] is None:
        return ""
    low, high = 100 * of["low"], 100 * of["high"]
    if low <= 0 <= high:
        return f", which these samples cannot tell apart ({low:+.0f} to {high:+.0f} points)"
    points = 100 * abs(of["value"])
    more, ends = ("more", (low, high)) if low > 0 else ("fewer", (-high, -low))
    return f": {points:.0f} points {more} ({ends[0]:.0f} to {ends[1]:.0f})"


def _best(summary: Mapping[str, Any]) -> str | None:
    best = best_measure(summary)
    if best is None:
        return None
    auroc = summary["measures"][best]["auroc"]
    interval = f", {auroc['low']:.2f} to {auroc['high']:.2f}" if auroc["low"] is not None else ""
    said = (
        f"Of the measures, {name_of(best)} tells wrong completions from right ones best "
        f"(AUROC {auroc['value']:.2f}{interval}; 0.5 is chance)"
    )
    over = difference_between(summary, best, "mean_tokens")
    if over is None or over["value"] is None or over["low"] is None:
        return said + "."
    ends = f"{over['value']:+.2f}, {over['low']:+.2f} to {over['high']:+.2f}"
    if over["low"] > 0:
        return f"{said}, better than the length of the completions alone ({ends})."
    return f"{said}, but not surely better than the length of the completions alone ({ends})."


def _teaching(summary: Mapping[str, Any]) -> str:
    rates = summary["pass_rates"]
    same, extreme = (f"{100 * rates[key]:.0f} %" for key in ("no_variance", "extreme"))
    said = (
        f"{same} of the samples are always right or always wrong and teach plain GRPO nothing; "
        f"{extreme} are extreme, with one completion that differs from all others"
    )
    again = summary.get("reliability", {}).get("reasoning", {}).get("same_group")
    if again is None:
        return said + "."
    return (
        f"{said}. Were its {summary['reliability']['rollouts']} rollouts drawn again, a sample "
        f"would keep its reasoning bin {100 * again:.0f} % of the time."
    )


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


def _percent(estimate: Mapping[str, Any]) -> str:
    """'47 % (95 % interval 44-50)'."""
    if estimate["value"] is None:
        return f"an unknown share ({estimate['reason']})"
    if estimate["low"] is None:
        return f"{100 * estimate['value']:.0f} %"
    low, high = 100 * estimate["low"], 100 * estimate["high"]
    return f"{100 * estimate['value']:.0f} % (95 % interval {low:.0f}-{high:.0f})"
