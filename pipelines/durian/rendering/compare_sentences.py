"""Put a comparison into plain sentences, with its uncertainty."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from durian.analysis.one_run.summary import Advice
from durian.analysis.two_runs.comparison import Comparison
from durian.analysis.two_runs.drift import Drift, Learned
from durian.analysis.two_runs.verdict import KEEP
from durian.groups import AUTO, KINDS, Kind, PerceptualCuts, ReasoningCuts
from durian.rendering.names import name_of, said_end
from durian.rendering.seeing import learned_sentence, seeing_sentence
from durian.rendering.text import counted, estimate_text, percent_text
from durian.table.grouping import end_of

Cuts = PerceptualCuts | ReasoningCuts


def compare_sentences(summary: Comparison, how: Sequence[str] = ("none", "none")) -> list[str]:
    """A few sentences that say what was found, the verdict last.

    Args:
        how: what stood in for the image of A and of B, where they were asked blind.
    """
    drift = summary.drift
    said = [_errors(drift, summary.samples.both)]
    if drift.learned.samples:
        said.append(_learned(drift.learned))
    said.append(_moves(summary))
    if (both := summary.seeing) is not None:
        named = (("A", both.a, how[0]), ("B", both.b, how[1]))
        said += [seeing_sentence(name, one, way) for name, one, way in named if one is not None]
    if summary.learned is not None:
        said.append(learned_sentence(summary.learned, "A", "B"))
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


def unlike_cuts(a: Cuts, b: Cuts) -> str | None:
    """How one grouping differs between A and B, in words; None where both have the same rule.

    Quantiles of each run's own values are one rule. Cuts that were found in the errors ("auto") are
    alike only where they are the same cuts.
    """
    if (a.measure, end_of(a), _asked(a)) == (b.measure, end_of(b), _asked(b)):
        if _asked(a) != AUTO or a.edges == b.edges:
            return None
        return f"A and B are each grouped by {name_of(a.measure)} at cuts of their own (auto)"
    return f"A {_grouped(a)}, B {_grouped(b, '' if a.sizes else 'is grouped ')}"


def _grouped(cuts: Cuts, verb: str = "is grouped ") -> str:
    """'is grouped by level in 4 bins', or 'has no level' where no sample is in a group."""
    return f"{verb}by {_rule(cuts)}" if cuts.sizes else f"has no {name_of(cuts.measure)}"


def _asked(cuts: Cuts) -> object:
    return cuts.percentiles if isinstance(cuts, PerceptualCuts) else cuts.bins


def _rule(cuts: Cuts) -> str:
    """'level (lower is hard) at 25, 75 %', or 'confidence per token in 10 bins'."""
    said = name_of(cuts.measure) + ("" if cuts.harder is None else f" ({cuts.harder} is hard)")
    if isinstance(cuts, PerceptualCuts):
        if cuts.percentiles == AUTO:
            return f"{said} at cuts from the errors"
        low, high = cuts.percentiles
        return f"{said} at {low:g} and {high:g} %"
    return f"{said} in {'bins from the errors' if cuts.bins == AUTO else f'{cuts.bins} bins'}"


def _like(run: str, kind: Kind, cuts: Cuts) -> str:
    """The command that groups a run by the rule of some cuts; by a plain one for "auto"."""
    column = shlex.quote(said_end(kind, cuts.measure, end_of(cuts)))
    if isinstance(cuts, PerceptualCuts):
        low, high = (25.0, 75.0) if cuts.percentiles == AUTO else cuts.percentiles
        return (
            f"durian group {shlex.quote(run)} --perceptual {column} --percentiles {low:g},{high:g}"
        )
    bins = len(cuts.sizes) if cuts.bins == AUTO else cuts.bins
    return f"durian group {shlex.quote(run)} --reasoning {column} --bins {bins}"


def _group_alike(summary: Comparison, kind: Kind) -> Advice:
    a, b = summary.grouping.a.by(kind), summary.grouping.b.by(kind)
    if not (a.sizes and b.sizes):  # the rule of no groups is none to follow
        run, cuts = (summary.a.run, a) if not a.sizes else (summary.b.run, b)
        return Advice(
            say=f"{run} has no {kind} groups, for it has no {name_of(cuts.measure)}: group it by a "
            "column that it has, or profile again with what measures it, and compare again.",
            do=f"durian group {shlex.quote(run)} --{kind} COLUMN",
        )
    both = AUTO in (_asked(a), _asked(b))  # found in one run's errors, they are no rule for another
    commands = [
        _like(run.run, kind, a) for run in ((summary.a, summary.b) if both else (summary.b,))
    ]
    runs = "both runs alike" if both else "B as A is"
    return Advice(
        say=f"{unlike_cuts(a, b)}: to see how the {kind} groups moved, group {runs}, and compare "
        "again.",
        do="\n".join(commands),
    )


def compare_advice(summary: Comparison) -> list[Advice]:
    """Name the next steps: after a verdict, or toward one where the groupings are unlike."""
    grouping = summary.grouping
    unlike = [k for k in KINDS if unlike_cuts(grouping.a.by(k), grouping.b.by(k)) is not None]
    if unlike:
        return [_group_alike(summary, kind) for kind in unlike]
    said = summary.drift.verdict.verdict
    if said is None:
        return []
    if said == KEEP:
        say = "Go on training with A's table: a new profile would buy little."
    else:
        say = "Train on with B's table: it is the new profile."
    run = shlex.quote(summary.a.run if said == KEEP else summary.b.run)
    return [Advice(say=say, do=f"durian train … --table {run}")]


def _errors(drift: Drift, both: int) -> str:
    one, other = drift.a.error_rate, drift.b.error_rate
    samples = counted(both, "sample")
    if one is None or other is None:
        lacking = "neither run" if one is other else ("A" if one is None else "B")
        verb = "has" if lacking == "neither run" else "has no"
        return f"Of the {samples} of both runs, {lacking} {verb} scored completions."
    change = estimate_text(drift.change, " points", sign="+", named=True)
    return (
        f"On the {samples} of both runs, B is wrong in {percent_text(other.value)} of its "
        f"completions, A in {percent_text(one.value)}: a change of {change}."
    )


def _learned(learned: Learned) -> str:
    n, up, down = learned.samples, learned.learned, learned.unlearned
    were = "was" if up.samples == 1 else "were"
    said = (
        f"{counted(up.samples, 'sample')} {were} learned (right at most half of the time before, "
        f"more often now) and {down.samples:,} unlearned"
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
