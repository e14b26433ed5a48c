"""Put a comparison into plain sentences, with its uncertainty."""

from __future__ import annotations

import shlex

from durian.analysis.one_run.summary import Advice
from durian.analysis.two_runs.comparison import Comparison
from durian.analysis.two_runs.drift import Drift, Learned
from durian.analysis.two_runs.verdict import KEEP
from durian.rendering.names import name_of
from durian.rendering.text import estimate_text, percent_text


def compare_sentences(summary: Comparison) -> list[str]:
    """Three or four sentences that say what was found, the verdict last."""
    drift = summary.drift
    said = [_errors(drift, summary.samples.both)]
    if drift.learned.samples:
        said.append(_learned(drift.learned))
    said.append(_moves(summary))
    return [*said, verdict_sentence(summary)]


def verdict_sentence(summary: Comparison) -> str:
    """'Profile again: ...' or 'Keep the groups: ...', with the numbers it rests on."""
    verdict = summary.drift.verdict
    kind, margin = verdict.because, verdict.margin
    if verdict.verdict is None or kind is None:
        return f"No verdict: {verdict.reason}."
    gain = summary.drift.gains[kind]
    if gain.identical:
        words = f"all {gain.samples:,} samples are in the same {kind} groups in both runs"
    else:
        excess = gain.excess
        gained = estimate_text(excess, "", scale=1, digits=3, sign="+", named=True)
        enough = excess.value is not None and excess.value > margin
        words = (
            f"A's {kind} groups tell B's wrong completions from right ones with AUROC "
            f"{gain.stale.value:.3f}, B's own with {gain.own.value:.3f}; beyond luck "
            f"the gain is {gained}, {'more' if enough else 'no more'} than the {margin} that a "
            "new profile is worth"
        )
    if verdict.thin_because:
        words += f"; the evidence is thin: {', '.join(verdict.thin_because)}"
    for other, reason in verdict.unjudged.items():
        words += f"; {other} groups cannot be judged: {reason}"
    return f"{verdict.verdict.capitalize()}: {words}."


def compare_advice(summary: Comparison) -> Advice | None:
    """Name the next step after a verdict; None without one."""
    said = summary.drift.verdict.verdict
    if said is None:
        return None
    if said == KEEP:
        say = "Go on training with A's table: a new profile would buy little."
    else:
        say = "Train on with B's table: it is the new profile."
    run = shlex.quote(summary.a.run if said == KEEP else summary.b.run)
    return Advice(say=say, do=f"durian train … --table {run}")


def _errors(drift: Drift, both: int) -> str:
    one, other = drift.a.error_rate, drift.b.error_rate
    if one is None or other is None:
        lacking = "neither run" if one is other else ("A" if one is None else "B")
        verb = "has" if lacking == "neither run" else "has no"
        return f"Of the {both:,} samples of both runs, {lacking} {verb} scored completions."
    change = estimate_text(drift.change, " points", sign="+", named=True)
    return (
        f"On the {both:,} samples of both runs, B is wrong in {percent_text(other.value)} of its "
        f"completions, A in {percent_text(one.value)}: a change of {change}."
    )


def _learned(learned: Learned) -> str:
    n, up, down = learned.samples, learned.learned, learned.unlearned
    said = (
        f"{up.samples:,} samples were learned (right at most half of the time before, more "
        f"often now) and {down.samples:,} unlearned"
    )
    if up.floor.value is None or down.floor.value is None:
        return f"{said}; how many of them are luck is not known ({up.floor.reason})."
    lucky = round(up.floor.value * n), round(down.floor.value * n)
    return (
        f"{said}; between two profiles of A's policy, luck alone would make that {lucky[0]:,} "
        f"and {lucky[1]:,}."
    )


def _moves(summary: Comparison) -> str:
    said = []
    for kind, flow in summary.drift.flows.items():
        moved, floor = flow.moved, flow.moved_floor
        if moved.value is None:
            said.append(f"{kind} groups cannot be compared ({moved.reason})")
        elif moved.value == 0:
            said.append(f"no sample changed its {kind} group")
        else:
            luck = (
                f"luck alone moves {percent_text(floor.value, 0)}"
                if floor.value is not None
                else f"what luck does is not known: {floor.reason}"
            )
            measure = name_of(summary.grouping.b.by(kind).measure)
            said.append(
                f"{percent_text(moved.value, 0)} of the samples changed their {kind} group, by "
                f"{measure} ({luck})"
            )
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."
