"""The numbers of a report in plain words, with their uncertainty."""

from __future__ import annotations

from statistics import NormalDist

from durian.analysis.one_run.learning import LearningPoint
from durian.analysis.one_run.summary import Scored, Summary
from durian.analysis.statistics.estimate import Estimate, plural
from durian.groups import KINDS, Kind
from durian.rendering.causes import why_sentence
from durian.rendering.names import CLIP, REASONING, SEEING, Grouped, grouped_by, name_of
from durian.rendering.text import (
    counted,
    estimate_text,
    interval_text,
    percent_text,
    shown_text,
)

CHANCE = 0.5  # AUROC
FEWEST = 10  # samples of a slice that is named as the hardest
NEARLY = 0.02  # share of completions; from here on what groups say is the luck of a few


def sentences(summary: Summary) -> list[str]:
    """Three or four sentences that say what was found; intervals are 95 % ones."""
    scored, measured = summary.scored, summary.measured
    if scored is None:
        return _without_policy(summary)
    grouped = grouped_by(summary.grouping)
    those = f"{counted(scored.completions, 'completion')} over {counted(measured, 'sample')}"
    wrong = f"The policy is wrong in {estimate_text(scored.error_rate, digits=0, named=True)}"
    if one_sided(scored):
        learned = filter(None, [_learned(scored)])
        ended = (*_looped(scored), *in_no_group(summary))
        return [f"{wrong} of {those}.", *learned, _variance(scored), *ended]
    said = [
        f"{wrong} of {those}{_hardest_slice(scored)}.",
        _learned(scored),
        " ".join(filter(None, [_seeing(scored, grouped), _reasoning(scored, grouped)])),
        _best(scored),
        _teaching(scored),
    ]
    said.append("" if summary.causes is None else why_sentence(summary.causes))
    known = (sentence for sentence in said if sentence)
    return [*known, *_looped(scored), *in_no_group(summary)]


def _looped(scored: Scored) -> list[str]:
    """Count completions that went round in circles apart from those that were too long."""
    if not scored.looped:
        return []
    return [
        f"{counted(scored.looped, 'completion')} of {scored.completions:,} "
        f"({percent_text(scored.looped / scored.completions)}) went round in circles until the "
        f"engine ended {'it' if scored.looped == 1 else 'them'}, which a larger --max-tokens does "
        f"not cure; {scored.cut:,} {'was' if scored.cut == 1 else 'were'} cut by --max-tokens."
    ]


def _learned(scored: Scored) -> str:
    """Say how right completions changed from the first steps of a training to the last."""
    if (learning := scored.learning) is None:
        return ""
    first, last = learning.points[0], learning.points[-1]
    then, now = (percent_text(point.right.value, 0) for point in (first, last))
    change = estimate_text(learning.change, " points", sign="+", digits=0)
    return (
        f"The completions are of {_steps(first, last)} of a training: {then} are right at "
        f"{_steps(first, first)}, {now} at {_steps(last, last)}, a change of {change}."
    )


def _steps(first: LearningPoint, last: LearningPoint) -> str:
    if first.first_step == last.last_step:
        return f"step {first.first_step:,}"
    return f"steps {first.first_step:,} to {last.last_step:,}"


def one_sided(scored: Scored) -> bool:
    """Whether nearly all completions are right, or nearly all wrong."""
    rate = scored.error_rate.value
    return rate is not None and not NEARLY < rate < 1 - NEARLY


def in_no_group(summary: Summary) -> list[str]:
    """Say of each grouping how many samples have no group while others do, and what trains them."""
    said = []
    for kind in KINDS if summary.grouping is not None else ():
        assert summary.grouping is not None
        cuts = summary.grouping.by(kind)
        grouped = sum(cuts.sizes.values())
        without = summary.samples - grouped
        if not grouped or without <= 0:
            continue
        known = None if summary.scored is None else (summary.scored.ungrouped or {}).get(kind)
        rate = "" if known is None else f" (wrong in {estimate_text(known.error_rate, digits=0)})"
        have, are = ("has", "is") if without == 1 else ("have", "are")
        said.append(
            f"{without:,} of {summary.samples:,} samples {have} no {name_of(cuts.measure)} and "
            f"{are} in no {kind} group{rate}: training gives each of them plain GRPO's own term "
            f"in place of the {kind} one."
        )
    return said


