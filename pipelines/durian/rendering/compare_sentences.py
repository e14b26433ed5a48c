"""What a comparison found in plain words, with its uncertainty."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from durian.analysis.two_runs.verdict import KEEP
from durian.rendering.names import name_of

Numbers = Mapping[str, Any]


def compare_sentences(summary: Numbers) -> list[str]:
    """Three or four sentences that say what was found, the verdict last."""
    drift = summary["drift"]
    said = [_errors(drift, summary["samples"]["both"])]
    if drift["learned"]["samples"]:
        said.append(_learned(drift["learned"]))
    said.append(_moves(summary))
    return [*said, verdict_sentence(summary)]


def verdict_sentence(summary: Numbers) -> str:
    """'Profile again: ...' or 'Keep the groups: ...', with the numbers it rests on."""
    verdict = summary["drift"]["verdict"]
    if verdict["verdict"] is None:
        return f"No verdict: {verdict['reason']}."
    kind, margin = verdict["because"], verdict["margin"]
    gain = summary["drift"]["gains"][kind]
    if gain["identical"]:
        words = f"all {gain['samples']:,} samples are in the same {kind} groups in both runs"
    else:
        excess = gain["excess"]
        words = (
            f"A's {kind} groups tell B's wrong completions from right ones with AUROC "
            f"{gain['stale']['value']:.3f}, B's own with {gain['own']['value']:.3f}; beyond luck "
            f"the gain is {excess['value']:+.3f}{_interval(excess)}, "
            f"{'more' if excess['value'] > margin else 'no more'} than the {margin} that a new "
            "profile is worth"
        )
    if verdict["thin"]:
        words += f"; the evidence is thin: {', '.join(verdict['thin_because'])}"
    for other, reason in verdict["unjudged"].items():
        words += f"; {other} groups cannot be judged: {reason}"
    return f"{verdict['verdict'].capitalize()}: {words}."


def compare_advice(summary: Numbers) -> dict[str, str] | None:
    """What the verdict asks for: `say` in words, `do` the command; None without a verdict."""
    said = summary["drift"]["verdict"]["verdict"]
    if said is None:
        return None
    if said == KEEP:
        say = "Go on training with A's table: a new profile would buy little."
    else:
        say = "Train on with B's table: it is the new profile."
    run = shlex.quote(summary["a" if said == KEEP else "b"]["run"])
    return {"say": say, "do": f"durian train … --table {run}"}


def _errors(drift: Numbers, both: int) -> str:
    one, other = drift["a"], drift["b"]
    if not one["scored"] or not other["scored"]:
        lacking = (
            "neither run"
            if not one["scored"] and not other["scored"]
            else ("A" if not one["scored"] else "B")
        )
        verb = "has" if lacking == "neither run" else "has no"
        return f"Of the {both:,} samples of both runs, {lacking} {verb} scored completions."
    change = drift["change"]
    return (
        f"On the {both:,} samples of both runs, B is wrong in "
        f"{100 * other['error_rate']['value']:.1f} % of its completions, A in "
        f"{100 * one['error_rate']['value']:.1f} %: a change of "
        f"{100 * change['value']:+.1f} points{_points(change)}."
    )


def _learned(learned: Numbers) -> str:
    n, up, down = learned["samples"], learned["learned"], learned["unlearned"]
    said = (
        f"{up['samples']:,} samples were learned (right at most half of the time before, more "
        f"often now) and {down['samples']:,} unlearned"
    )
    if up["floor"]["value"] is None:
        return f"{said}; how many of them are luck is not known ({up['floor']['reason']})."
    lucky = [round(of["floor"]["value"] * n) for of in (up, down)]
    return (
        f"{said}; between two profiles of A's policy, luck alone would make that {lucky[0]:,} "
        f"and {lucky[1]:,}."
    )


def _moves(summary: Numbers) -> str:
    said = []
    for kind, flow in summary["drift"]["flows"].items():
        moved, floor = flow["moved"], flow["moved_floor"]
        if moved["value"] is None:
            said.append(f"{kind} groups cannot be compared ({moved['reason']})")
        elif moved["value"] == 0:
            said.append(f"no sample changed its {kind} group")
        else:
            luck = (
                f"luck alone moves {100 * floor['value']:.0f} %"
                if floor["value"] is not None
                else f"what luck does is not known: {floor['reason']}"
            )
            measure = name_of(summary["grouping"]["b"][kind]["measure"])
            said.append(
                f"{100 * moved['value']:.0f} % of the samples changed their {kind} group, by "
                f"{measure} ({luck})"
            )
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _interval(estimate: Numbers) -> str:
    if estimate["low"] is None:
        return ""
    return f" (95 % interval {estimate['low']:+.3f} to {estimate['high']:+.3f})"


def _points(change: Numbers) -> str:
    if change["low"] is None:
        return ""
    return f" (95 % interval {100 * change['low']:+.1f} to {100 * change['high']:+.1f})"
