"""Turn the numbers of a report into advice: a line each, with the option that follows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import polars as pl

from durian.analysis.one_run.columns import RENAMED
from durian.analysis.one_run.summary import Advice, Scored, Summary
from durian.groups import AUTO
from durian.rendering.names import SEEING, grouped_by, name_of, said_end
from durian.rendering.sentences import (
    CHANCE,
    NEARLY,
    best_measure,
    difference_between,
    one_sided,
    stands_out,
)
from durian.rendering.text import (
    counted,
    estimate_text,
    interval_text,
    percent_text,
    share_text,
    shown_text,
)
from durian.run.manifest import EstimatesMade, FewerDraws
from durian.run.tokens import Tokens

VARIED = "reward_std > 0.000001"  # as `pass_rates.SPREAD`
RIGHT_AND_WRONG = "pass_rate > 0 AND pass_rate < 1"  # of a table without `reward_std`
EXAMPLES = 3  # completions
FEW = 0.05  # a share that is not worth a line
RELIABLE = 0.9  # pass rates that need no further rollouts
SURE = 0.5  # share of samples whose bin is sure at 95 %; below it, bins are mostly noise


def advice(
    summary: Summary, estimates: EstimatesMade | None = None, tokens: Tokens | None = None
) -> list[Advice]:
    """Lines of advice, the weightiest first.

    Args:
        estimates, tokens: of the run, where they were made and counted.
    """
    enough = None if estimates is None else estimates.enough
    if (scored := summary.scored) is None:
        return _unscored(summary)
    if (alike := _alike(scored)) is not None:
        return [line for line in (alike, _missing(summary)) if line is not None]
    lines = (
        _filter(scored),
        _perceptual(summary, scored),
        _reasoning(summary, scored),
        _bins(summary, scored),
        _rollouts(scored) if enough is None else _fewer_rollouts(enough, tokens),
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
    rates = scored.pass_rates
    varied = VARIED if rates.by_rewards else RIGHT_AND_WRONG
    if rates.no_variance < FEW or not rates.varied:
        return None
    which = share_text(rates.samples - rates.varied, rates.samples)
    which = which if which.startswith("all") else f"the {which}"
    left = counted(rates.varied, "sample")
    return Advice(
        say=f"Leave out {which} without variance in their rewards: their rollouts cost time "
        f"and give no gradient. {left} {'remains' if rates.varied == 1 else 'remain'}.",
        do=f'durian train … --filter "{varied}"\nfilter: {varied}',
    )


def with_examples(
    advice: Sequence[Advice], scored: Scored | None, table: pl.DataFrame, rollouts: pl.DataFrame
) -> list[Advice]:
    """Add three completions with their references where nearly nothing is right, or wrong.

    Args:
        table, rollouts: rows of the samples that the page shows, with their texts.
    """
    if scored is None or not one_sided(scored) or not advice:
        return list(advice)
    usually_right = (scored.error_rate.value or 0.0) <= NEARLY
    usual = rollouts.filter(pl.col("correct") == usually_right)
    first = usual.unique("sample_id", keep="first", maintain_order=True).head(EXAMPLES)
    rows = first.join(table.select("sample_id", "row", reference="answer"), on="sample_id")
    said = [
        f"Row {row:,}, reference {shown_text(reference, 60)}: {shown_text(completion, 200)}"
        for row, reference, completion in rows.select("row", "reference", "completion").iter_rows()
    ]
    return [replace(advice[0], examples=said), *advice[1:]]


def _alike(scored: Scored) -> Advice | None:
    """Advise a look at the set-up where nearly all is right, or wrong: groups say nothing then."""
    rate = scored.error_rate
    if rate.value is None or not one_sided(scored):
        return None
    if rate.value <= NEARLY:
        return Advice(
            say=f"Nearly nothing is wrong ({estimate_text(rate, digits=0)}): this dataset has "
            "little left to teach this policy, and what groups would say of it is luck. Read some "
            "completions, whether the grader is too kind, or take harder samples:",
            do="durian profile … --dry-run",
        )
    unformatted = ""
    if scored.format_rate is not None:
        unformatted = f" {percent_text(scored.format_rate, 0)} of the completions keep the format."
    return Advice(
        say=f"Nearly nothing is right ({percent_text(1 - rate.value, 0)} of the completions), so "
        f"look at that before groups.{unformatted} Is the answer there but not in the format that "
        "the prompt should ask for, is the grader too strict for the references, are completions "
        "cut short, or is it too hard for this policy? To see what is asked and how one answer is "
        "judged:",
        do="durian profile … --dry-run\ndurian grade ANSWER REFERENCE",
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
    # A plain column is turned the way that fits it: two looks each.
    tried = 2 * _columns(scored) + len(SEEING)
    found = {
        name: (over.low or 0.0, over, _have_both(scored, name, now))
        for name, predictor in scored.measures.items()
        if (predictor.kind == "column" or name in SEEING)
        and not name.startswith(RENAMED)  # `durian group` takes the table's own by that name
        and (over := difference_between(scored, name, now)) is not None
        and stands_out(over, 0.0, tried)
        and stands_out(predictor.auroc, CHANCE, tried)
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
        f"{interval_text(over, scale=1, digits=2, sign='+')}; surely so among the "
        f"{counted(_columns(scored), 'column')} looked at).{lost}",
        do="durian group RUN --perceptual "
        + shlex.quote(said_end("perceptual", best, scored.measures[best].harder)),
    )


def _columns(scored: Scored) -> int:
    return sum(each.kind == "column" for each in scored.measures.values())


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
        f"its bin {percent_text(groups.same_group, 0)} of the time, and only "
        f"{percent_text(groups.certain, 0)} of the samples have a bin that is sure at 95 %. "
        "To merge bins that cannot be told apart:",
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


def _fewer_rollouts(enough: FewerDraws, tokens: Tokens | None) -> Advice:
    """Fewer rollouts with estimates, where that was tried on this run and surely errs less."""
    few, drawn = enough.rollouts, enough.of
    part = few / drawn
    paid = "and of what their tokens cost"
    if tokens is not None and tokens.prompt:
        # A token that is read costs nothing at least, and at most what one that is written does.
        most = (tokens.prompt + part * tokens.completion) / (tokens.prompt + tokens.completion)
        paid = (
            f"and {100 * part:.0f} to {percent_text(most, 0)} of what is paid "
            "by tokens, since prompts are read either way"
        )
    return Advice(
        say=f"Draw {few} rollouts instead of {drawn}, and take the column difficulty: tried on "
        f"this run, estimates from {few} are off by {100 * enough.error:.0f} percentage points "
        f"(root mean square), pass rates from {drawn} by {100 * enough.error_alone:.0f}. That is "
        f"{percent_text(part, 0)} of the completions, {paid}.",
        do=f"durian profile … --rollouts {few} --reasoning confidence",
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