def best_measure(scored: Scored) -> str | None:
    """The measure with the highest AUROC of error, if that is surely above chance.

    Length alone and plain columns do not count.
    """
    tried = scored.looked_at.measures if scored.looked_at else 1
    known = {
        name: predictor.auroc.value or 0.0
        for name, predictor in scored.measures.items()
        if predictor.kind == "measure" and stands_out(predictor.auroc, CHANCE, tried)
    }
    return max(known, key=lambda name: known[name]) if known else None


def stands_out(estimate: Estimate, other: float, tried: int) -> bool:
    """Whether a number is surely above another, though the largest of so many was picked.

    Bonferroni's correction of its 95 % interval, which is Holm's for the one that stands out most:
    by luck alone, one pick in twenty passes, however many are looked at.
    """
    if estimate.value is None or estimate.low is None or estimate.low <= other:
        return False
    deviations = NormalDist().inv_cdf(0.975) * (estimate.value - other)
    return deviations >= NormalDist().inv_cdf(1 - 0.025 / tried) * (estimate.value - estimate.low)


def difference_between(scored: Scored, first: str, second: str) -> Estimate | None:
    """AUROC of `first` minus that of `second` with its interval, whichever way it is listed."""
    for row in scored.differences:
        if (row.first, row.second) == (first, second):
            return row.difference
        if (row.first, row.second) == (second, first) and row.difference.value is not None:
            return row.difference.turned()
    return None


def _rollouts(scored: Scored) -> str:
    """Write how many rollouts samples have: '8', or '2 to 16'."""
    drawn = scored.reliability
    if drawn.unequal:
        return f"{drawn.fewest_rollouts} to {drawn.most_rollouts}"
    return f"{drawn.rollouts}"


def _hardest_slice(scored: Scored) -> str:
    """'; most where kind is where: 71 % (66 to 75)', if a slice is surely above the whole."""
    known = [
        (row.error_rate.low, row.error_rate, column, row.group)
        for column, rows in scored.slices.items()
        for row in rows
        if row.samples >= FEWEST and row.error_rate.low is not None
    ]
    if not known or scored.error_rate.high is None:
        return ""
    _, rate, column, value = max(known, key=lambda row: row[0])
    tried = sum(map(len, scored.slices.values()))
    if not stands_out(rate, scored.error_rate.high, tried):
        return ""
    where = f"{name_of(column)} is {shown_text(str(value), CLIP)}"
    said = f"; most often where {where}: {estimate_text(rate, digits=0)}"
    return f"{said}, of {counted(tried, 'slice')} looked at"


def _seeing(scored: Scored, grouped: Grouped) -> str | None:
    easy, hard = scored.perceptual[0].error_rate, scored.perceptual[-1].error_rate
    if easy.value is None or hard.value is None:
        return None
    return (
        f"Where samples have {grouped.hard_seen} (the hard group) it is wrong in "
        f"{estimate_text(hard, digits=0)}, where they have {grouped.easy_seen} in "
        f"{estimate_text(easy, digits=0)}{_contrast(scored, 'perceptual')}."
    )


def _reasoning(scored: Scored, grouped: Grouped) -> str | None:
    if len(scored.reasoning) < 2:
        return None
    first, last = scored.reasoning[0].error_rate, scored.reasoning[-1].error_rate
    return (
        f"In the bin that is {grouped.hardest_bin} it is wrong in "
        f"{estimate_text(first, digits=0)}, in the one that is {grouped.easiest_bin} in "
        f"{estimate_text(last, digits=0)}{_contrast(scored, 'reasoning')}."
    )


