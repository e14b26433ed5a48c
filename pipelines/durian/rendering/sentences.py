"""The numbers of a report in plain words, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from durian.rendering.names import CLIP, Grouped, grouped_by, name_of
from durian.rendering.text import shown_text

FEWEST = 10  # samples of a slice that is named as the hardest


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Three or four sentences that say what was found; intervals are 95 % ones."""
    if "error_rate" not in summary:
        return _without_policy(summary)
    grouped = grouped_by(summary.get("grouping"))
    rate = summary["error_rate"]
    interval = "" if rate["low"] is None else f" (95 % interval {_ends(rate)})"
    counted = f"{summary['completions']:,} completions over {summary['measured']:,} samples"
    said = [
        f"The policy is wrong in {100 * rate['value']:.0f} %{interval} of {counted}"
        f"{_hardest_slice(summary)}.",
        " ".join(filter(None, [_seeing(summary, grouped), _reasoning(summary, grouped)])),
        _best(summary),
        _teaching(summary),
    ]
    return [sentence for sentence in said if sentence]


def best_measure(summary: Mapping[str, Any]) -> str | None:
    """The measure with the highest AUROC of error; length alone and plain columns do not count."""
    known = {
        name: of["auroc"]["value"]
        for name, of in summary["measures"].items()
        if of.get("kind", "measure") == "measure"
        and name != "mean_tokens"
        and of["auroc"]["value"] is not None
    }
    return max(known, key=lambda name: float(known[name])) if known else None


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


def unequal(summary: Mapping[str, Any]) -> bool:
    """Whether some samples have more rollouts than others."""
    of = summary.get("reliability", {})
    return bool(of.get("fewest_rollouts") != of.get("most_rollouts"))


def _rollouts(summary: Mapping[str, Any]) -> str:
    """'8', or '2 to 16'."""
    of = summary["reliability"]
    if unequal(summary):
        return f"{of['fewest_rollouts']} to {of['most_rollouts']}"
    return f"{of['rollouts']}"


def _hardest_slice(summary: Mapping[str, Any]) -> str:
    """'; most where kind is where: 71 % (66 to 75)', if a slice is surely above the whole."""
    known = [
        (row["error_rate"], column, row["group"])
        for column, rows in summary.get("slices", {}).items()
        for row in rows
        if row["samples"] >= FEWEST and row["error_rate"]["low"] is not None
    ]
    if not known or summary["error_rate"]["high"] is None:
        return ""
    rate, column, value = max(known, key=lambda of: float(of[0]["low"]))
    if rate["low"] <= summary["error_rate"]["high"]:
        return ""
    said = shown_text(str(value), CLIP)
    return f"; most often where {name_of(column)} is {said}: {_percent(rate)}"


def _seeing(summary: Mapping[str, Any], grouped: Grouped) -> str | None:
    easy, hard = summary["perceptual"][0]["error_rate"], summary["perceptual"][-1]["error_rate"]
    if easy["value"] is None or hard["value"] is None:
        return None
    by = f" (by {name_of(grouped.perceptual)})" if grouped.hard_to_see == "hard to see" else ""
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
    if over and over["low"] is not None:
        ends = f"{over['value']:+.2f}, {over['low']:+.2f} to {over['high']:+.2f}"
        better = "better" if over["low"] > 0 else "but not surely better"
        said += f", {better} than the length of the completions alone ({ends})"
    return f"{said}.{_luck(summary, best)}"


def _luck(summary: Mapping[str, Any], best: str) -> str:
    """What a measure taken from rollouts is worth on rollouts that it was not taken from."""
    unseen = summary.get("split_half", {}).get(best, {}).get("other")
    if unseen and unseen["low"] is not None:
        return (
            f" Taken from half of the rollouts, it tells the other half's errors with "
            f"{unseen['value']:.2f} ({unseen['low']:.2f} to {unseen['high']:.2f})."
        )
    if best == "answer_entropy":
        return " It is taken from those same completions, so part of that is their luck."
    return ""


def _teaching(summary: Mapping[str, Any]) -> str:
    rates = summary["pass_rates"]
    same, extreme = (f"{100 * rates[key]:.0f} %" for key in ("no_variance", "extreme"))
    said = (
        f"{same} of the samples are always right or always wrong and teach plain GRPO nothing; "
        f"{extreme} are extreme, with one completion that differs from all others."
    )
    of = summary.get("reliability", {})
    again = of.get("reasoning", {}).get("same_group")
    if again is None:
        return said
    return (
        f"{said} Had the {_rollouts(summary)} rollouts been drawn again, a sample would be in the "
        f"same reasoning bin {100 * again:.0f} % of the time."
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
    """'47 % (44 to 50)'."""
    if estimate["value"] is None:
        return f"an unknown share ({estimate['reason']})"
    interval = "" if estimate["low"] is None else f" ({_ends(estimate)})"
    return f"{100 * estimate['value']:.0f} %{interval}"


def _ends(estimate: Mapping[str, Any]) -> str:
    return f"{100 * estimate['low']:.0f} to {100 * estimate['high']:.0f}"
