"""Turn the numbers of a report into advice: a line each, with the option that follows it."""

from __future__ import annotations

import shlex
from math import ceil

from durian.analysis.one_run.columns import RENAMED
from durian.analysis.one_run.summary import Advice, Scored, Summary
from durian.groups import AUTO
from durian.rendering.names import SEEING, grouped_by, name_of, said_end
from durian.rendering.sentences import best_measure, difference_between
from durian.rendering.text import interval_text

VARIED = "pass_rate > 0 AND pass_rate < 1"
CHANCE = 0.5  # AUROC
FEW = 0.05  # a share that is not worth a line
RELIABLE = 0.9  # pass rates that need no further rollouts
SURE = 0.5  # share of samples whose bin is sure at 95 %; below it, bins are mostly noise


def advice(summary: Summary) -> list[Advice]:
    """Lines of advice, the weightiest first."""
    if (scored := summary.scored) is None:
        return _unscored(summary)
    lines = (
        _filter(scored),
        _perceptual(summary, scored),
        _reasoning(summary, scored),
        _bins(summary, scored),
        _rollouts(scored),
        _missing(summary),
    )
    return [line for line in lines if line is not None]


def _unscored(summary: Summary) -> list[Advice]:
    """Ask for completions, where something was measured but nothing scored."""
    measured = [name_of(name) for name in summary.alone or {}]
    if not measured:
        return []
    return [
        Advice(
            say=f"To learn whether {' or '.join(measured)} has to do with what a model gets wrong, "
            "let the model answer: the report then holds its errors against every measure and "
            "column.",
            do="durian profile … --model MODEL --measures pixel,confidence",
        )
    ]


def _filter(scored: Scored) -> Advice | None:
    share = scored.pass_rates.no_variance
    if share < FEW:
        return None
    left = round(scored.pass_rates.samples * (1 - share))
    return Advice(
        say=f"Leave out the {100 * share:.0f} % without variance: their rollouts cost time and "
        f"give no gradient. {left:,} samples remain.",
        do=f'durian train … --filter "{VARIED}"\nfilter: {VARIED}',
    )


def _perceptual(summary: Summary, scored: Scored) -> Advice | None:
    """Another column or end for the perceptual groups, where it surely predicts error better."""
    grouped = grouped_by(summary.grouping)
    now, contrast = grouped.perceptual, scored.contrast["perceptual"]
    if (better := _better_column(summary, scored, now)) is not None:
        return better
    known = scored.measures.get(now)
    if contrast.low is None or contrast.low > 0 or known is None:
        return None
    turned = known.kind == "column" and known.harder != grouped.perceptual_end
    if turned and contrast.high is not None and contrast.high < 0:
        return Advice(
            say=f"Turn the perceptual groups round: this policy is wrong more often where "
            f"{name_of(now)} is {known.harder}, and the groups call that end easy.",
            do=f"durian group RUN --perceptual {shlex.quote(f'{now}:{known.harder}')}",
        )
    return Advice(
        say=f"Do not lean on {name_of(now)}: its hard group is not surely wrong more often than "
        "its easy one, so it does not mark what this policy finds hard. To give the perceptual "
        "groups no weight:",
        do="durian train … --weights 0.7,0,0.3\nweights: [0.7, 0, 0.3]",
    )


def _better_column(summary: Summary, scored: Scored, now: str) -> Advice | None:
    """A column that surely predicts error better than `now`, on the samples that have both."""
    found = {
        name: (over.low, over, _have_both(scored, name, now))
        for name, predictor in scored.measures.items()
        if (predictor.kind == "column" or name in SEEING)
        and not name.startswith(RENAMED)  # `durian group` takes the table's own by that name
        and (over := difference_between(scored, name, now)) is not None
        and over.low is not None
        and over.low > 0
        and (predictor.auroc.low or 0) > CHANCE
    }
    if not found:
        return None
    best = max(found, key=lambda name: found[name][0])
    _, over, both = found[best]
    lacking = summary.measured - scored.measures[best].n
    lost = ""
    if lacking:
        lack, it = ("sample lacks", "it") if lacking == 1 else ("samples lack", "them")
        lost = f" {lacking:,} {lack} it, and the groups would leave {it} out."
    return Advice(
        say=f"Cut the perceptual groups by {name_of(best)}: on the {both:,} samples that have both "
        f"it predicts error better than {name_of(now)} (AUROC {over.value:+.2f}, "
        f"{interval_text(over, scale=1, digits=2, sign='+')}).{lost}",
        do="durian group RUN --perceptual "
        + shlex.quote(said_end("perceptual", best, scored.measures[best].harder)),
    )