def _contrast(scored: Scored, kind: Kind) -> str:
    """': 22 points more (15 to 29)', or that the data cannot tell them apart."""
    contrast = scored.contrast[kind]
    if contrast.value is None or contrast.interval is None:
        return ""
    low, high = contrast.interval
    if low <= 0 <= high:
        ends = interval_text(contrast, digits=0, sign="+")
        return f", which these samples cannot tell apart ({ends} points)"
    more, ahead = ("more", contrast) if low > 0 else ("fewer", contrast.turned())
    points = interval_text(ahead, digits=0)
    digits = len(points.split(" to ")[0].partition(".")[2])
    by = f"{100 * abs(contrast.value):.{digits}f}"
    return f": {by} {plural(1 if by == '1' else 2, 'point')} {more} ({points})"


def _best(scored: Scored) -> str | None:
    best = best_measure(scored)
    if best is None:
        return _no_best(scored)
    auroc = scored.measures[best].auroc
    interval = interval_text(auroc, scale=1, digits=2)
    said = (
        f"Of the measures, {name_of(best)} tells wrong completions from right ones best "
        f"(AUROC {auroc.value:.2f}{interval and ', '}{interval}; 0.5 is chance)"
    )
    over = difference_between(scored, best, "mean_tokens")
    if over and over.low is not None:
        ends = f"{over.value:+.2f}, {interval_text(over, scale=1, digits=2, sign='+')}"
        better = "better" if over.low > 0 else "but not surely better"
        said += f", {better} than the length of the completions alone ({ends})"
    return f"{said}.{_luck(scored, best)}"


def _no_best(scored: Scored) -> str | None:
    """Say why no measure is called the best: too few clusters, or none above chance."""
    aurocs = [each.auroc for each in scored.measures.values() if each.kind == "measure"]
    known = [auroc for auroc in aurocs if auroc.value is not None]
    if not known:
        return None
    if all(auroc.interval is None for auroc in known):
        which = "Which measure tells wrong completions from right ones cannot be said"
        return f"{which}: {known[0].reason}."
    return (
        f"Of {counted(len(known), 'measure')} none surely tells wrong completions from right ones."
    )


def _luck(scored: Scored, best: str) -> str:
    """Say how well a measure of some rollouts tells the errors of the others."""
    halves = (scored.split_half or {}).get(best)
    if halves is not None and halves.other.low is not None:
        unseen = estimate_text(halves.other, "", scale=1, digits=2)
        return f" Taken from half of the rollouts, it tells the other half's errors with {unseen}."
    if halves is None and best in REASONING:
        return " It is taken from those same completions, so part of that is their luck."
    return ""


def _variance(scored: Scored) -> str:
    rates = scored.pass_rates
    return (
        f"{percent_text(rates.no_variance, 0)} of the samples have rewards without variance and "
        f"teach plain GRPO nothing; {percent_text(rates.extreme, 0)} are extreme, with one "
        "completion that differs from all others."
    )


def _teaching(scored: Scored) -> str:
    said, groups = _variance(scored), scored.reliability.reasoning
    if groups is None or groups.same_group is None:
        return said
    return (
        f"{said} Had the {_rollouts(scored)} rollouts been drawn again, a sample would be in the "
        f"same reasoning bin {percent_text(groups.same_group, 0)} of the time."
    )


def _without_policy(summary: Summary) -> list[str]:
    known = {name: spread for name, spread in summary.spread.items() if name in SEEING and spread.n}
    if not known and not summary.missing:  # duplicates alone, say
        return ["No measure was asked for that says how hard a sample is."]
    if not known:
        return [f"No measure could be taken of any of the {summary.samples:,} samples."]
    return [
        *(
            f"{_capital(name_of(name))} of {spread.n:,} of {summary.samples:,} samples runs "
            f"from {spread.least:.2f} to {spread.most:.2f} {SEEING[name].unit}, with a median of "
            f"{spread.median:.2f}."
            for name, spread in known.items()
        ),
        "No completions were scored: these are properties of the images. Whether they make a "
        "sample hard for a policy is not measured here.",
        *in_no_group(summary),
    ]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