def _have_both(scored: Scored, first: str, second: str) -> int:
    return next(row.n for row in scored.differences if {row.first, row.second} == {first, second})


def _reasoning(summary: Summary, scored: Scored) -> Advice | None:
    """Another confidence for the bins, where it is surely better, and not by the luck it shares.

    A measure of a sample's rollouts shares their luck with the errors of the same rollouts: it must
    be the better one on the other half, too.
    """
    best, now = best_measure(scored), grouped_by(summary.grouping).reasoning
    halves = scored.split_half or {}
    if best is None or best == now or best not in halves or now not in halves:
        return None
    over = difference_between(scored, best, now)
    unseen, unseen_now = halves[best].other.value, halves[now].other.value
    if over is None or over.low is None or over.low <= 0:
        return None
    if unseen is None or unseen_now is None or unseen <= unseen_now:
        return None
    return Advice(
        say=f"Cut the reasoning bins by {name_of(best)}: it predicts error better than "
        f"{name_of(now)} (AUROC {over.value:+.2f}, "
        f"{interval_text(over, scale=1, digits=2, sign='+')}).",
        do=f"durian group RUN --reasoning {best}",
    )


def _bins(summary: Summary, scored: Scored) -> Advice | None:
    """Fewer bins where single samples' bins are unsure, unless there are as few as can be."""
    groups = scored.reliability.reasoning
    if groups is None or groups.certain is None or groups.same_group is None:
        return None
    # What this line advises would change nothing.
    merged = summary.grouping is not None and summary.grouping.reasoning.bins == AUTO
    if groups.certain >= SURE or merged or len(scored.reasoning) <= 2:
        return None
    return Advice(
        say="Use fewer reasoning bins: had the rollouts been drawn again, a sample would keep "
        f"its bin {100 * groups.same_group:.0f} % of the time, and only "
        f"{100 * groups.certain:.0f} % of the samples have a bin that is sure at 95 %. To merge "
        "bins that cannot be told apart:",
        do="durian group RUN --bins auto",
    )


def _rollouts(scored: Scored) -> Advice | None:
    """More rollouts where pass rates are unsure; how many by Spearman and Brown's formula."""
    drawn, known = scored.reliability, scored.reliability.pass_rate.reliability
    if known is None or not 0 < known < RELIABLE or drawn.unequal:
        return None  # the formula is for one number of rollouts
    twice, double = 2 * drawn.rollouts, 2 * known / (1 + known)
    needed = ceil(drawn.rollouts * RELIABLE * (1 - known) / (known * (1 - RELIABLE)) - 1e-9)
    return Advice(
        say=f"If single pass rates matter to you, draw more rollouts: {drawn.rollouts} give "
        f"them a reliability of {known:.2f} (1 is exact), {twice} would give {double:.2f}; "
        f"{RELIABLE} takes about {needed:,}.",
        do=f"durian profile … --rollouts {twice}",
    )


def _missing(summary: Summary) -> Advice | None:
    lost = sum(row.samples for row in summary.missing)
    if not lost:
        return None
    are, them = ("sample lacks", "it") if lost == 1 else ("samples lack", "them")
    return Advice(
        say=f"{lost:,} {are} a measure (see what failed, below) and may be in no group; "
        f"training would then take each on its own. To leave {them} out:",
        do='durian train … --filter "error IS NULL"\nfilter: error IS NULL',
    )
